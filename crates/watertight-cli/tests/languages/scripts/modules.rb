# What a script does with other components: the same paths in every language.

require "watertight:test/behave"
require "watertight/test/types"

$stderr.puts "loading"

Behave = Watertight::Test::Behave
Types = Watertight::Test::Types
Person = Struct.new(:name, :age, :tags, :home)
Home = Data.define(:x, :y)

PERSON = { name: "Ada ü", age: 36, tags: ["x", ""], home: { x: -1, y: 2 } }.freeze

# A function, what it is given, and what it gives, if that is another value.
VALUES = [
  [:bools, true], [:bools, false],
  [:u8s, 255],
  [:s8s, -128],
  [:u32s, 4_294_967_295],
  [:s32s, -2_147_483_648],
  [:u64s, 18_446_744_073_709_551_615],
  [:s64s, -9_223_372_036_854_775_808],
  [:f32s, 0.5],
  [:f64s, 1e300],
  [:f64s, 3, 3.0],
  [:chars, "ß"],
  [:strings, "two\0 ✓ 😀"],
  [:strings, :symbol, "symbol"],
  [:bytes, "\0\xff\1".b],
  [:bytes, [1, 2], "\1\2".b],
  [:wide_list, [1, 2]],
  [:string_list, ["a", "", "ü"]],
  [:list_list, [[], ["a"], %w[b c]]],
  [:persons, PERSON],
  [:persons, Person.new("Ada ü", 36, ["x", ""], Home.new(-1, 2)), PERSON],
  [:persons, { "home" => PERSON[:home], "tags" => [], "name" => "no age", "age" => nil }, { name: "no age", age: nil, tags: [], home: PERSON[:home] }],
  [:person_list, [PERSON, PERSON]],
  [:tuples, [1, "two", 3.5, { x: 4, y: 5 }]],
  [:colours, :green, "green"],
  [:shapes, "nothing", { tag: "nothing" }],
  [:shapes, { tag: :named, val: "dot" }, { tag: "named", val: "dot" }],
  [:shapes, { tag: "many", val: [{ tag: "of", val: "red" }, { tag: "grey", val: 3 }] }],
  [:fews, Set[:a, :c], %w[a c]],
  [:nines, []],
  [:options, nil],
  [:options, 5],
  [:option_options, { tag: "some", val: nil }],
  [:option_options, { tag: "none" }],
  [:results, { tag: "ok", val: 1 }, 1],
  [:result_list, [{ tag: "ok", val: "a" }, { tag: "ok", val: nil }, { tag: "err", val: "\x09" }]]
].freeze

def values
  wrong = VALUES.filter_map do |name, given, wanted = given|
    got = Types.public_send(name, given)
    "#{name}: #{got.inspect}" unless got.eql?(wanted)
  end
  wrong << "f64s" unless Types.f64s(Float::NAN).nan? && 1 / Types.f64s(-0.0) < 0
  wrong << "strings" unless Types.strings("ü").encoding == Encoding::UTF_8 && Types.bytes("ü").encoding == Encoding::BINARY
  # The last argument may be a record without braces.
  wrong << "persons" unless Types.persons(**PERSON)[:home] in { y: 2 }
  wrong << "nothing" unless Types.nothing.nil?
  wrong << "sixteen" unless Types.sixteen(*1..16) == 136
  wrong << "strings_and_more" if Types.strings_and_more(*"a".."h", 1, ["i"]).size < 9
  wrong << "again" if require "watertight:test/types"
  wrong.empty? ? "all values are the same" : wrong.join("\n")
end

MISTAKES = {
  "type" => -> { Types.u8s("one") },
  "range" => -> { Types.u8s(256) },
  "count" => -> { Types.u8s(1, 2) },
  "field" => -> { Types.points(x: 1, z: 2) },
  "lacks" => -> { Types.persons(name: "x", tags: [], home: { x: 1 }) },
  "case" => -> { Types.colours(:mauve) },
  "function" => -> { Types.bytes(-> {}) }
}.freeze

def caught
  "returned #{yield}"
rescue TypeError => error
  "mistake: #{error.message}"
rescue Watertight::ModuleError => error
  "#{error.class.name.split("::").last} #{error.kind} #{error.payload || "nil"}: #{error.message}"
end

def unknown
  require "watertight:test/nowhere"
rescue LoadError => error
  error.message
end

run(lambda do |env|
  _, what, which = env["PATH_INFO"].split("/")
  text =
    case what
    when "values" then values
    when "run" then caught { Behave.run(which.to_i) }
    when "quiet" then caught { Behave.quiet(which.to_i) }
    when "plain" then caught { Behave.plain(which.to_i) }
    when "mistake" then caught(&MISTAKES[which])
    when "unknown" then unknown
    when "uncaught" then Behave.plain(1).to_s
    end
  [200, { "content-type" => "text/plain; charset=utf-8" }, [text]]
end)
