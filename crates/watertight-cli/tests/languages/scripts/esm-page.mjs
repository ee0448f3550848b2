import { readFileSync } from "fs";

const types = { html: "text/html", js: "text/javascript", mjs: "text/javascript" };

export default {
  fetch(request) {
    const path = new URL(request.url).pathname;
    const file = path === "/" ? "/index.html" : path;
    return new Response(readFileSync(`/app/site${file}`), { headers: { "content-type": types[file.split(".").at(-1)] } });
  },
};
