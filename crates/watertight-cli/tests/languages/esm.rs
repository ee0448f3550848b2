//! `watertight bindings --esm`: the module that it writes calls a served app, from Node.js, from a browser, and as TypeScript takes it.

use std::{env, fs, path::PathBuf, process::Command};

use tempfile::TempDir;
use watertight_testkit::guest;

use crate::{
    browser::seen_at_rest,
    program::{Server, run},
};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/languages/scripts");

/// An app with four components that everybody may call, three of which export the same interface; its client, and a page that uses it.
fn app() -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let at = |name: &str| folder.path().join(name);
    let copy = |from: &str, to: &str| fs::copy(format!("{SCRIPTS}/{from}"), at(to)).expect("the script is there");
    let mut manifest = "[app]\nname = \"app\"\nversion = \"1.2.3\"\n\
                        [component.web]\nsource = \"web.mjs\"\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"
        .to_owned();
    for (name, behaviour, export) in
        [("types", "types", "types"), ("good", "ok", "behave"), ("bad", "fail", "behave"), ("broken", "trap", "behave")]
    {
        fs::write(at(&format!("{name}.wasm")), guest::built(behaviour)).expect("it is writable");
        manifest.push_str(&format!(
            "[component.{name}]\nsource = \"{name}.wasm\"\n[[trigger.http]]\nroute = \"/calls/{name}/...\"\n\
             component = \"{name}\"\nexports = [\"watertight:test/{export}\"]\n"
        ));
    }
    fs::write(at("watertight.toml"), manifest).expect("it is writable");
    fs::create_dir(at("site")).expect("it is writable");
    copy("esm-page.mjs", "web.mjs");
    copy("esm.mjs", "site/check.mjs");
    copy("esm-node.mjs", "site/node.mjs");
    copy("esm.ts", "site/use.ts");
    let page = "<title>calls</title><p id=\"result\">waiting</p><script type=\"module\">\n\
                import { CallError, createClient } from \"/client/index.js\";\nimport { check } from \"/check.mjs\";\n\
                document.title = \"called\";\n\
                document.getElementById(\"result\").textContent = await check(createClient(), CallError).catch(String);\n</script>\n";
    fs::write(at("site/index.html"), page).expect("it is writable");
    let text = |path: PathBuf| path.to_str().expect("test paths are text").to_owned();
    let made = run(&["bindings", "--esm", &text(at("")), "-o", &text(at("site/client"))]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.text().ends_with("/site/client/package.json\n"), "{}", made.text());
    folder
}

#[test]
fn node_and_a_real_browser_call_an_app_by_the_module_made_for_it() {
    let folder = app();
    let server = Server::start(folder.path());
    let mut node = Command::new("node");
    let ran = node.arg(folder.path().join("site/node.mjs")).arg(format!("http://{}/", server.address)).output();
    let ran = ran.expect("node is installed");
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert_eq!(
        (stdout.as_ref(), stderr.as_ref()),
        (
            "all is well\nAbortError\n\
             http 502 http://nowhere.example/app/calls/types/watertight:test/types/options Bearer x []\n",
            ""
        )
    );
    let page = seen_at_rest(server.address, "/");
    assert!(page.contains("<p id=\"result\">all is well</p>"), "{page}");
}

#[test]
fn typescript_takes_the_types_of_the_module() {
    let given = env::var_os("WATERTIGHT_TOOLCHAINS").map(PathBuf::from);
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/watertight/toolchains"));
    let tools = given.or_else(home).expect("there is a home").join("javascript/node_modules/.bin/tsc");
    assert!(tools.exists(), "there is no {}: run `cargo xtask languages`", tools.display());
    let folder = app();
    let options = ["--strict", "--noEmit", "--target", "esnext", "--module", "nodenext", "--lib", "esnext,dom"];
    let mut tsc = Command::new(tools);
    let ran =
        tsc.args(options).arg("use.ts").current_dir(folder.path().join("site")).output().expect("node is installed");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}
