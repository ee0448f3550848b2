//! JavaScript.

use std::fs;

use http::Request;

use crate::{
    battery,
    client::Client,
    program::{Server, run},
};

battery!("mjs");

#[test]
fn the_globals_of_the_web_are_there() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let script = folder.path().join("app.mjs");
    fs::write(
        &script,
        r#"
import { extension } from "./lib.mjs";
import data from "./data.json" with { type: "json" };
import greet from "greeter";

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const order = [];
setTimeout(() => order.push("timer"), 5);
queueMicrotask(() => order.push("microtask"));
await wait(20);
console.log(order.join(), new TextDecoder().decode(new TextEncoder().encode("grün")), extension, data.n, greet("you"));
console.log(new URL("../b?c=1#d", "http://user@host:81/a/x").href, atob(btoa("abc")), structuredClone({ a: [1] }));
const form = new FormData();
form.append("file", new File(["content"], "a.txt", { type: "text/plain" }));
const sent = await new Request("http://h/", { method: "POST", body: form }).formData();
console.log(sent.get("file").name, await sent.get("file").text());
const stream = new ReadableStream({ start(c) { c.enqueue("a"); c.enqueue("b"); c.close(); } });
console.log(await new Response(stream).text(), Response.json({ a: 1 }).headers.get("content-type"));
const stop = new AbortController();
stop.signal.addEventListener("abort", () => console.log("aborted"));
stop.abort();
console.log(crypto.getRandomValues(new Uint8Array(4)).length, typeof Intl, typeof WebAssembly, typeof require);
"#,
    )
    .expect("the temporary folder is writable");
    let package = folder.path().join("node_modules/greeter");
    fs::create_dir_all(&package).expect("the temporary folder is writable");
    for (path, text) in [
        (folder.path().join("lib.mjs"), "export const extension = import.meta.url;"),
        (folder.path().join("data.json"), "{ \"n\": 7 }"),
        (package.join("package.json"), "{ \"exports\": { \"import\": \"./main.mjs\" } }"),
        (package.join("main.mjs"), "export default (name) => `hi ${name}`;"),
    ] {
        fs::write(path, text).expect("the temporary folder is writable");
    }
    let done = run(&["run", script.to_str().expect("test paths are text")]);
    let expected = "microtask,timer grün file:///app/lib.mjs 7 hi you\nhttp://user@host:81/b?c=1#d abc { a: [ 1 ] }\n\
                    a.txt content\nab application/json\naborted\n4 undefined undefined undefined\n";
    assert_eq!((done.text(), done.stderr.as_str()), (expected, ""));
}

#[test]
fn a_handler_that_waits_for_nothing_fails_and_does_not_hang() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let script = folder.path().join("app.mjs");
    fs::write(&script, "export default { fetch: () => new Promise(() => {}) };").expect("the folder is writable");
    let mut server = Server::start(&script);
    let mut client = Client::new(server.address);
    let answer = client.send(Request::get("/"), "");
    assert_eq!(answer.status(), 500);
    server.log("a promise is waited for that nothing will settle");
}

/// What a snapshot holds is not counted any more: whatever a request does to it, and however much it throws away, comes out as ever.
#[test]
fn what_was_loaded_can_be_changed_and_thrown_away_like_anything_else() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let script = folder.path().join("app.mjs");
    fs::write(
        &script,
        r#"
class Node { constructor(next) { this.next = next; this.self = this; } }
const record = { a: 1, b: "two" }, list = [3, 1, 2], map = new Map([["k", record]]), weak = new WeakMap([[record, "w"]]);
const held = new WeakRef(list), bytes = new Uint8Array(16), text = "ab".repeat(50), key = Symbol("key");
let chain = null;
for (let n = 0; n < 100; n++) chain = new Node(chain);
const counter = (() => { let n = 0; return () => ++n; })();

function change() {
  for (let n = 0; n < 2000; n++) { record["p" + n] = n; list.push(n); map.set("m" + n, { record, n }); }
  for (let n = 0; n < 2000; n += 2) { delete record["p" + n]; map.delete("m" + n); }
  delete record.b;
  record[key] = text + text;
  list.sort((a, b) => a - b).splice(5, 1900);
  Node.prototype.depth = function () { return this.next ? 1 + this.next.depth() : 1; };
  Object.defineProperty(record, "a", { get: () => counter() });
  Array.prototype.last = function () { return this[this.length - 1]; };
  globalThis.added = list;
  bytes.fill(7);
}

export default {
  async fetch() {
    change();
    let thrown = 0;
    for (let n = 0; n < 300_000; n++) { const a = { n }, b = { a, chain, record }; a.b = b; thrown += b.a.n === n; }
    chain = chain.next.next;
    await null;
    return Response.json([
      thrown, Object.keys(record).length, record.a, record.a, record[key].length, list.length, list.last(), map.size, weak.get(record),
      held.deref() === list, chain.depth(), bytes.join(""), counter(), added === list, Object.getOwnPropertySymbols(record).length,
    ]);
  },
};
"#,
    )
    .expect("the folder is writable");
    let server = Server::start(&script);
    let mut client = Client::new(server.address);
    for _ in 0..3 {
        let answer = client.send(Request::get("/"), "");
        let expected = r#"[300000,1001,1,2,200,103,1999,1001,"w",true,98,"7777777777777777",3,true,1]"#;
        assert_eq!((answer.status().as_u16(), String::from_utf8_lossy(answer.body()).as_ref()), (200, expected));
    }
}

#[test]
fn packages_in_common_js_are_imported_and_required() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let files = [
        (
            "app.mjs",
            r#"
import shout, { twice, version } from "loud";
import legacy from "legacy";
import { both } from "dual";
import deep from "legacy/lib/deep";
console.log(shout("hi"), twice(2), version, legacy.where, legacy.cycle(), both, deep.name);
try { await import("lost"); } catch (error) { console.log(error.message); }
try { await import("mixed"); } catch (error) { console.log(error.message); }
"#,
        ),
        ("node_modules/loud/package.json", r#"{ "version": "1.2.3", "main": "./lib" }"#),
        (
            "node_modules/loud/lib/index.js",
            r#"#!/usr/bin/env node
"use strict";
const { version } = require("../package.json");
module.exports = (text) => text.toUpperCase() + "!";
module.exports.twice = require("./twice");
module.exports.version = version;
module.exports.default = "not this";
"#,
        ),
        ("node_modules/loud/lib/twice.js", "exports = module.exports = (n) => n * 2;"),
        (
            "node_modules/legacy/index.js",
            r#"
(function (root, factory) {
  if (typeof define === "function" && define.amd) define([], factory);
  else if (typeof module === "object" && module.exports) module.exports = factory(require);
  else root.legacy = factory();
})(this, function (require) {
  const path = require("path");
  return { where: path.basename(require.resolve("loud")), cycle: () => require("./lib/a").fromB() };
});
"#,
        ),
        (
            "node_modules/legacy/lib/a.js",
            r#"exports.name = "a"; const b = require("./b"); exports.fromB = () => b.ofA();"#,
        ),
        ("node_modules/legacy/lib/b.js", r#"const a = require("./a.js"); exports.ofA = () => a.name + "<-b";"#),
        ("node_modules/legacy/lib/deep/package.json", r#"{ "main": "main.cjs" }"#),
        ("node_modules/legacy/lib/deep/main.cjs", "module.exports.name = __filename.split('/').pop();"),
        ("node_modules/dual/package.json", r#"{ "exports": { "require": "./c.cjs", "import": "./e/m.js" } }"#),
        ("node_modules/dual/c.cjs", "exports.both = 'common';"),
        ("node_modules/dual/e/package.json", r#"{ "type": "module" }"#),
        (
            "node_modules/dual/e/m.js",
            "import c from '../c.cjs'; export const both = `module over ${c.both}`; // module.exports is elsewhere",
        ),
        ("node_modules/lost/index.js", "module.exports = require('util');"),
        ("node_modules/mixed/index.js", "module.exports = require('./m.mjs');"),
        ("node_modules/mixed/m.mjs", "export default 1;"),
    ];
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("it lies in the folder")).expect("the temporary folder is writable");
        fs::write(path, text).expect("the temporary folder is writable");
    }
    let done = run(&["run", folder.path().join("app.mjs").to_str().expect("test paths are text")]);
    let expected = "HI! 4 1.2.3 index.js a<-b module over common main.cjs\n\
                    cannot find package 'util': install it into node_modules beside the script\n\
                    '/app/node_modules/mixed/m.mjs' is an ES module: use import, not require\n";
    assert_eq!((done.text(), done.stderr.as_str()), (expected, ""));
}
