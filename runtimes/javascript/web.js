// The globals of the web, on what glue.c gives: fetch handlers, URLs, text, timers, chance. And the few modules of Node.js that a script
// needs to be a command. It is run once, when the snapshot is taken; `wake` is the first thing in each cell.

import "core-js/actual/structured-clone.js";
import "core-js/web/url.js";
import "core-js/web/url-search-params.js";
import { ReadableStream, TransformStream, WritableStream } from "web-streams-polyfill";
import * as path from "path-browserify";

const host = globalThis.__host;
const define = (name, value) =>
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });

let impure = false;
let waking = false;

// ---- text

class TextEncoder {
  get encoding() {
    return "utf-8";
  }
  encode(text = "") {
    return host.encode(String(text));
  }
  encodeInto(text, into) {
    const bytes = host.encode(String(text)).subarray(0, into.length);
    into.set(bytes);
    return { read: bytes.length, written: bytes.length };
  }
}

const bytesOf = (data) =>
  data instanceof Uint8Array
    ? data
    : ArrayBuffer.isView(data)
      ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
      : new Uint8Array(data);

class TextDecoder {
  #rest = new Uint8Array(0);
  constructor(label = "utf-8", { fatal = false } = {}) {
    if (!/^(utf-?8|unicode-1-1-utf-8)$/i.test(label)) throw new RangeError(`there is no decoder for ${label}`);
    this.encoding = "utf-8";
    this.fatal = fatal;
  }
  decode(data = new Uint8Array(0), { stream = false } = {}) {
    let bytes = bytesOf(data);
    if (this.#rest.length) {
      const whole = new Uint8Array(this.#rest.length + bytes.length);
      whole.set(this.#rest);
      whole.set(bytes, this.#rest.length);
      bytes = whole;
      this.#rest = new Uint8Array(0);
    }
    if (stream) {
      // A character that is cut off waits for its rest.
      let end = bytes.length;
      for (let back = 1; back <= Math.min(3, bytes.length); back++) {
        const byte = bytes[bytes.length - back];
        if ((byte & 0xc0) === 0x80) continue;
        const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
        if (needs > back) end = bytes.length - back;
        break;
      }
      this.#rest = bytes.slice(end);
      bytes = bytes.subarray(0, end);
    }
    const text = host.decode(bytes);
    if (this.fatal && text.includes("\ufffd")) throw new TypeError("not UTF-8");
    return text.startsWith("\ufeff") ? text.slice(1) : text;
  }
}

define("TextEncoder", TextEncoder);
define("TextDecoder", TextDecoder);

// ---- console

const shown = (value, depth = 0) => {
  if (typeof value === "string") return depth ? JSON.stringify(value) : value;
  if (typeof value === "function") return `[Function: ${value.name || "(anonymous)"}]`;
  if (typeof value === "bigint") return `${value}n`;
  if (value === null || typeof value !== "object") return String(value);
  if (value instanceof Error) return `${value}\n${value.stack ?? ""}`.trimEnd();
  if (depth > 3) return Array.isArray(value) ? "[Array]" : "[Object]";
  if (Array.isArray(value)) return value.length ? `[ ${value.map((item) => shown(item, depth + 1)).join(", ")} ]` : "[]";
  if (value instanceof Map) return `Map(${value.size}) ${shown(Object.fromEntries(value), depth + 1)}`;
  if (value instanceof Set) return `Set(${value.size}) ${shown([...value], depth + 1)}`;
  if (value instanceof Date) return value.toISOString();
  const entries = Object.entries(value).map(([key, item]) => `${/^[\w$]+$/.test(key) ? key : JSON.stringify(key)}: ${shown(item, depth + 1)}`);
  const name = value.constructor?.name;
  return `${name && name !== "Object" ? `${name} ` : ""}${entries.length ? `{ ${entries.join(", ")} }` : "{}"}`;
};
const line = (values) => host.encode(values.map((value) => shown(value)).join(" ") + "\n");
const out = (...values) => host.write(1, line(values));
const err = (...values) => host.write(2, line(values));
define("console", { log: out, info: out, debug: out, error: err, warn: err, trace: err, table: out, dir: out,
  assert: (truth, ...values) => truth || err("Assertion failed:", ...values),
  time() {}, timeEnd() {}, group: out, groupEnd() {}, count() {} });

// ---- chance and time

class Crypto {
  getRandomValues(into) {
    impure = true;
    host.fill(bytesOf(into));
    return into;
  }
  randomUUID() {
    const bytes = this.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
  }
}
define("crypto", new Crypto());
Math.random = () => {
  impure = true;
  return host.chance();
};
const now = Date.now;
const NativeDate = Date;
// A date that is made while a snapshot is taken would be that of every cell.
define("Date", new Proxy(NativeDate, {
  construct(target, values, of) {
    if (values.length === 0) impure = true;
    return Reflect.construct(target, values, of);
  },
  apply(target, self, values) {
    impure = true;
    return Reflect.apply(target, self, values);
  },
}));
NativeDate.now = () => {
  impure = true;
  return now();
};

const timers = new Map();
let lastTimer = 0;
const timer = (repeat) => (action, delay = 0, ...values) => {
  const every = Math.max(1, Number(delay) || 0);
  timers.set(++lastTimer, { action, values, at: now() + every, every: repeat ? every : null });
  return lastTimer;
};
define("setTimeout", timer(false));
define("setInterval", timer(true));
define("setImmediate", (action, ...values) => globalThis.setTimeout(action, 0, ...values));
for (const name of ["clearTimeout", "clearInterval", "clearImmediate"]) define(name, (id) => void timers.delete(id));

// ---- events

class Event {
  constructor(type, init = {}) {
    Object.assign(this, { type, cancelable: false, defaultPrevented: false }, init);
  }
  preventDefault() {
    this.defaultPrevented = true;
  }
}
class EventTarget {
  #listeners = new Map();
  addEventListener(type, listener, { once = false } = {}) {
    if (!this.#listeners.has(type)) this.#listeners.set(type, new Map());
    this.#listeners.get(type).set(listener, once);
  }
  removeEventListener(type, listener) {
    this.#listeners.get(type)?.delete(listener);
  }
  dispatchEvent(event) {
    event.target = this;
    for (const [listener, once] of [...(this.#listeners.get(event.type) ?? [])]) {
      if (once) this.removeEventListener(event.type, listener);
      (listener.handleEvent ?? listener).call(this, event);
    }
    return !event.defaultPrevented;
  }
}
class AbortSignal extends EventTarget {
  aborted = false;
  reason = undefined;
  throwIfAborted() {
    if (this.aborted) throw this.reason;
  }
  static abort(reason) {
    const controller = new AbortController();
    controller.abort(reason);
    return controller.signal;
  }
  static timeout(ms) {
    const controller = new AbortController();
    globalThis.setTimeout(() => controller.abort(new DOMException("it took too long", "TimeoutError")), ms);
    return controller.signal;
  }
}
class AbortController {
  signal = new AbortSignal();
  abort(reason = new DOMException("it was aborted", "AbortError")) {
    if (this.signal.aborted) return;
    Object.assign(this.signal, { aborted: true, reason });
    this.signal.dispatchEvent(new Event("abort"));
    this.signal.onabort?.();
  }
}
const defineAll = (named) => Object.entries(named).forEach(([name, value]) => define(name, value));
defineAll({ Event, EventTarget, AbortSignal, AbortController, ReadableStream, TransformStream, WritableStream });

// ---- bodies

const joined = (parts) => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

class Blob {
  #bytes;
  constructor(parts = [], { type = "" } = {}) {
    this.#bytes = joined(parts.map((part) => (part instanceof Blob ? part.#bytes : typeof part === "string" ? host.encode(part) : bytesOf(part))));
    this.type = type;
  }
  get size() {
    return this.#bytes.length;
  }
  async arrayBuffer() {
    return this.#bytes.slice().buffer;
  }
  async bytes() {
    return this.#bytes.slice();
  }
  async text() {
    return host.decode(this.#bytes);
  }
  slice(from, to, type) {
    return new Blob([this.#bytes.slice(from, to)], { type });
  }
  stream() {
    return streamOf(() => this.#bytes);
  }
  static bytesOf(blob) {
    return blob.#bytes;
  }
}
class File extends Blob {
  constructor(parts, name, options = {}) {
    super(parts, options);
    this.name = name;
    this.lastModified = options.lastModified ?? 0;
  }
}
class FormData {
  #entries = [];
  append(name, value, file) {
    this.#entries.push([name, value instanceof Blob && !(value instanceof File) ? new File([value], file ?? "blob", { type: value.type }) : value]);
  }
  set(name, value, file) {
    this.delete(name);
    this.append(name, value, file);
  }
  delete(name) {
    this.#entries = this.#entries.filter(([own]) => own !== name);
  }
  get(name) {
    return this.#entries.find(([own]) => own === name)?.[1] ?? null;
  }
  getAll(name) {
    return this.#entries.filter(([own]) => own === name).map(([, value]) => value);
  }
  has(name) {
    return this.#entries.some(([own]) => own === name);
  }
  *entries() {
    yield* this.#entries;
  }
  *keys() {
    for (const [name] of this.#entries) yield name;
  }
  *values() {
    for (const [, value] of this.#entries) yield value;
  }
  forEach(action) {
    for (const [name, value] of this.#entries) action(value, name, this);
  }
  [Symbol.iterator]() {
    return this.entries();
  }
}

// Where a text of bytes begins in others, from a place on.
const find = (bytes, wanted, from) => {
  for (let at = bytes.indexOf(wanted[0], from); at >= 0; at = bytes.indexOf(wanted[0], at + 1)) {
    let n = 1;
    while (n < wanted.length && bytes[at + n] === wanted[n]) n++;
    if (n === wanted.length) return at;
  }
  return -1;
};

const parseForm = (bytes, type) => {
  const form = new FormData();
  if (/^application\/x-www-form-urlencoded/i.test(type)) {
    for (const [name, value] of new URLSearchParams(host.decode(bytes))) form.append(name, value);
    return form;
  }
  const boundary = /^multipart\/form-data.*boundary="?([^";]+)/i.exec(type)?.[1];
  if (!boundary) throw new TypeError(`${type || "a body without a type"} is no form`);
  const delimiter = host.encode(`--${boundary}`);
  for (let at = find(bytes, delimiter, 0); at >= 0; ) {
    const start = at + delimiter.length + 2;
    const end = find(bytes, delimiter, start);
    if (end < 0) break;
    const split = find(bytes, host.encode("\r\n\r\n"), start);
    const head = host.decode(bytes.subarray(start, split));
    const content = bytes.slice(split + 4, end - 2);
    const name = /name="([^"]*)"/i.exec(head)?.[1] ?? "";
    const file = /filename="([^"]*)"/i.exec(head)?.[1];
    const kind = /^content-type:\s*(.+)$/im.exec(head)?.[1]?.trim() ?? "";
    form.append(name, file === undefined ? host.decode(content) : new File([content], file, { type: kind }));
    at = end;
  }
  return form;
};

const formBody = (form) => {
  const boundary = `form-${[...host.fill2(12)].map((byte) => byte.toString(16)).join("")}`;
  const parts = [];
  for (const [name, value] of form) {
    const file = value instanceof Blob;
    const head = `--${boundary}\r\ncontent-disposition: form-data; name="${name}"${file ? `; filename="${value.name}"\r\ncontent-type: ${value.type || "application/octet-stream"}` : ""}\r\n\r\n`;
    parts.push(host.encode(head), file ? Blob.bytesOf(value) : host.encode(String(value)), host.encode("\r\n"));
  }
  parts.push(host.encode(`--${boundary}--\r\n`));
  return [joined(parts), `multipart/form-data; boundary=${boundary}`];
};
host.fill2 = (count) => {
  const bytes = new Uint8Array(count);
  host.fill(bytes);
  return bytes;
};

const streamOf = (whole) => new ReadableStream({
  start(controller) {
    const bytes = whole();
    if (bytes.length) controller.enqueue(bytes);
    controller.close();
  },
});

// A body is nothing, bytes, or something that is read chunk by chunk: a stream, or what the host has of it (`pull`).
class Body {
  #bytes = null;
  #stream = null;
  #pull = null;
  bodyUsed = false;
  _take(body) {
    if (body === null || body === undefined) return null;
    if (body instanceof ReadableStream) {
      this.#stream = body;
      return null;
    }
    if (typeof body === "function") {
      this.#pull = body;
      return null;
    }
    if (body instanceof URLSearchParams) {
      this.#bytes = host.encode(body.toString());
      return "application/x-www-form-urlencoded;charset=UTF-8";
    }
    if (body instanceof FormData) {
      const [bytes, type] = formBody(body);
      this.#bytes = bytes;
      return type;
    }
    if (body instanceof Blob) {
      this.#bytes = Blob.bytesOf(body);
      return body.type || null;
    }
    if (body instanceof ArrayBuffer || ArrayBuffer.isView(body)) {
      this.#bytes = bytesOf(body);
      return null;
    }
    this.#bytes = host.encode(String(body));
    return "text/plain;charset=UTF-8";
  }
  get body() {
    if (this.#stream === null && this.#pull) {
      const pull = this.#pull;
      this.#stream = new ReadableStream({
        pull(controller) {
          const chunk = pull();
          if (chunk) controller.enqueue(chunk);
          else controller.close();
        },
      }, { highWaterMark: 0 });
    } else if (this.#stream === null && this.#bytes) {
      const bytes = this.#bytes;
      this.#stream = streamOf(() => bytes);
    }
    return this.#stream;
  }
  async _each(action) {
    if (this.bodyUsed) throw new TypeError("the body was read already");
    this.bodyUsed = true;
    if (this.#stream) {
      const reader = this.#stream.getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        if (action(typeof value === "string" ? host.encode(value) : bytesOf(value)) === false) break;
      }
    } else if (this.#pull) {
      for (let chunk; (chunk = this.#pull()); ) if (action(chunk) === false) break;
    } else if (this.#bytes) {
      action(this.#bytes);
    }
  }
  get _length() {
    return this.#stream || this.#pull ? null : (this.#bytes?.length ?? 0);
  }
  _copy(into) {
    if (this.bodyUsed) throw new TypeError("the body was read already");
    if (this.#stream || this.#pull) {
      const [one, other] = this.body.tee();
      this.#stream = one;
      into._take(other);
    } else into._take(this.#bytes);
  }
  async bytes() {
    const parts = [];
    await this._each((part) => void parts.push(part));
    return parts.length === 1 ? parts[0] : joined(parts);
  }
  async arrayBuffer() {
    const bytes = await this.bytes();
    return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  }
  async text() {
    return new TextDecoder().decode(await this.bytes());
  }
  async json() {
    return JSON.parse(await this.text());
  }
  async blob() {
    return new Blob([await this.bytes()], { type: this.headers.get("content-type") ?? "" });
  }
  async formData() {
    return parseForm(await this.bytes(), this.headers.get("content-type") ?? "");
  }
}

class Headers {
  #list = [];
  constructor(init) {
    const pairs = init instanceof Headers ? init.#list : !init ? [] : Symbol.iterator in init ? init : Object.entries(init);
    for (const [name, value] of pairs) this.append(name, value);
  }
  static #name(name) {
    name = String(name).toLowerCase();
    if (!/^[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)) throw new TypeError(`\`${name}\` is no header's name`);
    return name;
  }
  append(name, value) {
    value = String(value).trim();
    if (/[\0\r\n]/.test(value)) throw new TypeError(`the header ${name} has more than one line`);
    this.#list.push([Headers.#name(name), value]);
  }
  set(name, value) {
    this.delete(name);
    this.append(name, value);
  }
  delete(name) {
    name = Headers.#name(name);
    this.#list = this.#list.filter(([own]) => own !== name);
  }
  get(name) {
    name = Headers.#name(name);
    const values = this.#list.filter(([own]) => own === name).map(([, value]) => value);
    return values.length ? values.join(name === "cookie" ? "; " : ", ") : null;
  }
  getSetCookie() {
    return this.#list.filter(([own]) => own === "set-cookie").map(([, value]) => value);
  }
  has(name) {
    return this.get(name) !== null;
  }
  *entries() {
    for (const name of [...new Set(this.#list.map(([own]) => own))].sort()) {
      if (name === "set-cookie") for (const value of this.getSetCookie()) yield [name, value];
      else yield [name, this.get(name)];
    }
  }
  *keys() {
    for (const [name] of this.entries()) yield name;
  }
  *values() {
    for (const [, value] of this.entries()) yield value;
  }
  forEach(action) {
    for (const [name, value] of this.entries()) action(value, name, this);
  }
  [Symbol.iterator]() {
    return this.entries();
  }
  static listOf(headers) {
    return headers.#list;
  }
}

// An address that is written as `URL` writes it: parsing takes longer than anything else about a small request.
const WRITTEN =
  /^https?:\/\/(?:127\.0\.0\.1|(?!xn--)[a-z][a-z0-9-]*(?:\.(?!xn--)[a-z][a-z0-9-]*)*)(?::(?:[1-9]\d{3}|[1-5]\d{4}))?(?:\/(?!\.)[\w.~!$&'()*+,;=:@-]*)+(?:\?[\w.~!$()*+,;:@/?=&%-]*)?$/;

class Request extends Body {
  constructor(input, init = {}) {
    super();
    const from = input instanceof Request ? input : null;
    this.url = from ? from.url : WRITTEN.test(input) ? String(input) : new URL(String(input)).href;
    this.method = (init.method ?? from?.method ?? "GET").toUpperCase();
    this.headers = new Headers(init.headers ?? from?.headers);
    this.signal = init.signal ?? from?.signal ?? new AbortSignal();
    this.redirect = init.redirect ?? "follow";
    if (from && init.body === undefined) from._copy(this);
    else {
      const type = this._take(init.body);
      if (type && !this.headers.has("content-type")) this.headers.set("content-type", type);
    }
  }
  clone() {
    return new Request(this);
  }
}

class Response extends Body {
  constructor(body = null, { status = 200, statusText = "", headers } = {}) {
    super();
    if (status < 200 || status > 599) throw new RangeError(`${status} is no status of an answer`);
    this.status = status;
    this.statusText = statusText;
    this.headers = new Headers(headers);
    this.url = "";
    this.redirected = false;
    this.type = "default";
    const type = this._take(body);
    if (type && !this.headers.has("content-type")) this.headers.set("content-type", type);
  }
  get ok() {
    return this.status >= 200 && this.status < 300;
  }
  clone() {
    const copy = new Response(null, this);
    this._copy(copy);
    return copy;
  }
  static json(value, init = {}) {
    const headers = new Headers(init.headers);
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(JSON.stringify(value), { ...init, headers });
  }
  static redirect(url, status = 302) {
    return new Response(null, { status, headers: { location: String(url) } });
  }
  static error() {
    return new Response(null, { status: 500 });
  }
}
defineAll({ Blob, File, FormData, Headers, Request, Response });

define("fetch", async (input, init) => {
  impure = true;
  let request = new Request(input, init);
  const body = await request.bytes();
  for (let hops = 0; ; hops++) {
    const url = new URL(request.url);
    const [status, headers] = host.send(request.method, url.protocol.slice(0, -1), url.host, url.pathname + url.search, Headers.listOf(request.headers), body);
    const location = headers.find(([name]) => name === "location")?.[1];
    if (location && [301, 302, 303, 307, 308].includes(status) && request.redirect === "follow" && hops < 20) {
      const method = status === 303 || (status < 303 && request.method === "POST") ? "GET" : request.method;
      request = new Request(new URL(location, url).href, { method, headers: request.headers });
      continue;
    }
    const nothing = [101, 204, 205, 304].includes(status);
    const response = new Response(nothing ? null : () => host.outboundBody(), { status, headers });
    response.url = url.href;
    response.redirected = hops > 0;
    return response;
  }
});
define("self", globalThis);
define("navigator", { userAgent: "Watertight" });

// ---- the modules of Node.js that a command needs

const text = (options) => typeof (typeof options === "string" ? options : options?.encoding) === "string";
const stat = (name) => {
  const [folder, size, mtimeMs] = host.stat(String(name));
  return { isDirectory: () => folder, isFile: () => !folder, size, mtimeMs, mtime: new NativeDate(mtimeMs) };
};
const remove = (name, recursive) => {
  if (!stat(name).isDirectory()) return host.unlink(name);
  if (recursive) for (const entry of host.list(name)) remove(`${name}/${entry}`, true);
  host.rmdir(name);
};
const fs = {
  readFileSync(name, options) {
    const bytes = host.read(typeof name === "number" ? name : name instanceof URL ? name.pathname : String(name));
    return text(options) ? host.decode(bytes) : bytes;
  },
  writeFileSync: (name, data) => host.write(name, typeof data === "string" ? host.encode(data) : bytesOf(data), false),
  appendFileSync: (name, data) => host.write(name, typeof data === "string" ? host.encode(data) : bytesOf(data), true),
  existsSync(name) {
    try {
      return Boolean(host.stat(String(name)));
    } catch {
      return false;
    }
  },
  readdirSync: (name) => host.list(String(name)).sort(),
  statSync: stat,
  mkdirSync(name, { recursive = false } = {}) {
    if (!recursive) return host.mkdir(name);
    const parts = name.split("/");
    for (let n = 1; n <= parts.length; n++) {
      const folder = parts.slice(0, n).join("/");
      if (folder && !fs.existsSync(folder)) host.mkdir(folder);
    }
  },
  unlinkSync: (name) => host.unlink(name),
  rmSync: (name, { recursive = false } = {}) => remove(name, recursive),
};
const promised = (object) => Object.fromEntries(Object.entries(object).map(([name, action]) => [name.replace("Sync", ""), async (...values) => action(...values)]));
fs.promises = promised(fs);

let environment = {};
const process = {
  argv: [],
  get env() {
    // That a variable is missing is so in every cell.
    if (Object.keys(environment).length) impure = true;
    return environment;
  },
  exitCode: undefined,
  exit: (code = process.exitCode ?? 0) => host.exit(code),
  cwd: () => process.argv[1]?.replace(/\/[^/]*$/, "") || "/",
  platform: "wasi",
  version: "v0.0.0",
  versions: {},
  stdout: { isTTY: false, write: (data) => (host.write(1, typeof data === "string" ? host.encode(data) : bytesOf(data)), true) },
  stderr: { isTTY: false, write: (data) => (host.write(2, typeof data === "string" ? host.encode(data) : bytesOf(data)), true) },
  nextTick: (action, ...values) => queueMicrotask(() => action(...values)),
  on() {},
};
define("process", process);

const BUILT_IN = { fs, "fs/promises": fs.promises, path: { ...path, default: undefined }, process };
define("__builtIn", (name) => BUILT_IN[name]);
const builtIn = (name) => {
  const module = name.replace(/^node:/, "");
  return module in BUILT_IN ? module : null;
};

// ---- modules

const readJson = (file) => {
  try {
    return JSON.parse(host.decode(host.read(file)));
  } catch {
    return null;
  }
};
const isFile = (file) => fs.existsSync(file) && stat(file).isFile();
const IMPORTED = { conditions: ["worker", "workerd", "browser", "import", "module", "default"], main: ["module", "main"] };
const REQUIRED = { conditions: ["require", "node", "default"], main: ["main"] };
const condition = (target, { conditions }) => {
  if (typeof target === "string" || !target) return target ?? null;
  if (Array.isArray(target)) return condition(target[0], { conditions });
  for (const [name, value] of Object.entries(target))
    if (conditions.includes(name)) {
      const found = condition(value, { conditions });
      if (found) return found;
    }
  return null;
};

// A path as packages write it: the ending or the name of a folder's file may be left out.
const located = (name) => {
  const file = ["", ".js", ".mjs", ".cjs", ".json"].map((ending) => name + ending).find(isFile);
  if (file || !fs.existsSync(name)) return file ?? name;
  const main = readJson(`${name}/package.json`)?.main;
  return main ? located(path.join(name, main)) : `${name}/index.js`;
};

const packaged = (folder, inner, how) => {
  const manifest = readJson(`${folder}/package.json`);
  if (manifest?.exports !== undefined) {
    const exports = typeof manifest.exports === "string" || !Object.keys(manifest.exports).some((key) => key.startsWith(".")) ? { ".": manifest.exports } : manifest.exports;
    const key = inner ? `./${inner}` : ".";
    const wanted = (target) => condition(target, how) ?? condition(target, REQUIRED);
    let target = wanted(exports[key]);
    for (const [pattern, value] of Object.entries(exports)) {
      const [before, after] = pattern.split("*");
      if (!target && after !== undefined && key.startsWith(before) && key.endsWith(after))
        target = wanted(value)?.replaceAll("*", key.slice(before.length, key.length - after.length));
    }
    if (target) return path.join(folder, target);
  }
  const main = how.main.map((key) => manifest?.[key]).find((value) => typeof value === "string");
  return located(path.join(folder, inner || main || "index.js"));
};

const resolve = (base, name, how = IMPORTED) => {
  const module = builtIn(name);
  if (module) return `node:${module}`;
  if (/^\.{0,2}\//.test(name) || name.startsWith("file://")) {
    name = name.replace(/^file:\/\//, "");
    return located(name.startsWith("/") ? path.normalize(name) : path.join(path.dirname(base), name));
  }
  const [, scope, inner = ""] = /^((?:@[^/]+\/)?[^/]+)\/?(.*)$/.exec(name);
  for (let folder = path.dirname(base); ; folder = path.dirname(folder)) {
    const candidate = path.join(folder, "node_modules", scope);
    if (fs.existsSync(candidate)) return packaged(candidate, inner, how);
    if (folder === "/") break;
  }
  throw new ReferenceError(`cannot find package '${name}': install it into node_modules beside the script`);
};

// CommonJS: what says so by its ending, or by what it holds where its package does not say that it is all ES modules.
const ES_MODULE = /^\s*(?:import\b\s*[^\s(.]|export\b\s*[\w{*])|[;}]\s*(?:import\s*[{*"']|export\s*[{*]|export\s+default\b)/m;
const COMMON_JS = /\bmodule\.exports\b|\bexports\s*[.[]|\brequire\s*\(|\(\s*exports\s*,|\bdefine\.amd\b/;
const isCommonJs = (name, text) => {
  if (name.endsWith(".cjs")) return true;
  if (!name.endsWith(".js") || !COMMON_JS.test(text) || ES_MODULE.test(text)) return false;
  for (let folder = path.dirname(name); ; folder = path.dirname(folder)) {
    const manifest = readJson(`${folder}/package.json`);
    if (manifest) return manifest.type !== "module";
    if (folder === "/" || folder.endsWith("/node_modules")) return true;
  }
};

const required = new Map();
const requireFile = (name) => {
  const known = required.get(name);
  if (known) return known.exports;
  const module = { id: name, filename: name, exports: {}, loaded: false, children: [], paths: [] };
  required.set(name, module);
  try {
    const text = host.decode(host.read(name));
    if (name.endsWith(".json")) {
      module.exports = JSON.parse(text);
    } else {
      if (name.endsWith(".mjs") || (ES_MODULE.test(text) && !isCommonJs(name, text)))
        throw new SyntaxError(`'${name}' is an ES module: use import, not require`);
      const require = (wanted) => requireFrom(name, String(wanted));
      require.resolve = (wanted) => resolve(name, String(wanted), REQUIRED);
      require.cache = {};
      const body = `(function (exports, require, module, __filename, __dirname) {${text.replace(/^#!.*/, "")}\n})`;
      host.evaluate(body, name).call(module.exports, module.exports, require, module, name, path.dirname(name));
    }
    module.loaded = true;
    return module.exports;
  } catch (error) {
    required.delete(name);
    throw error;
  }
};
const requireFrom = (base, name) => {
  const found = resolve(base, name, REQUIRED);
  return found.startsWith("node:") ? BUILT_IN[found.slice(5)] : requireFile(found);
};
define("__required", requireFile);
define("global", globalThis);

const RESERVED = /^(?:arguments|await|break|case|catch|class|const|continue|debugger|default|delete|do|else|enum|eval|export|extends|false|finally|for|function|if|implements|import|in|instanceof|interface|let|new|null|package|private|protected|public|return|static|super|switch|this|throw|true|try|typeof|var|void|while|with|yield)$/;
// Its exports are known once it has run, which is when it is first imported.
const commonJs = (name) => {
  const exports = requireFile(name);
  const keys = exports && ["object", "function"].includes(typeof exports) ? Object.keys(exports) : [];
  const names = keys.filter((key) => /^[a-z_$][\w$]*$/i.test(key) && !RESERVED.test(key) && key !== "__required_module");
  return `const __required_module = __required(${JSON.stringify(name)}); export default __required_module;${names.length ? ` export const { ${names.join(", ")} } = __required_module;` : ""}`;
};

const source = (name) => {
  if (name.startsWith("node:")) {
    const module = BUILT_IN[name.slice(5)];
    const names = Object.keys(module).filter((key) => /^[a-z]\w*$/i.test(key) && key !== "default");
    return `const m = __builtIn(${JSON.stringify(name.slice(5))}); export default m;` + (name === "node:process" ? "" : `export const { ${names.join(", ")} } = m;`);
  }
  if (name.endsWith(".json")) return `export default ${host.decode(host.read(name))};`;
  if (!/\.c?js$/.test(name) || !fs.existsSync(name)) return null;
  const text = host.decode(host.read(name));
  return isCommonJs(name, text) ? commonJs(name) : text;
};

// ---- what glue.c calls

const importFrom = (name) => import(name);

globalThis.__hooks = {
  resolve,
  source,
  load: (script) => importFrom(script),
  wake(argv, env) {
    waking = true;
    process.argv = ["watertight", ...argv];
    environment = env;
  },
  pure: () => !impure && timers.size === 0,
  exitCode: () => process.exitCode ?? 0,
  tick() {
    let next = null;
    for (const [id, timer] of timers) if (next === null || timer.at < timers.get(next).at) next = id;
    if (next === null) return false;
    const { action, values, at, every } = timers.get(next);
    const wait = at - now();
    if (wait > 0) host.sleep(wait);
    if (every === null) timers.delete(next);
    else timers.get(next).at = now() + every;
    action(...values);
    return true;
  },
  async handle(exports) {
    const handler = exports.default?.fetch ?? (typeof exports.default === "function" ? exports.default : exports.fetch);
    if (typeof handler !== "function") throw new TypeError("the script has no handler: export default { fetch(request) { … } }");
    const [method, scheme, authority, target, headers] = host.request();
    const waited = [];
    const request = new Request(`${scheme}://${authority}${target}`, { method, headers, body: method === "GET" || method === "HEAD" ? null : () => host.body() });
    const context = { waitUntil: (promise) => void waited.push(promise), passThroughOnException() {} };
    const response = await handler.call(exports.default, request, environment, context);
    if (!(response instanceof Response)) throw new TypeError("the handler gave no Response");
    const list = Headers.listOf(response.headers);
    const length = response._length;
    const known = list.some(([name]) => name === "content-length");
    host.head(response.status, length === null || known ? list : [...list, ["content-length", String(length)]]);
    await response._each((chunk) => host.answer(chunk));
    host.end();
    await Promise.allSettled(waited);
  },
};
