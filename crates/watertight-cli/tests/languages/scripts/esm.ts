import { CallError, createClient, type Client, type Types } from "./client/index.js";

const client: Client = createClient({ baseUrl: new URL("http://127.0.0.1:8080"), headers: { a: "b" } });

export async function use(): Promise<void> {
  const bytes: Uint8Array = await client.types.bytes(new Uint8Array(1));
  const wide: bigint = await client.types.u64s(1n);
  const person: Types.Person = { name: "Ada", tags: [], home: { x: 1, y: 2 } };
  const again: Types.Person = await client.types.persons(person);
  const age: number | null | undefined = again.age;
  const shape: Types.Shape = { tag: "dot", val: { x: 1, y: 2 } };
  const seen = await client.types.shapes(shape);
  if (seen.tag === "named") seen.val.toUpperCase();
  const colour: Types.Colour = "red";
  const few: Types.Few = ["a", "b"];
  const maybe: number | null = await client.types.options();
  const nested = await client.types.optionOptions({ tag: "some", val: null });
  if (nested.tag === "some") nested.val?.toFixed();
  const inner = await client.types.resultList([{ tag: "err", val: bytes }]);
  const sum: bigint = await client.types.seventeen(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17);
  const nothing: void = await client.types.nothing();
  const run: number = await client.goodWatertightTestBehave.run(1);
  try {
    await client.badWatertightTestBehave.run(1);
  } catch (error) {
    if (error instanceof CallError) console.log(error.kind, error.status, error.payload);
  }
  console.log(wide, age, colour, few, maybe, inner, sum, nothing, run);
  // @ts-expect-error: a number is no text
  await client.types.strings(1);
  // @ts-expect-error: there is no such colour
  await client.types.colours("blau");
  // @ts-expect-error: a field is missing
  await client.types.points({ x: 1 });
  // @ts-expect-error: an argument is missing
  await client.types.strings();
}
