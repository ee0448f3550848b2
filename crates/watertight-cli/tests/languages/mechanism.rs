//! Scripts and runtimes as such, with a small guest as the runtime of a language that there is not.

use std::{fs, path::Path, process::Command};

use tempfile::TempDir;
use watertight_testkit::guest;

use crate::program::{Ended, watertight};

/// A folder of runtimes with one for `.tst` files: `guest` with another name.
fn runtimes(guest: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let toml = "language = \"Test\"\nversion = \"1\"\nextensions = [\"tst\"]\nprotocol = \"none\"\n\
                component = \"built.wasm\"\n";
    fs::write(folder.path().join("test.toml"), toml).expect("the temporary folder is writable");
    fs::write(folder.path().join("built.wasm"), guest::built(guest)).expect("the temporary folder is writable");
    folder
}

fn ended(command: &mut Command) -> Ended {
    let output = command.output().expect("the program can be started");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ended { code: output.status.code(), stdout: output.stdout, stderr }
}

fn with(runtimes: &Path, args: &[&str]) -> Ended {
    ended(watertight(args).env("WATERTIGHT_RUNTIMES", runtimes))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("test paths are text")
}

#[test]
fn runtimes_are_added_listed_and_removed() {
    let (from, to) = (runtimes("command"), tempfile::tempdir().expect("the temporary folder is writable"));
    let toml = from.path().join("test.toml");
    assert_eq!(with(to.path(), &["runtime", "add", text(&toml)]).code, Some(0));
    let listed = with(to.path(), &["runtime", "list"]);
    assert!(listed.text().contains("test  Test      1        .tst"), "{}", listed.text());
    let json = with(to.path(), &["runtime", "list", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("it is JSON");
    assert_eq!(json["runtimes"][0]["extensions"][0], "tst", "{json}");
    // The option is before the variable.
    let none = tempfile::tempdir().expect("the temporary folder is writable");
    let empty = with(to.path(), &["runtime", "list", "--runtimes", text(none.path())]);
    assert!(empty.text().starts_with("no runtimes in "), "{}", empty.text());
    assert_eq!(with(to.path(), &["runtime", "remove", "test"]).code, Some(0));
    let gone = with(to.path(), &["runtime", "remove", "test"]);
    assert_eq!(gone.code, Some(66));
    assert!(gone.stderr.contains("there is no runtime `test`"), "{}", gone.stderr);
}

#[test]
fn a_runtime_is_made_by_its_own_command_and_added() {
    let (from, to) = (runtimes("command"), tempfile::tempdir().expect("the temporary folder is writable"));
    let toml = from.path().join("test.toml");
    let cache = tempfile::tempdir().expect("the temporary folder is writable");
    let build = || with(to.path(), &["runtime", "build", text(&toml), "--cache-dir", text(cache.path())]);
    let refused = build();
    assert!(refused.code == Some(2) && refused.stderr.contains("has no [build]"), "{}", refused.stderr);
    let sources = from.path().join("sources");
    fs::create_dir(&sources).expect("the temporary folder is writable");
    fs::rename(from.path().join("built.wasm"), sources.join("from.wasm")).expect("the temporary folder is writable");
    let spec = fs::read_to_string(&toml).expect("it is there");
    let making = |command: &str| {
        fs::write(&toml, format!("{spec}[build]\nfolder = \"sources\"\ncommand = {command}\n")).expect("it is ours");
    };
    making("[\"false\"]");
    let failed = build();
    assert!(failed.code == Some(4) && failed.stderr.contains("`test` was not built"), "{}", failed.stderr);
    making("[\"cp\", \"from.wasm\", \"{output}\"]");
    let built = build();
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert!(built.stderr.contains("built"), "{}", built.stderr);
    let added = fs::read_to_string(to.path().join("test.toml")).expect("it was added");
    assert!(!added.contains("build"), "{added}");
    assert!(build().stderr.contains("unchanged"), "nothing has changed");
}

#[test]
fn a_script_runs_on_its_runtime_with_its_own_path_as_the_first_argument() {
    let (runtimes, folder) = (runtimes("reach"), tempfile::tempdir().expect("the temporary folder is writable"));
    let script = folder.path().join("a script.tst");
    fs::write(&script, "text").expect("the temporary folder is writable");
    let seen = |call| {
        let called = with(runtimes.path(), &["run", text(&script), "--invoke", call]);
        assert_eq!(called.code, Some(0), "{}", called.stderr);
        called.text().to_owned()
    };
    assert!(seen("args()").contains("[\"/app/a script.tst\"]"), "{}", seen("args()"));
    assert!(seen("env()").contains("[]"), "{}", seen("env()"));
    assert!(seen("read(\"/app/a script.tst\")").contains("text"));
    assert!(seen("write(\"/app/new\", \"x\")").starts_with("err("));
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_script_without_a_runtime_says_how_to_get_one() {
    let (runtimes, folder) = (runtimes("command"), tempfile::tempdir().expect("the temporary folder is writable"));
    let script = folder.path().join("app.py");
    fs::write(&script, "").expect("the temporary folder is writable");
    let manifest = folder.path().join("watertight.toml");
    fs::write(&manifest, "[app]\nname = \"a\"\n[component.a]\nsource = \"app.py\"\n").expect("it is writable");
    for app in [&script, &manifest] {
        let refused = with(runtimes.path(), &["check", text(app)]);
        assert_eq!(refused.code, Some(65));
        assert!(refused.stderr.contains("is Python, and there is no runtime for it"), "{}", refused.stderr);
        assert!(refused.stderr.contains("watertight runtime add"), "{}", refused.stderr);
    }
}

#[test]
fn the_place_of_the_scripts_folder_is_not_given_away() {
    let (runtimes, folder) = (runtimes("command"), tempfile::tempdir().expect("the temporary folder is writable"));
    fs::write(folder.path().join("app.tst"), "").expect("the temporary folder is writable");
    let manifest = folder.path().join("watertight.toml");
    for (guest, overlaps) in [("/app", true), ("/app/data", true), ("/", true), ("/data", false)] {
        let text = format!(
            "[app]\nname = \"a\"\n[component.a]\nsource = \"app.tst\"\n\
             grants = {{ dirs = [{{ host = \".\", guest = \"{guest}\" }}] }}\n"
        );
        fs::write(&manifest, text).expect("it is writable");
        let checked = with(runtimes.path(), &["check", manifest.to_str().expect("test paths are text")]);
        let said = checked.stderr.contains("overlaps `/app`, where the script's folder is");
        assert_eq!(said, overlaps, "{guest}: {}", checked.stderr);
    }
}
