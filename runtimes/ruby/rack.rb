# Rack: a script's app gets the request as an environment and answers with a status, headers and a body.
#
# Its app is what it hands to `run`, as in a config.ru, or else its last value, the constant `App` or `APP`, or Sinatra's, where it
# answers to `call`. Bodies are read and written as they come.

module Watertight
  # Bodies are files of the glue's. They hold nothing of a cell, and can be open in the snapshot.
  INCOMING = File.open("/dev/watertight/request", "rb")
  OUTGOING = File.open("/dev/watertight/answer", "wb").tap { it.sync = true }

  # How much of a request's body is kept to be read again.
  MAX_KEPT = 16 << 20

  # The body of a request. Rack 2 rewinds it after it has read a form.
  class Input
    def initialize
      @kept = "".b
      @from = 0
    end

    def read(length = nil, into = nil)
      data = @from < @kept.bytesize ? again(length) : fresh(length)
      return data unless into
      into.replace(data || "")
      data && into
    end

    def gets(separator = $/)
      return read.then { it.empty? ? nil : it } if separator.nil?
      line = "".b
      until line.end_with?(separator)
        char = read(1) or break
        line << char
      end
      line.empty? ? nil : line
    end

    def each
      while (line = gets)
        yield line
      end
    end

    def rewind
      raise Errno::ESPIPE, "more than #{MAX_KEPT} bytes of the request's body were read" if @kept.frozen?
      @from = 0
    end

    def close = nil

    def binmode = self

    def external_encoding = Encoding::BINARY

    private

    def again(length)
      data = @kept.byteslice(@from, length || @kept.bytesize)
      @from += data.bytesize
      return data if length && data.bytesize == length
      data << (fresh(length && length - data.bytesize) || "")
    end

    def fresh(length)
      data = INCOMING.read(length)
      return data if data.nil? || @kept.frozen?
      if @kept.bytesize + data.bytesize > MAX_KEPT
        @kept = "".b.freeze
        @from = 0
      else
        @from = (@kept << data).bytesize
      end
      data
    end
  end

  # What a body that is called writes to.
  class Stream
    def initialize(input) = @input = input

    def write(*parts)
      parts.sum { |part| OUTGOING.write(part.to_s) }
    end

    def <<(part)
      write(part)
      self
    end

    def read(...) = @input.read(...)

    def flush = self

    def close(*) = @closed = true

    alias close_read close
    alias close_write close

    def closed? = @closed ? true : false
  end

  # What `run`, `use` and `map` of a config.ru put together.
  class Builder
    attr_reader :app

    def initialize
      @use = []
      @map = {}
    end

    def use(middleware, *arguments, **options, &block)
      @use << ->(app) { middleware.new(app, *arguments, **options, &block) }
    end

    def run(app = nil, &block) = @app = app || block

    def map(path, &block) = @map[path.chomp("/")] = Builder.new.tap { it.instance_eval(&block) }.to_app

    def warmup = yield(to_app)

    def freeze_app = nil

    def to_app
      app = @map.empty? ? @app : mapped(@map.sort_by { |path, _| -path.size }, @app)
      app && @use.reverse.inject(app) { |inner, outer| outer.call(inner) }
    end

    private

    def mapped(paths, otherwise)
      lambda do |env|
        info, name = env["PATH_INFO"], env["SCRIPT_NAME"]
        paths.each do |path, app|
          rest = info.delete_prefix(path)
          next unless info.start_with?(path) && (rest.empty? || rest.start_with?("/"))
          begin
            return app.call(env.merge!("SCRIPT_NAME" => name + path, "PATH_INFO" => rest))
          ensure
            env.update("SCRIPT_NAME" => name, "PATH_INFO" => info)
          end
        end
        otherwise ? otherwise.call(env) : [404, { "content-type" => "text/plain" }, ["not found\n"]]
      end
    end
  end

  BUILDER = Builder.new

  class << self
    private

    # The app of a script with this last value.
    def app_of(value)
      sinatra = Object.const_get(:Sinatra).then { it.const_defined?(:Application) && it::Application } if Object.const_defined?(:Sinatra)
      named = [:App, :APP].filter_map { Object.const_get(it) if Object.const_defined?(it) }
      app = [BUILDER.to_app, value, *named, sinatra].find { it.respond_to?(:call) }
      app or raise NameError, "#{@script} has no app: end it with `run app`, as in a config.ru"
    end

    def environment
      method, target, scheme, authority, *headers = texts("r")
      path, _, query = target.partition("?")
      host, colon, port = authority.rpartition(":")
      host, port = authority, scheme == "https" ? "443" : "80" if colon.empty? || port.end_with?("]")
      input = Input.new
      env = {
        "REQUEST_METHOD" => method, "SCRIPT_NAME" => "", "PATH_INFO" => path, "QUERY_STRING" => query, "REQUEST_URI" => target,
        "SERVER_NAME" => host, "SERVER_PORT" => port, "SERVER_PROTOCOL" => "HTTP/1.1", "HTTP_HOST" => authority,
        "rack.version" => [1, 6], "rack.url_scheme" => scheme, "rack.input" => input, "rack.errors" => $stderr,
        "rack.multithread" => false, "rack.multiprocess" => true, "rack.run_once" => true, "rack.hijack?" => false,
        "rack.response_finished" => []
      }
      headers.each_slice(2) do |name, value|
        # Two names that differ must not become one.
        next if name.include?("_")
        name = name.upcase.tr("-", "_")
        name = "HTTP_#{name}" unless name == "CONTENT_TYPE" || name == "CONTENT_LENGTH"
        next if name == "HTTP_HOST"
        env[name] = env.key?(name) ? env[name] + (name == "HTTP_COOKIE" ? "; " : ", ") + value : value
      end
      env
    end

    def answer(app)
      env = environment
      status, headers, body = app.call(env)
      send_head(status, headers)
      if body.respond_to?(:each)
        body.each { |part| OUTGOING.write(part) unless part.empty? }
      else
        body.call(Stream.new(env["rack.input"]))
      end
      ask("e")
    rescue Errno::EPIPE
      # Nobody reads it any more.
      ask("f")
    ensure
      body.close if body.respond_to?(:close)
      env["rack.response_finished"].reverse_each { it.call(env, status, headers, $!) } if env
    end

    def send_head(status, headers)
      lines = []
      headers.each do |name, values|
        next if name.start_with?("rack.")
        values = values.to_s.split("\n") unless values.is_a?(Array)
        values.each { |value| lines.push(name.downcase, value.to_s) }
      end
      raise ArgumentError, "a header holds a zero byte" if lines.any? { it.include?("\0") }
      return if number("h", status.to_i, lines.size / 2, *lines) == 1
      raise ArgumentError, "the answer has a header or a status that is none: #{status.inspect} #{headers.inspect}"
    end
  end
end

# `run`, `use` and `map` at the top of a script.
class << self
  def run(...) = Watertight::BUILDER.run(...)
  def use(...) = Watertight::BUILDER.use(...)
  def map(...) = Watertight::BUILDER.map(...)
  def warmup(...) = Watertight::BUILDER.warmup(...)
end
