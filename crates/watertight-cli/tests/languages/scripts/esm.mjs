// Calls every function of a client, in Node.js and in browsers, and says what is not as it should be.
const same = (a, b) => {
  if (Object.is(a, b)) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [one, other] = [Object.keys(a), Object.keys(b)];
  return one.length === other.length && one.every((key) => key in b && same(a[key], b[key]));
};

export const check = async ({ types, goodWatertightTestBehave: good, badWatertightTestBehave: bad, brokenWatertightTestBehave: broken }, CallError) => {
  const wrong = [];
  const echo = async (name, given, wanted = given) => {
    const got = await types[name](given);
    if (!same(got, wanted)) wrong.push(name);
  };
  await echo("bools", true);
  await echo("s8s", -128);
  await echo("u64s", 18446744073709551615n);
  await echo("u64s", 7, 7n);
  await echo("s64s", -9223372036854775808n);
  for (const number of [0.1, -0, 1e300, NaN, Infinity, -Infinity]) await echo("f64s", number);
  await echo("chars", "🌊");
  await echo("strings", 'é\n"\\\u{0}🌊'.repeat(1000));
  await echo("bytes", Uint8Array.from({ length: 100_000 }, (_, at) => at));
  await echo("bytes", Uint8Array.of(1, 2, 3).subarray(1), Uint8Array.of(2, 3));
  await echo("wideList", [1n, 2n]);
  await echo("wideList", new Set([1n, 2n]), [1n, 2n]);
  await echo("mixeds", { a: 1, b: 2n, c: true, d: 0.5, e: "x", f: -3 });
  await echo("mixedList", [{ a: 1, b: 2n, c: true, d: 0.5, e: "x", f: -3 }]);
  await echo("persons", { name: "Ada", age: null, tags: ["x"], home: { x: 1, y: -1 } });
  await echo("persons", { name: "Ada", tags: [], home: { x: 1, y: 2 } }, { name: "Ada", age: null, tags: [], home: { x: 1, y: 2 } });
  await echo("tuples", [1, "two", 3.5, { x: 4, y: 5 }]);
  await echo("colours", "green");
  await echo("shapes", { tag: "nothing" });
  await echo("shapes", { tag: "wide", val: 5n });
  await echo("shapes", { tag: "many", val: [{ tag: "of", val: "red" }] });
  await echo("nines", ["f0", "f8"]);
  await echo("nines", new Set(["f1"]), ["f1"]);
  await echo("options", undefined, null);
  await echo("optionOptions", { tag: "some", val: null });
  await echo("optionOptions", { tag: "none" });
  await echo("resultList", [{ tag: "ok", val: null }, { tag: "err", val: Uint8Array.of(255) }]);
  if ((await types.sixteen(...Array.from({ length: 16 }, (_, at) => at))) !== 120n) wrong.push("sixteen");
  if ((await types.nothing()) !== undefined) wrong.push("nothing");

  if ((await good.run(1)) !== 2) wrong.push("run");
  const thrown = async (call) => {
    try {
      return `returned ${await call()}`;
    } catch (error) {
      return error;
    }
  };
  const failed = await thrown(() => bad.run(1));
  if (!(failed instanceof CallError && failed.kind === "error" && failed.payload === "asked to fail" && failed.status === 422)) wrong.push(`error: ${failed}`);
  const trapped = await thrown(() => broken.plain(1));
  if (!(trapped instanceof CallError && trapped.kind === "trap" && trapped.status === 500 && trapped.payload === undefined)) wrong.push(`trap: ${trapped}`);
  for (const call of [() => types.u8s(256), () => types.persons({ name: "Ada", nmae: "x" }), () => types.strings(), () => types.stringList("abc")]) {
    const mistake = await thrown(call);
    if (!(mistake instanceof TypeError)) wrong.push(`mistake: ${mistake}`);
  }
  return wrong.length === 0 ? "all is well" : wrong.join(", ");
};
