# Other components of the app: after `require "press:markdown/render"`, its functions are those of Press::Markdown::Render. Values are
# CBOR on the way there and back.
#
# A call that fails raises Watertight::ModuleError; one with arguments that the function does not take, a TypeError.

module Watertight
  class ModuleError < StandardError
    # How it failed, and what the function returned as its error.
    attr_reader :kind, :payload

    def initialize(message = nil, kind: "host", payload: nil)
      super(message)
      @kind = kind
      @payload = payload
    end
  end

  # Writes values. Strings and symbols are what is wanted where they go: text, bytes or the name of a case.
  module Values
    # Deeper is a circle.
    MAX_DEPTH = 200

    STRING = 30_580

    class << self
      def write(value, into = "".b, depth = 0)
        raise TypeError, "what is nested so deep cannot be given to another component" if depth > MAX_DEPTH
        case value
        when nil then into << 0xf6
        when true then into << 0xf5
        when false then into << 0xf4
        when Integer then integer(into, value)
        when Float then into << [0xfb, value].pack("CG")
        when String then head(head(into, 6, STRING), 2, value.bytesize) << value.b
        when Symbol then write(value.name, into, depth)
        when Hash
          head(into, 5, value.size)
          value.each { |name, each| write(each, write(name, into, depth + 1), depth + 1) }
        when Array, Set
          head(into, 4, value.size)
          value.each { |each| write(each, into, depth + 1) }
        when Struct, Data then write(value.to_h, into, depth)
        else raise TypeError, "#{value.class} cannot be given to another component"
        end
        into
      end

      private

      def integer(into, value)
        raise TypeError, "#{value} cannot be given to another component: it has more than 64 bits" if value.bit_length > 64
        value.negative? ? head(into, 1, ~value) : head(into, 0, value)
      end

      def head(into, major, number)
        first = major << 5
        return into << (first | number) if number < 24
        return into << [first | 24, number].pack("CC") if number < 1 << 8
        return into << [first | 25, number].pack("Cn") if number < 1 << 16
        return into << [first | 26, number].pack("CN") if number < 1 << 32
        into << [first | 27, number].pack("CQ>")
      end
    end
  end

  # Reads values that the host wrote: they are well-formed.
  class Reader
    # A map with keys of any type, where others are records.
    MAP = 259

    SIZES = { 24 => [1, "C"], 25 => [2, "n"], 26 => [4, "N"], 27 => [8, "Q>"] }.freeze

    def initialize(bytes)
      @bytes = bytes
      @at = 0
    end

    def value(is_map: false)
      first = take(1).getbyte(0)
      major, low = first >> 5, first & 31
      return simple(low) if major == 7
      number = low
      if low >= 24
        size, format = SIZES.fetch(low)
        number = take(size).unpack1(format)
      end
      case major
      when 0 then number
      when 1 then ~number
      when 2 then take(number)
      when 3 then take(number).force_encoding(Encoding::UTF_8)
      when 4 then Array.new(number) { value }
      when 5 then pairs(number, is_map)
      else value(is_map: is_map || number == MAP)
      end
    end

    private

    def take(count)
      @at += count
      @bytes.byteslice(@at - count, count)
    end

    def pairs(count, is_map)
      Array.new(count) { [is_map ? value : value.tr("-", "_").to_sym, value] }.to_h
    end

    def simple(low)
      case low
      when 20 then false
      when 21 then true
      when 26 then take(4).unpack1("g")
      when 27 then take(8).unpack1("G")
      end
    end
  end

  @modules = {}

  class << self
    # Makes another component's interface a module: true the first time, false later, nil where there is none of this name.
    def import(path)
      meant = path.include?(":")
      return unless meant || path.count("/") == 2
      name = meant ? path : path.sub("/", ":")
      return false if @modules[name]
      asked = ask("m", name)
      if asked.to_i == 1
        @modules[name] = define(name, asked.to_s.split("\0", -1)[0...-1])
        return true
      end
      return unless meant && name.match?(/\A[a-z][a-z0-9-]*:[a-z]/)
      raise LoadError, "no component that this one uses exports '#{name}': in watertight.toml, list one that does in its `uses`"
    end

    def call(component, function, arguments)
      asked = ask("c", component, function, Values.write(arguments))
      answer = asked.to_s.b
      return Reader.new(answer).value if asked.to_i == 1
      kind, message, payload = answer.split("\0", 3).each { |text| text.force_encoding(Encoding::UTF_8) }
      raise TypeError, message if kind == "type"
      payload = payload.empty? ? nil : Reader.new(payload.b).value
      raise ModuleError.new(message, kind:, payload:)
    end

    private

    def define(name, functions)
      names = name.sub(/@.*/, "").split(%r{[:/]}).map { |part| part.split("-").map { |word| word[0].upcase + word[1..] }.join }
      place = names.inject(Object) do |outer, part|
        outer.const_defined?(part, false) ? outer.const_get(part, false) : outer.const_set(part, Module.new)
      end
      functions.each do |function|
        place.define_singleton_method(function.tr("-", "_")) do |*arguments|
          Watertight.call(name, function, arguments)
        end
      end
      place
    end
  end
end

module Kernel
  alias watertight_require require
  private :watertight_require

  def require(path)
    known = path.is_a?(String) ? Watertight.import(path) : nil
    known.nil? ? watertight_require(path) : known
  end
  private :require
end
