// What a script does with other components: the same paths in every language.

import { run, quiet, plain } from "watertight:test/behave";
import * as types from "watertight:test/types";

console.error("loading");

const same = (a, b) =>
  typeof a === "object" && a !== null && b !== null
    ? Object.keys(a).length === Object.keys(b).length && Object.keys(a).every((key) => same(a[key], b[key]))
    : Object.is(a, b);

const person = { name: "Ada ü", age: 36, tags: ["x", ""], home: { x: -1, y: 2 } };

// A function, what it is given, and what it gives, if that is another value.
const VALUES = [
  ["bools", true],
  ["u8s", 255],
  ["s8s", -128],
  ["u32s", 4294967295],
  ["s32s", -2147483648],
  ["u64s", 18446744073709551615n],
  ["u64s", 7, 7n],
  ["s64s", -9223372036854775808n],
  ["f32s", 0.5],
  ["f64s", NaN],
  ["f64s", -0],
  ["f64s", 1e300],
  ["f64s", 3],
  ["chars", "ß"],
  ["strings", "two\0 ✓ 😀"],
  ["bytes", new Uint8Array([0, 255, 1])],
  ["bytes", [1, 2], new Uint8Array([1, 2])],
  ["wideList", [1n, 2n]],
  ["stringList", ["a", "", "ü"]],
  ["listList", [[], ["a"], ["b", "c"]]],
  ["persons", person],
  ["persons", { home: person.home, tags: [], name: "no age" }, { name: "no age", age: null, tags: [], home: person.home }],
  ["personList", [person, person]],
  ["tuples", [1, "two", 3.5, { x: 4, y: 5 }]],
  ["colours", "green"],
  ["shapes", "nothing", { tag: "nothing" }],
  ["shapes", { tag: "named", val: "dot" }],
  ["shapes", { tag: "many", val: [{ tag: "of", val: "red" }, { tag: "grey", val: 3 }] }],
  ["fews", ["a", "c"]],
  ["nines", []],
  ["options", null],
  ["options", undefined, null],
  ["options", 5],
  ["optionOptions", { tag: "some", val: null }],
  ["optionOptions", { tag: "none" }],
  ["results", { tag: "ok", val: 1 }, 1],
  ["resultList", [{ tag: "ok", val: "a" }, { tag: "ok", val: null }, { tag: "err", val: new Uint8Array([9]) }]],
];

const values = () => {
  const wrong = [];
  for (const [name, given, wanted = given] of VALUES) {
    const got = types[name](given);
    if (!same(got, wanted)) wrong.push(`${name}: ${JSON.stringify(got, (_, value) => (typeof value === "bigint" ? `${value}n` : value))}`);
  }
  if (types.nothing() !== null) wrong.push("nothing");
  if (types.sixteen(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16) !== 136n) wrong.push("sixteen");
  if (types.stringsAndMore("a", "b", "c", "d", "e", "f", "g", "h", 1, ["i"]).length < 9) wrong.push("stringsAndMore");
  return wrong.join("\n") || "all values are the same";
};

const MISTAKES = {
  type: () => types.u8s("one"),
  range: () => types.u8s(256),
  count: () => types.u8s(1, 2),
  field: () => types.points({ x: 1, z: 2 }),
  lacks: () => types.persons({ name: "x", tags: [], home: { x: 1 } }),
  case: () => types.colours("mauve"),
  function: () => types.bytes(() => 1),
};

const caught = (action) => {
  try {
    return `returned ${action()}`;
  } catch (error) {
    return error instanceof TypeError ? `mistake: ${error.message}` : `${error.name} ${error.kind} ${error.payload}: ${error.message}`;
  }
};

export default {
  async fetch(request) {
    const [, what, which] = new URL(request.url).pathname.split("/");
    switch (what) {
      case "values": return new Response(values());
      case "run": return new Response(caught(() => run(Number(which))));
      case "quiet": return new Response(caught(() => quiet(Number(which))));
      case "plain": return new Response(caught(() => plain(Number(which))));
      case "mistake": return new Response(caught(MISTAKES[which]));
      case "unknown": {
        const failed = await import("watertight:test/nowhere").catch((error) => error);
        return new Response(failed.message);
      }
      case "uncaught": return new Response(String(plain(1)));
    }
    return new Response("nothing here", { status: 404 });
  },
};
