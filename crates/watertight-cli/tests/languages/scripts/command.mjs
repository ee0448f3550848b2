import { readFileSync } from "node:fs";
import process from "node:process";

const denied = async (action) => {
  try {
    await action();
    return "allowed";
  } catch {
    return "denied";
  }
};

const [verb, ...words] = process.argv.slice(2);
switch (verb) {
  case "echo":
    console.log(...words);
    break;
  case "cat":
    process.stdout.write(readFileSync(0));
    break;
  case "exit":
    process.exit(Number(words[0]));
  case "fail":
    throw new Error("kaboom");
  case "reach": {
    const file = await denied(() => readFileSync("/etc/passwd"));
    const host = await denied(() => fetch("http://127.0.0.1:9/"));
    console.log(file, host, Object.keys(process.env).length ? "allowed" : "denied");
  }
}
