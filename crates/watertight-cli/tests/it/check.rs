//! `watertight check`, `inspect`, `compile`, `schema`, `completions`: what they print.

use serde_json::Value;

use crate::{
    files::{AppFolder, built, site},
    program::{ended, run, watertight},
};

fn json(args: &[&str]) -> Value {
    let ended = run(args);
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{args:?} prints JSON ({error}): {ended:?}"))
}

/// An app with everything that text can show.
fn large() -> AppFolder {
    let manifest = r#"
[app]
name = "large"
version = "0.3.0"

[component.web]
source = "http-behave.wasm"
uses = ["relay"]
grants = { env = { SECRET = "hidden" }, http = ["https://api.example.com"], dirs = [{ host = "content", guest = "/content" }] }
budget = { concurrency = 32 }

[component.web.edge."watertight:test/behave"]
deadline = "300ms"
concurrency = 8
breaker = { failures = 5, open-for = "2s" }
retry = { attempts = 2 }
on-failure = { fallback = "counter" }
function.plain = { on-failure = { return = '0' }, deadline = "100ms" }

[component.relay]
source = "relay.wasm"
uses = ["counter"]
lifetime = "call"
budget = { concurrency = 16 }

[component.counter]
source = "counter.wasm"
lifetime = "resident"
grants = { tcp = ["127.0.0.1:5432"], stdio = true }
budget = { memory = "8MiB", concurrency = 4 }

[[trigger.http]]
route = "/..."
component = "web"
"#;
    let app = AppFolder::new(manifest, &["http-behave", "relay", "counter"]);
    std::fs::create_dir(app.path().join("content")).expect("the temporary folder is writable");
    app
}

#[test]
fn text_shows_components_edges_blast_radius_and_pools() {
    let app = large();
    let checked = run(&["check", app.text()]);
    assert_eq!(checked.code, Some(0));
    insta::assert_snapshot!("what_is_sound_and_yet_to_be_warned_of", checked.stderr);
    assert!(!checked.stdout.contains("hidden"), "values of the environment may be secrets");
    insta::assert_snapshot!(checked.stdout);
}

#[test]
fn json_has_the_same_for_machines() {
    let app = large();
    let checked = json(&["check", app.text(), "--format", "json"]);
    assert_eq!(checked["ok"], true);
    let problems = checked["problems"].as_array().expect("a list");
    assert!(problems.iter().all(|problem| problem["severity"] == "warning"), "{problems:?}");
    assert_eq!(checked["report"]["components"][2]["budget"]["memory_bytes"], 8 << 20);
    let edge = &checked["report"]["edges"][0];
    assert_eq!((&edge["deadline_ms"], &edge["limit"]["concurrency"]), (&300.0.into(), &8.into()));
    assert_eq!((&edge["breaker"]["failures"], &edge["breaker"]["open_for_ms"]), (&5.into(), &2000.0.into()));
    let run = &edge["functions"][0];
    assert_eq!(run["sees"], "retry 2x, then counter, then an error with the reason");
    assert_eq!((&run["retry"]["attempts"], &run["fallback"]), (&2.into(), &"counter".into()));
    let plain = &edge["functions"][3];
    assert_eq!((&plain["on_failure"], &plain["returns"]), (&"return".into(), &"0".into()));
    assert_eq!(checked["pools"][0]["shares"][0]["cells"], 32);
    assert!(!checked.to_string().contains("hidden"), "values of the environment may be secrets");
}

#[test]
fn pictures_are_dot_and_svg() {
    let app = site("ok");
    let dot = run(&["check", app.text(), "--format", "dot"]);
    assert!(dot.stdout.starts_with("digraph ") && dot.stdout.contains("behaviour"), "{dot:?}");
    let svg = run(&["check", app.text(), "--format", "svg"]);
    assert!(svg.stdout.starts_with("<svg ") && svg.stdout.trim_end().ends_with("</svg>"), "{svg:?}");
}

#[test]
fn every_problem_of_a_manifest_is_shown_with_its_place() {
    let manifest = "[app]\nname = \"broken\"\n\n[component.web]\nsource = \"web.wasm\"\nliftime = \"call\"\n\
                    budget = { memory = \"64\" }\n\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"wob\"\n";
    let app = AppFolder::new(manifest, &[]);
    let mut check = watertight(&["check", "."]);
    let checked = ended(check.current_dir(app.path()));
    assert_eq!((checked.code, checked.stdout.as_str()), (Some(65), ""));
    insta::assert_snapshot!(checked.stderr);
    let problems = json(&["check", app.text(), "--format", "json"]);
    assert_eq!(problems["ok"], false);
    let codes: Vec<_> =
        problems["problems"].as_array().expect("a list").iter().map(|problem| &problem["code"]).collect();
    assert_eq!(codes, ["missing-file", "unknown-key", "bad-size", "unknown-component"]);
    assert_eq!(problems["problems"][1]["line"], 6);
}

#[test]
fn warnings_are_shown_and_keep_nothing_from_running() {
    let manifest = "[app]\nname = \"warned\"\n[component.ok]\nsource = \"ok.wasm\"\nuses = []\n\
                    grants = { dns = [\"a.test\", \"a.test\"] }\n";
    let app = AppFolder::new(manifest, &["ok"]);
    let checked = run(&["check", app.text()]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.stderr.contains("listed twice"), "{checked:?}");
    let ran = run(&["run", app.text(), "--invoke", "run(1)"]);
    assert_eq!((ran.code, ran.stdout.trim_end()), (Some(0), "ok(2)"), "{ran:?}");
}

#[test]
fn inspect_prints_wit() {
    let seen = run(&["inspect", &built("http-hello")]);
    assert!(seen.stdout.contains("export wasi:http/incoming-handler@0.2"), "{seen:?}");
    let seen = json(&["inspect", &built("ok"), "--format", "json"]);
    assert_eq!(seen["kind"], "component");
    assert_eq!(seen["exports"][0], "watertight:test/behave");
}

#[test]
fn compile_fills_the_cache_once() {
    let app = site("ok");
    let cache = app.path().join("cache");
    let args = ["compile", app.text(), "--format", "json", "--cache-dir", cache.to_str().expect("test paths are text")];
    assert_eq!(json(&args)["compiled"], 2);
    let again = json(&args);
    assert_eq!((&again["compiled"], &again["cached"]), (&0.into(), &2.into()));
}

#[test]
fn schema_and_completions_are_printed() {
    let schema = json(&["schema"]);
    assert_eq!(schema["title"], "watertight.toml");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]);
        assert_eq!(script.code, Some(0), "{script:?}");
        assert!(script.stdout.contains("serve") && script.stdout.contains("admin-socket"), "{shell}");
        // The command that the supervisor starts workers with is nobody else's.
        assert!(!script.stdout.contains("A worker of"), "{shell}");
        assert!(!script.stdout.contains("watertight__worker") && !script.stdout.contains(" worker "), "{shell}");
    }
}

#[test]
fn every_command_explains_itself_with_an_example() {
    for command in ["serve", "ps", "reload", "run", "check", "compile", "inspect", "schema", "completions"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains("Example"), "{command}: {}", help.stdout);
        assert!(help.stdout.contains(&format!("watertight {command}")), "{command}: {}", help.stdout);
    }
    let version = run(&["--version"]);
    assert_eq!(version.stdout.trim_end(), concat!("watertight ", env!("CARGO_PKG_VERSION")));
}
