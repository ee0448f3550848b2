import { readFileSync, writeFileSync } from "node:fs";

let count = 0;

const denied = async (action) => {
  try {
    await action();
    return "allowed";
  } catch {
    return "denied";
  }
};

const write = (path, text) => {
  writeFileSync(path, text);
  return "written";
};

const text = (text, status = 200) =>
  new Response(text, { status, headers: { "content-type": "text/plain; charset=utf-8" } });

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    switch (pathname) {
      case "/hello":
        return text(`hello ${searchParams.get("name")}`);
      case "/echo":
        return new Response(request.body, {
          headers: {
            "content-type": request.headers.get("content-type") ?? "application/octet-stream",
            "x-asked": request.headers.get("x-asked") ?? "",
          },
        });
      case "/boom":
        throw new Error("kaboom");
      case "/count":
        return text(`${++count}`);
      case "/chance":
        return text(`${Date.now()}.${performance.now()} ${Math.random()} ${crypto.randomUUID()}`);
      case "/write":
        return text(write("/data/note.txt", searchParams.get("text")));
      case "/read":
        return text(readFileSync("/data/note.txt", "utf8"));
      case "/variables":
        return text(Object.entries(env).map(([name, value]) => `${name}=${value}`).join(" "));
      case "/own":
        return text(`read ${readFileSync("site.mjs").length} ${await denied(() => write("/app/new.txt", ""))}`);
      case "/passwd":
        return text(await denied(() => readFileSync("/etc/passwd")));
      case "/dial":
        return text(await denied(() => fetch("http://127.0.0.1:9/")));
      default:
        return text("nothing here", 404);
    }
  },
};
