require "socket"

def denied
  yield
  "allowed"
rescue SystemCallError
  "denied"
end

case ARGV.shift
when "echo"
  puts ARGV.join(" ")
when "cat"
  $stdin.binmode
  $stdout.binmode.write($stdin.read)
when "exit"
  exit Integer(ARGV.first)
when "fail"
  raise "kaboom"
when "reach"
  files = denied { File.read("/etc/passwd") }
  host = denied { TCPSocket.new("127.0.0.1", 9) }
  puts "#{files} #{host} #{ENV.empty? ? "denied" : ENV.to_h}"
end
