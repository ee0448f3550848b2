//! What a failed cell leaves behind, and how it is read: `--postmortem-dir`, `watertight postmortem`.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::get,
    files::{AppFolder, built, site, site_with},
    program::{Ended, Server, run, watertight},
};

/// A folder for postmortems, which is not there yet.
struct Shelf {
    _parent: TempDir,
    root: PathBuf,
}

impl Shelf {
    fn new() -> Self {
        let parent = tempfile::tempdir().expect("the temporary folder is writable");
        Self { root: parent.path().join("postmortem"), _parent: parent }
    }

    fn text(&self) -> &str {
        self.root.to_str().expect("test paths are text")
    }

    /// `watertight postmortem` on it.
    fn ask(&self, args: &[&str]) -> Ended {
        let all: Vec<_> = ["postmortem", "--postmortem-dir", self.text()].iter().chain(args).copied().collect();
        run(&all)
    }

    /// The newest report.
    fn report(&self) -> Value {
        let shown = self.ask(&["show", "--format", "json"]);
        assert_eq!(shown.code, Some(0), "{shown:?}");
        serde_json::from_str(&shown.stdout).expect("it is JSON")
    }
}

#[test]
fn a_failed_call_leaves_a_folder_for_its_owner_alone() {
    let shelf = Shelf::new();
    let failed = run(&["run", &built("trap"), "--invoke", "run(0)", "--postmortem-dir", shelf.text()]);
    assert_eq!(failed.code, Some(134), "{failed:?}");
    assert!(failed.stderr.contains("watertight postmortem show /"), "the log names the folder: {failed:?}");
    let report = shelf.report();
    assert_eq!(report["failure"]["kind"], "trap");
    assert_eq!(report["component"]["name"], "trap");
    let bytes = fs::read(built("trap")).expect("the guest is built");
    assert_eq!(report["component"]["blake3"], blake3::hash(&bytes).to_hex().as_str());
    let folder = Path::new(report["folder"].as_str().expect("it is named"));
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for parent in folder.ancestors().take(4) {
        assert_eq!(mode(parent), 0o700, "{}", parent.display());
    }
    for file in ["report.json", "backtrace.txt", "core.wasm"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
}

/// A site in which `/run/N` has the guest `crash` fail, by the keys of its component.
fn crashing(keys: &str) -> AppFolder {
    site_with("crash", &format!("grants.stdio = true\n{keys}"))
}

/// Serves an app in one process, asks for these paths, and says how each was answered.
async fn asked(app: &Path, shelf: &Shelf, paths: &[&str]) -> Vec<u16> {
    let server = Server::start(app, &["--workers", "0", "--postmortem-dir", shelf.text()]);
    let mut statuses = Vec::new();
    for path in paths {
        statuses.push(get(server.address, path).await.expect("it answers").0);
    }
    server.stop();
    statuses
}

fn texts(values: &Value) -> Vec<&str> {
    values.as_array().expect("a list").iter().map(|value| value.as_str().expect("text")).collect()
}

#[tokio::test]
async fn a_report_has_everything_that_is_known_of_a_trap() {
    for keys in ["", "lifetime = \"resident\""] {
        let shelf = Shelf::new();
        assert_eq!(asked(crashing(keys).path(), &shelf, &["/run/7", "/run/0"]).await, [200, 502]);
        let report = shelf.report();
        assert_eq!(report["schema"], 1);
        assert_eq!((&report["app"]["name"], &report["app"]["version"]), (&"site".into(), &"1.2.3".into()));
        assert_eq!(report["wasmtime"], "48.0.8");
        assert_eq!((&report["failure"]["kind"], &report["failure"]["blame"]), (&"trap".into(), &"callee".into()));
        assert_eq!(texts(&report["path"]), ["web", "behaviour"]);
        let crossing = report["crossings"].as_array().expect("a list").last().expect("the call that failed");
        assert_eq!((&crossing["function"], &crossing["arguments"]), (&"run".into(), &"(0)".into()));
        assert_eq!((&crossing["outcome"], &crossing["depth"]), (&"running".into(), &0.into()));
        assert!(crossing["bytes_in"].as_u64().is_some_and(|bytes| bytes > 0), "{crossing}");

        let line = &report["stack"][0]["lines"][0];
        assert_eq!(line["function"], "crash::innermost", "{report:#}");
        assert!(line["file"].as_str().is_some_and(|file| file.ends_with("crash/src/lib.rs")), "{line}");
        let source = include_str!("../../../../guests/src/rust/crash/src/lib.rs");
        let number = usize::try_from(line["line"].as_u64().expect("a number")).expect("a small one");
        assert_eq!(source.lines().nth(number - 1).map(str::trim), Some("list[at]"));
        let functions: Vec<_> =
            report["stack"].as_array().expect("a list").iter().map(|frame| &frame["function"]).collect();
        assert_eq!(functions[..3], ["crash::innermost", "crash::middle", "crash::outer"]);

        let limits = report["limits"].as_array().expect("a list");
        let limit = |name: &str| limits.iter().find(|limit| limit["name"] == name).expect("it is among them");
        assert_eq!((&limit("memory")["limit"], &limit("concurrency")["limit"]), (&(16 << 20).into(), &32.into()));
        for used in ["memory", "cpu", "deadline", "log", "concurrency"] {
            assert!(limit(used)["used"].as_u64().is_some_and(|used| used > 0), "{used}: {limits:?}");
        }
        assert_eq!(texts(&report["log"]).last(), Some(&"\u{1b}[31mgiven\u{1b}[0m 0"));
        let core = &report["core"]["kept"];
        let folder = Path::new(report["folder"].as_str().expect("it is named"));
        let dumped = fs::read(folder.join("core.wasm")).expect("it is there");
        assert_eq!(core["bytes"], dumped.len());
        assert_eq!(wasm_sections(&dumped), ["core", "coremodules", "coreinstances", "corestack"]);
        assert!(dumped.windows(6).any(|bytes| bytes == b"\x1b[0m 0"), "what the guest had in its memory");
        let backtrace = fs::read_to_string(folder.join("backtrace.txt")).expect("it is there");
        assert!(backtrace.contains("crash::middle") && backtrace.contains("crash/src/lib.rs:"), "{backtrace}");
    }
}

/// The custom sections of a module that can be read as one.
fn wasm_sections(bytes: &[u8]) -> Vec<String> {
    let payloads = wasmparser::Parser::new(0).parse_all(bytes);
    let name = |payload: wasmparser::Payload<'_>| {
        let wasmparser::Payload::CustomSection(section) = payload else { return None };
        Some(section.name().to_owned())
    };
    payloads.filter_map(|payload| name(payload.expect("it is WebAssembly"))).collect()
}

#[tokio::test]
async fn what_is_shown_is_in_the_order_that_a_person_asks_and_obeys_no_guest() {
    let shelf = Shelf::new();
    asked(crashing("").path(), &shelf, &["/run/1"]).await;
    let shown = shelf.ask(&["show"]);
    assert_eq!(shown.code, Some(0), "{shown:?}");
    let text = shown.stdout;
    assert!(!text.contains('\u{1b}'), "{text}");
    let parts = [
        "behaviour of site failed: trap\n",
        "  why     wasm trap: wasm `unreachable`",
        "  where   ",
        "crash/src/lib.rs:",
        "  path    web -> behaviour\n",
        "\nwhat led there\n",
        "web -> behaviour run(1)",
        "\nstack\n",
        " inlined  ",
        "crash::outer",
        "\nlimits\n",
        " of 16MiB",
        "\nits last lines\n",
        "| \\u{1b}[31mgiven\\u{1b}[0m 1\n",
        "\ncomponent\n",
        "crash.wasm\n",
        "core.wasm",
    ];
    let mut rest = text.as_str();
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("`{part}` is missing, or not in its place:\n{text}"));
        rest = &rest[at..];
    }
    let listed = shelf.ask(&[]).stdout;
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert!(listed.starts_with("site/behaviour/2") && listed.contains("  trap at "), "{listed}");
    let json = shelf.ask(&["list", "--format", "json"]).stdout;
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["postmortems"][0]["failure"], "trap", "{json}");
}

#[tokio::test]
async fn every_way_to_fail_leaves_what_is_known_of_it() {
    for (behaviour, path, kind, stack, next) in [
        ("crash", "/run/2", "stack-overflow", true, "recursion"),
        ("eat-memory-trap", "/run/0", "memory", true, "component.behaviour.budget.memory = \"32MiB\""),
        ("spin", "/run/0", "cpu", true, "component.behaviour.budget.cpu = \"600ms\""),
        ("start-trap", "/run/0", "trap", true, ""),
        ("sleep", "/run/60000", "deadline", false, "component.behaviour.budget.deadline"),
    ] {
        let shelf = Shelf::new();
        let app = site(behaviour);
        if behaviour == "sleep" {
            let manifest = fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
            app.write("watertight.toml", manifest.replace("deadline = \"10s\"", "deadline = \"200ms\""));
        }
        assert_eq!(asked(app.path(), &shelf, &[path]).await, [502], "{behaviour}");
        let report = shelf.report();
        assert_eq!(report["failure"]["kind"], kind, "{behaviour}: {report:#}");
        assert_eq!(report["component"]["name"], "behaviour");
        let frames = report["stack"].as_array().expect("a list").len();
        assert_eq!(frames > 0, stack, "{behaviour}: {report:#}");
        assert_eq!(report["no_stack"].is_string(), !stack, "{behaviour}");
        let advice = report["failure"]["next"].as_str().unwrap_or_default();
        assert!(advice.contains(next), "{behaviour}: {advice}");
    }
}

#[tokio::test]
async fn a_component_of_wasi_0_3_leaves_one_too() {
    let shelf = Shelf::new();
    let manifest = r#"
[app]
name = "later"
version = "0.1.0"

[component.web]
source = "http3-later.wasm"
uses = ["later"]

[component.later]
source = "later.wasm"

[[trigger.http]]
route = "/..."
component = "web"
"#;
    let app = AppFolder::new(manifest, &["http3-later", "later"]);
    asked(app.path(), &shelf, &["/explode"]).await;
    let report = shelf.report();
    assert_eq!((&report["component"]["name"], &report["failure"]["kind"]), (&"later".into(), &"trap".into()));
    assert_eq!(texts(&report["path"]), ["web", "later"]);
    assert!(!report["stack"].as_array().expect("a list").is_empty(), "{report:#}");
    assert_eq!(report["crossings"][0]["function"], "explode", "{report:#}");
}

#[tokio::test]
async fn values_of_a_redacted_component_are_nowhere() {
    let manifest = |who: &str| {
        let redact = |name: &str| if who == name { "redact = true" } else { "" };
        format!(
            r#"
[app]
name = "vault"
version = "0.1.0"

[component.web]
source = "http-behave.wasm"
uses = ["relay"]

[component.relay]
source = "relay.wasm"
uses = ["crash"]
{}

[component.crash]
source = "crash.wasm"
grants.stdio = true
{}

[[trigger.http]]
route = "/run/..."
component = "web"
"#,
            redact("relay"),
            redact("crash")
        )
    };
    for (who, arguments, log, core) in [
        ("nobody", [Some("(0)"), Some("(0)")], true, true),
        ("crash", [Some("(0)"), None], false, false),
        ("relay", [None, None], true, false),
    ] {
        let shelf = Shelf::new();
        let app = AppFolder::new(&manifest(who), &["http-behave", "relay", "crash"]);
        asked(app.path(), &shelf, &["/run/0"]).await;
        let report = shelf.report();
        assert_eq!(report["component"]["name"], "crash", "{who}");
        let seen: Vec<_> = report["crossings"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|crossing| crossing["arguments"].as_str())
            .collect();
        assert_eq!(seen, arguments, "{who}");
        assert_eq!(!texts(&report["log"]).is_empty(), log, "{who}: a log line may have values in it");
        assert_eq!(report["core"]["kept"].is_object(), core, "{who}: a neighbour's memory has them, too");
        assert_eq!(report["redacted"], who != "nobody");
        let folder = Path::new(report["folder"].as_str().expect("it is named"));
        assert_eq!(folder.join("core.wasm").exists(), core, "{who}");
        assert_eq!(shelf.ask(&["show"]).stdout.contains("left out: redact"), who != "nobody");
    }
}

#[tokio::test]
async fn a_flood_of_failures_leaves_few_folders() {
    let shelf = Shelf::new();
    let site = site("trap");
    let began = Instant::now();
    let server = Server::start(site.path(), &["--workers", "1", "--postmortem-dir", shelf.text()]);
    for _ in 0..200 {
        assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
    }
    server.stop();
    let listed = shelf.ask(&[]).stdout.lines().count();
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("it was quick");
    assert!((1..=seconds + 1).contains(&listed), "{listed} in {seconds} s");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_a_line_and_nothing_else() {
    let parent = tempfile::tempdir().expect("the temporary folder is writable");
    let file = parent.path().join("file");
    fs::write(&file, "in the way").expect("the temporary folder is writable");
    let open = parent.path().join("open");
    fs::create_dir(&open).expect("the temporary folder is writable");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("it is ours");
    for (root, why) in [(file.join("postmortem"), "Not a directory"), (open, "chmod go-w")] {
        let site = site("trap");
        let root = root.to_str().expect("test paths are text");
        let app = site.text();
        let mut command = watertight(&["serve", app, "--listen", "127.0.0.1:0", "--workers", "0", "--format", "json"]);
        command.args(["--postmortem-dir", root]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut server = Server::from(&mut command);
        assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
        // The turn of the next one comes after a second.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
        let mut said = String::new();
        server.signal(Signal::TERM);
        let mut stderr = server.process.stderr.take().expect("it was piped");
        stderr.read_to_string(&mut said).expect("the log is text");
        assert_eq!(said.matches("no postmortem: ").count(), 1, "{said}");
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn a_report_tells_of_the_calls_that_led_to_the_failure() {
    let shelf = Shelf::new();
    let site = site("trap");
    let server = Server::start(site.path(), &["--workers", "1", "--postmortem-dir", shelf.text()]);
    let answer = get(server.address, "/run/7").await.expect("it answers");
    assert_eq!(answer.0, 502, "{answer:?}");
    server.stop();
    let report = shelf.report();
    assert_eq!(report["path"], serde_json::json!(["web", "behaviour"]));
    let crossing = &report["crossings"][0];
    assert_eq!((&crossing["from"], &crossing["to"]), (&"web".into(), &"behaviour".into()));
    assert_eq!((&crossing["function"], &crossing["arguments"]), (&"run".into(), &"(7)".into()));
    assert_eq!(crossing["outcome"], "running", "the cell failed while it ran");
    let shown = shelf.ask(&["show", "behaviour"]).stdout;
    for part in ["behaviour of site failed: trap", "web -> behaviour run(7)", "web -> behaviour\n", "unreachable"] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
}

#[test]
fn without_postmortems_nothing_is_written() {
    let shelf = Shelf::new();
    let failed = run(&["run", &built("trap"), "--invoke", "run(0)", "--no-postmortem"]);
    assert_eq!(failed.code, Some(134), "{failed:?}");
    assert!(!failed.stderr.contains("postmortem"), "{failed:?}");
    let none = shelf.ask(&[]);
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), ""), "{none:?}");
    assert_eq!(shelf.ask(&["show"]).code, Some(66));
}
