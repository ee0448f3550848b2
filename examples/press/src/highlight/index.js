// Source code to HTML with classes, by highlight.js. What it throws reaches the caller as `err`.
import hljs from "highlight.js/lib/core";
import bash from "highlight.js/lib/languages/bash";
import css from "highlight.js/lib/languages/css";
import ini from "highlight.js/lib/languages/ini";
import javascript from "highlight.js/lib/languages/javascript";
import json from "highlight.js/lib/languages/json";
import python from "highlight.js/lib/languages/python";
import rust from "highlight.js/lib/languages/rust";
import xml from "highlight.js/lib/languages/xml";

const languages = { bash, css, javascript, json, python, rust, toml: ini, html: xml };
for (const [name, language] of Object.entries(languages)) {
  hljs.registerLanguage(name, language);
}

export const highlight = {
  highlight(code, language) {
    if (!hljs.getLanguage(language)) {
      throw `no colours for ${language}`;
    }
    return hljs.highlight(code, { language, ignoreIllegals: true }).value;
  },
};
