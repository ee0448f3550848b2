//! `watertight build`, with commands that every machine has: what is made, when, how it is told, and what stays as it was.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    files::{AppFolder, built},
    program::{Ended, ended, send, watertight},
};

/// An app of one component that a shell makes of `a.txt`, and a guest to copy.
fn app(script: &str, keys: &str) -> AppFolder {
    let manifest = format!(
        "[app]\nname = \"shop\"\n[component.web]\nsource = \"out/web.wasm\"\n\
         [component.web.build]\ncommand = [\"sh\", \"-c\", '''{script}''']\n{keys}\n"
    );
    let app = AppFolder::new(&manifest, &[]);
    app.write("a.txt", "one");
    app.write("guest", fs::read(built("ok")).expect("it is built"));
    app
}

fn build(app: &AppFolder, args: &[&str]) -> Ended {
    ended(command(app).args(args))
}

fn command(app: &AppFolder) -> Command {
    let mut command = watertight(&["build", app.text()]);
    // Records of its own: folders of tests come and go.
    command.env("XDG_CACHE_HOME", app.path().join(".cache"));
    command
}

fn states(app: &AppFolder, args: &[&str]) -> Vec<String> {
    let done = build(app, &[args, &["--format", "json"]].concat());
    let all: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let all = all["components"].as_array().expect("there is a list").clone();
    all.iter()
        .map(|one| format!("{} {}", one["name"].as_str().unwrap_or(""), one["state"].as_str().unwrap_or("")))
        .collect()
}

/// What an app's folder has that is not hidden.
fn listed(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there").flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_component_is_made_once_and_again_only_when_what_it_is_made_from_changes() {
    let app = app("cp guest {output}", "inputs = [\"a.txt\"]");
    let check = ended(&mut watertight(&["check", app.text()]));
    assert!(check.stderr.contains("there is no file `out/web.wasm` yet") && check.stderr.contains("watertight build"));
    let first = build(&app, &[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!(first.stdout, "shop: 1 built, 0 unchanged\n");
    assert!(first.stderr.starts_with("built     web ") && first.stderr.contains(" KiB "), "{first:?}");
    assert_eq!(listed(&app.path().join("out")), ["web.wasm"], "nothing else is left");
    assert_eq!(ended(&mut watertight(&["check", app.text()])).code, Some(0));

    assert_eq!(states(&app, &[]), ["web unchanged"]);
    app.write("other.txt", "no input");
    assert_eq!(states(&app, &[]), ["web unchanged"]);
    app.write("a.txt", "two");
    assert_eq!(states(&app, &[]), ["web built"]);
    assert_eq!(states(&app, &["--force"]), ["web built"]);
    fs::remove_file(app.path().join("out/web.wasm")).expect("it was made");
    assert_eq!(states(&app, &[]), ["web built"]);
    app.write("out/web.wasm", "something else");
    assert_eq!(states(&app, &[]), ["web built"]);
    let manifest = fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
    app.write("watertight.toml", manifest.replace("cp guest", "cp  guest"));
    assert_eq!(states(&app, &[]), ["web built"], "another command");
}

#[test]
fn what_a_command_is_told_and_where_it_runs() {
    let script = r#"test "$WATERTIGHT_OUTPUT" = {output} && test "$(basename "$PWD")" = sub && cp ../guest web.bin"#;
    let app = app(script, "folder = \"sub\"\noutput = \"web.bin\"");
    fs::create_dir(app.path().join("sub")).expect("the folder is ours");
    let done = build(&app, &[]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(
        fs::read(app.path().join("out/web.wasm")).expect("it was made"),
        fs::read(built("ok")).expect("it is there")
    );
}

#[test]
fn a_build_that_fails_shows_what_was_said_and_leaves_what_was_there() {
    let app = app("cp guest {output}", "");
    assert_eq!(states(&app, &[]), ["web built"]);
    let before = fs::read(app.path().join("out/web.wasm")).expect("it was made");
    let manifest = fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
    for (script, said) in [
        ("echo half > {output}; echo a.c:3: no semicolon >&2; exit 7", "`sh -c "),
        ("true", "ended well, and there is no "),
        ("echo text > {output}", "web.wasm is not WebAssembly"),
        ("kill -9 $$", "was ended by signal 9 and said nothing"),
    ] {
        app.write("watertight.toml", manifest.replace("cp guest {output}", script));
        let done = build(&app, &[]);
        assert_eq!(done.code, Some(4), "{done:?}");
        assert!(done.stderr.contains(said) || said.contains("said nothing"), "{said} in {done:?}");
        assert!(done.stderr.contains("`web` was not built"), "{done:?}");
        assert_eq!(fs::read(app.path().join("out/web.wasm")).expect("it is there"), before, "{script}");
        assert_eq!(listed(&app.path().join("out")), ["web.wasm"], "{script}");
    }
    app.write("watertight.toml", manifest.replace("cp guest {output}", "echo a.c:3: no semicolon >&2; exit 7"));
    let done = build(&app, &[]);
    assert!(done.stderr.contains("ended with exit code 7\n  a.c:3: no semicolon\n"), "{done:?}");
    let done = build(&app, &["--format", "json"]);
    let told: Value = serde_json::from_str(&done.stdout).expect("it is one JSON object");
    assert_eq!(told["components"][0]["output"], "a.c:3: no semicolon\n", "{told}");
    let error: Value = serde_json::from_str(&done.stderr).expect("it is one JSON object");
    assert_eq!((&error["error"]["name"], done.code), (&"not-built".into(), Some(4)));
}

#[test]
fn everything_that_is_missing_is_told_before_anything_is_made() {
    let manifest = r#"
[app]
name = "many"
[component.made]
source = "made.wasm"
build = { command = ["sh", "-c", "touch began; cp guest {output}"] }
[component.one]
source = "one.wasm"
build = { recipe = "python" }
[component.two]
source = "two.wasm"
build = { recipe = "python" }
[component.three]
source = "three.wasm"
build = { recipe = "c" }
"#;
    let app = AppFolder::new(manifest, &[]);
    app.write("guest", fs::read(built("ok")).expect("it is built"));
    let empty = app.path().join("empty");
    fs::create_dir(&empty).expect("the folder is ours");
    let done = ended(command(&app).env("PATH", &empty).env("WASI_SDK_PATH", &empty).env_remove("VIRTUAL_ENV"));
    assert_eq!(done.code, Some(72), "{done:?}");
    for part in [
        "componentize-py is missing, for `one`, `two`",
        "python3 -m venv .venv && .venv/bin/pip install componentize-py",
        "clang is missing, for `three`",
        "apt install clang lld wasi-libc libclang-rt-dev-wasm32",
    ] {
        assert!(done.stderr.contains(part), "{part} in {done:?}");
    }
    assert!(!app.path().join("began").exists(), "nothing was begun");
}

#[test]
fn only_what_is_named_is_made_and_the_problems_of_a_manifest_come_first() {
    let app = app("cp guest {output}", "");
    let done = build(&app, &["--component", "wbe"]);
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("no component `wbe`") && done.stderr.contains("those with one: `web`"), "{done:?}");
    let manifest = fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
    app.write("watertight.toml", manifest.replace("command", "comand"));
    let done = build(&app, &[]);
    assert_eq!(done.code, Some(65), "{done:?}");
    assert!(done.stderr.contains("did you mean `command`?"), "{done:?}");
    let done = ended(&mut watertight(&["build", &built("ok")]));
    assert_eq!(done.code, Some(2), "{done:?}");
    assert!(done.stderr.contains("is a component already"), "{done:?}");
}

#[test]
fn a_signal_ends_the_build_and_all_that_it_has_started() {
    for signal in [Signal::INT, Signal::TERM] {
        let app = app("trap '' TERM INT; sleep 1000 & echo $! > pids; echo $$ >> pids; mkfifo go; echo > go; wait", "");
        let mut process = command(&app).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let go = app.path().join("go");
        while !go.exists() {
            std::thread::yield_now();
        }
        let mut line = String::new();
        BufReader::new(fs::File::open(&go).expect("it is a pipe")).read_line(&mut line).expect("the shell writes");
        send(i32::try_from(process.id()).expect("process ids are small"), signal);
        assert_eq!(process.wait().expect("it is our child").code(), Some(130));
        for pid in fs::read_to_string(app.path().join("pids")).expect("it was written").lines() {
            let alive = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
            // What was killed takes a moment to be gone.
            let until = Instant::now() + Duration::from_secs(30);
            while alive() && Instant::now() < until {
                std::thread::yield_now();
            }
            assert!(!alive(), "{pid} still runs");
        }
        assert!(!app.path().join("out/web.wasm").exists());
        assert_eq!(fs::read_dir(app.path().join("out")).expect("it was made").count(), 0, "nothing is left");
    }
}
