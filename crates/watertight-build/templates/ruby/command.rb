# Greets everyone who is named.

require_relative "_greeting"

(ARGV.empty? ? [""] : ARGV).each { |name| puts greet(name) }
