import { CallError, createClient } from "./client/index.js";
import { check } from "./check.mjs";

const client = createClient({ baseUrl: process.argv[2] });
console.log(await check(client, CallError));

const cut = createClient({ baseUrl: process.argv[2], signal: AbortSignal.abort() });
console.log(await cut.types.nothing().catch((error) => error.name));
const sent = [];
const watched = createClient({
  baseUrl: "http://nowhere.example/app/",
  headers: { authorization: "Bearer x" },
  fetch: async (url, { headers, body }) => {
    sent.push(url, headers.get("authorization"), body);
    return new Response("<html>", { status: 502, statusText: "Bad Gateway" });
  },
});
console.log(await watched.types.options().catch((error) => `${error.kind} ${error.status}`), ...sent);
