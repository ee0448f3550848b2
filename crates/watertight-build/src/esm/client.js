
/** A call that did not return: `kind` says why, and `payload` is the error that the function itself returned. */
export class CallError extends Error {
  constructor(kind, message, status, payload) {
    super(message);
    this.name = "CallError";
    this.kind = kind;
    this.status = status;
    this.payload = payload;
  }
}

// How values are written in JSON, where that is not as JavaScript has them: `to` on their way out, `from` on their way in.
const big = { to: (value) => BigInt(value).toString(), from: (value) => BigInt(value) };

const float = {
  // JSON.stringify makes 0 of -0, and null of what is not finite.
  to: (value) => (Object.is(value, -0) ? "-0" : typeof value === "number" && !Number.isFinite(value) ? String(value) : value),
  from: (value) => Number(value),
};

const bytes = {
  to(value) {
    if (value instanceof ArrayBuffer) value = new Uint8Array(value);
    if (!ArrayBuffer.isView(value)) return value;
    const view = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    let text = "";
    for (let at = 0; at < view.length; at += 0x8000) text += String.fromCharCode(...view.subarray(at, at + 0x8000));
    return btoa(text);
  },
  from: (value) => Uint8Array.from(atob(value), (letter) => letter.charCodeAt(0)),
};

const nothing = { from: () => undefined };

const to = (type, value) => (type ? type.to(value) : value);
const from = (type, value) => (type ? type.from(value) : value);
const iterable = (value) => typeof value === "object" && value !== null && Symbol.iterator in value;

// What is not of the type is sent as it is: the answer says what is wrong with it.
const list = (type) => ({
  to: (value) => (iterable(value) ? Array.from(value, (item) => to(type, item)) : value),
  from: (value) => (type ? value.map(type.from) : value),
});

const tuple = (...types) => ({
  to: (value) => (iterable(value) ? Array.from(value, (item, at) => to(types[at], item)) : value),
  from: (value) => value.map((item, at) => from(types[at], item)),
});

const option = (type) => ({
  to: (value) => (value === undefined || value === null ? null : to(type, value)),
  from: (value) => (value === null ? null : from(type, value)),
});

// Each field: its name here, its name there, its type.
const record = (...fields) => {
  const here = new Map(fields.map((field) => [field[0], field]));
  return {
    to: (value) =>
      typeof value === "object" && value !== null
        ? Object.fromEntries(
            Object.entries(value)
              .filter(([, item]) => item !== undefined)
              .map(([name, item]) => (here.has(name) ? [here.get(name)[1], to(here.get(name)[2], item)] : [name, item])),
          )
        : value,
    from: (value) => Object.fromEntries(fields.map(([own, name, type]) => [own, from(type, value[name])])),
  };
};

const variant = (...cases) => {
  const types = new Map(cases);
  const each = (convert) => (value) => {
    const type = types.get(value?.tag);
    return type && "val" in value ? { tag: value.tag, val: convert(type, value.val) } : value;
  };
  return { to: each(to), from: each(from) };
};

const map = (key, value) => ({
  to: (pairs) =>
    typeof pairs === "object" && pairs !== null
      ? Array.from(iterable(pairs) ? pairs : Object.entries(pairs), ([k, v]) => [to(key, k), to(value, v)])
      : pairs,
  from: (pairs) => new Map(pairs.map(([k, v]) => [from(key, k), from(value, v)])),
});

const caller = ({ baseUrl = "", fetch: send = globalThis.fetch, headers, signal } = {}) => {
  const base = String(baseUrl).replace(/\/+$/, "");
  return async (path, given, types, result, error) => {
    while (given.length > 0 && given[given.length - 1] === undefined) given.pop();
    const body = JSON.stringify(given.map((value, at) => to(types[at], value)));
    const sent = new Headers(headers);
    sent.set("content-type", "application/json");
    const response = await send(base + path, { method: "POST", headers: sent, body, signal });
    const text = await response.text();
    let answer;
    try {
      answer = JSON.parse(text);
    } catch {
      throw new CallError("http", `no answer in JSON: ${response.status} ${response.statusText}`, response.status);
    }
    if (response.ok) return from(result, answer);
    const { kind = "http", message = `${response.status} ${response.statusText}`, payload } = answer?.error ?? {};
    if (kind === "type") throw new TypeError(message);
    throw new CallError(kind, message, response.status, kind === "error" ? from(error, payload) : undefined);
  };
};

