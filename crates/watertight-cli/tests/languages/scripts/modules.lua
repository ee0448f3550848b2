-- What a script does with other components: the same paths in every language.

local behave = require "watertight:test/behave"
local types = require "watertight:test/types"

io.stderr:write("loading\n")

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then return a == b and math.type(a) == math.type(b) end
  for key in pairs(a) do if not same(a[key], b[key]) then return false end end
  for key in pairs(b) do if a[key] == nil then return false end end
  return true
end

local person = { name = "Ada ü", age = 36, tags = { "x", "" }, home = { x = -1, y = 2 } }

-- A function, what it is given, and what it gives, if that is another value.
local VALUES = {
  { "bools", true },
  { "u8s", 255 },
  { "s8s", -128 },
  { "u32s", 4294967295 },
  { "s32s", -2147483648 },
  { "u64s", 9223372036854775807 },
  { "s64s", math.mininteger },
  { "f32s", 0.5 },
  { "f64s", 1e300 },
  { "f64s", 3, 3.0 },
  { "u8s", 3.0, 3 },
  { "chars", "ß" },
  { "strings", "two\0 ✓ 😀" },
  { "bytes", "\0\255\1" },
  { "bytes", { 1, 2 }, "\1\2" },
  { "wide_list", { 1, 2 } },
  { "string_list", { "a", "", "ü" } },
  { "list_list", { {}, { "a" }, { "b", "c" } } },
  { "persons", person },
  { "persons", { home = person.home, tags = {}, name = "no age" } },
  { "person_list", { person, person } },
  { "tuples", { 1, "two", 3.5, { x = 4, y = 5 } } },
  { "colours", "green" },
  { "shapes", "nothing", { tag = "nothing" } },
  { "shapes", { tag = "named", val = "dot" } },
  { "shapes", { tag = "many", val = { { tag = "of", val = "red" }, { tag = "grey", val = 3 } } } },
  { "fews", { "a", "c" } },
  { "nines", {} },
  { "options", 5 },
  { "option_options", { tag = "some" } },
  { "option_options", { tag = "none" } },
  { "results", { tag = "ok", val = 1 }, 1 },
  { "result_list", { { tag = "ok", val = "a" }, { tag = "err", val = "\9" } } },
}

local function values()
  local wrong = {}
  for _, value in ipairs(VALUES) do
    local name, given, wanted = value[1], value[2], value[3]
    if wanted == nil then wanted = given end
    local got = types[name](given)
    if not same(got, wanted) then wrong[#wrong + 1] = name .. ": " .. tostring(got) end
  end
  local nan = types.f64s(0 / 0)
  if nan == nan then wrong[#wrong + 1] = "f64s" end
  if types.options(nil) ~= nil or types.options() ~= nil then wrong[#wrong + 1] = "options" end
  if types.nothing() ~= nil then wrong[#wrong + 1] = "nothing" end
  if types.sixteen(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16) ~= 136 then wrong[#wrong + 1] = "sixteen" end
  if #types.strings_and_more("a", "b", "c", "d", "e", "f", "g", "h", 1, { "i" }) < 9 then wrong[#wrong + 1] = "strings_and_more" end
  return #wrong > 0 and table.concat(wrong, "\n") or "all values are the same"
end

local MISTAKES = {
  type = function() return types.u8s("one") end,
  range = function() return types.u8s(256) end,
  count = function() return types.u8s(1, 2) end,
  field = function() return types.points { x = 1, z = 2 } end,
  lacks = function() return types.persons { name = "x", tags = {}, home = { x = 1 } } end,
  case = function() return types.colours("mauve") end,
  ["function"] = function() return types.bytes(print) end,
}

local function caught(action, ...)
  local good, result = pcall(action, ...)
  if good then return "returned " .. tostring(result) end
  if type(result) == "string" then return "mistake: " .. result end
  return ("ModuleError %s %s: %s"):format(result.kind, result.payload, result)
end

return function(request)
  local what, which = request.path:match("^/([^/]*)/?(.*)$")
  if what == "values" then return 200, {}, values() end
  if what == "run" then return 200, {}, caught(behave.run, tonumber(which)) end
  if what == "quiet" then return 200, {}, caught(behave.quiet, tonumber(which)) end
  if what == "plain" then return 200, {}, caught(behave.plain, tonumber(which)) end
  if what == "mistake" then return 200, {}, caught(MISTAKES[which]) end
  if what == "unknown" then return 200, {}, select(2, pcall(require, "watertight:test/nowhere")) end
  if what == "uncaught" then return 200, {}, tostring(behave.plain(1)) end
  return 404, {}, "nothing here"
end
