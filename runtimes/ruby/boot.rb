# Runs a script that is mounted: as a command, or behind Rack.
#
# Everything up to the end of these files happens when the runtime is built, and is in the snapshot that every cell starts from. What
# belongs to a cell alone (arguments, variables, chance) is set by `wake`, the first thing that a cell does. An exception of the script
# is written to stderr, and the client is told that there was one, but not which.

require "js.so"

# What scripts require most: from the snapshot it costs nothing.
%w[
  English base64 benchmark cgi/escape csv date delegate digest digest/md5 digest/sha1 digest/sha2 erb error_highlight fileutils find
  forwardable ipaddr json logger monitor openssl optparse ostruct pathname pp psych securerandom set shellwords singleton stringio
  strscan tempfile time timeout tmpdir tsort uri weakref yaml zlib
].each do |name|
  # Some of them are gems that come with Ruby.
  $LOAD_PATH.concat(Dir["/usr/local/lib/ruby/gems/*/gems/*/lib"]) if name == "base64"
  require name
end

# Its own would be written over the arguments of a process, of which there is none.
$watertight_script = "ruby"
alias $0 $watertight_script
alias $PROGRAM_NAME $watertight_script

# It would ask the time for each collection of garbage, also while a snapshot is taken.
GC.measure_total_time = false

module Watertight
  # What is seen of these files in a traceback.
  OWN = "/watertight/"

  @at_exit = []

  class << self
    # Asks the glue for an operation, with texts of which only the last may hold a zero byte.
    def ask(operation, *texts)
      texts.map! { it.to_s.b }
      raise ArgumentError, "a text holds a zero byte" if texts[...-1].any? { it.include?("\0") }
      JS.eval(operation.b << texts.join("\0"))
    end

    def texts(...) = ask(...).to_s.split("\0", -1)[0...-1]

    def number(...) = ask(...).to_i

    # Makes the interpreter of the snapshot this cell's own.
    def wake
      @script, *arguments = texts("a")
      ARGV.replace(arguments)
      variables = texts("v").map { it.split("=", 2) }.to_h
      ENV.replace(variables)
      $watertight_script = @script
      folder = File.dirname(@script)
      Dir.chdir(folder)
    end

    def command
      srand
      code = status { evaluate }
      while (last = @at_exit.pop)
        after = status(&last)
        code = after unless after.nil?
      end
      flush
      code || 0
    end

    def request
      srand
      answer(app_of(evaluate))
    rescue Exception => error
      report(error)
      ask("f")
    ensure
      flush
    end

    def at_exit(block)
      @at_exit.push(block)
      block
    end

    private

    # Runs the script, and gives its last value.
    def evaluate
      source = File.binread(@script)
      find_gems
      if (data = source.match(/^__END__\r?\n/n))
        Object.const_set(:DATA, StringIO.new(data.post_match.force_encoding(Encoding::UTF_8)))
      end
      source.force_encoding(Encoding::UTF_8)
      RubyVM::InstructionSequence.compile(source, @script, @script, 1).eval
    end

    # Gems beside the script, as `bundle install` with a path of `vendor/bundle` or `gem install --install-dir vendor` leaves them.
    def find_gems
      folder = File.dirname(@script)
      return unless File.directory?("#{folder}/vendor")
      found = Dir["#{folder}/vendor/{bundle/ruby/*/,}gems/*/lib"]
      $LOAD_PATH.unshift(*found)
    end

    # The exit code of a block, where it asks for one or fails.
    def status
      yield
      nil
    rescue SystemExit => exit
      exit.status
    rescue Exception => error
      report(error)
      1
    end

    def report(error)
      trace = error.backtrace&.reject { |line| line.start_with?(OWN, "eval:", "-e:") }
      error.set_backtrace(trace) if trace && !error.frozen?
      $stdout.flush
      $stderr.write(error.full_message(highlight: false, order: :top))
    rescue Exception
      $stderr.puts(error.class)
    end

    def flush
      $stdout.flush
      $stderr.flush
    rescue SystemCallError
      nil
    end
  end
end

# The interpreter itself never ends: what it would do then is done when a command's script has ended.
module Kernel
  def at_exit(&block) = Watertight.at_exit(block)
  module_function :at_exit

  # Without RubyGems there is nothing to choose from: `require` finds what is there.
  def gem(*) = true
  private :gem
end

# There are no threads: the deadline of the call ends what takes too long.
module Timeout
  def self.timeout(seconds, *) = yield(seconds)
  def timeout(seconds, *) = yield(seconds)
  private :timeout
end

# Bundler finds gems by RubyGems; here `vendor` is looked through for the script.
$LOADED_FEATURES.push("bundler/setup.rb", "rubygems.rb", "thread.rb")
