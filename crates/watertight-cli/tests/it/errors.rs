//! What goes wrong before anything runs: each with its exit code and the next step.

use std::net::TcpListener;

use watertight_testkit::guest;

use crate::{
    files::{AppFolder, built},
    program::{Ended, ended, run, watertight},
};

fn fails(args: &[&str], code: i32, part: &str) -> Ended {
    let ended = run(args);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(code), ""), "{args:?}: {ended:?}");
    assert!(ended.stderr.contains(part), "{args:?}: {part} in {ended:?}");
    ended
}

#[test]
fn what_is_not_there_is_not_found() {
    let folder = AppFolder::new("", &[]);
    std::fs::remove_file(folder.path().join("watertight.toml")).expect("it was there");
    for command in ["serve", "run", "check", "compile"] {
        fails(&[command, "/nowhere/at/all"], 66, "error: there is no file or folder /nowhere/at/all");
        fails(&[command, folder.text()], 66, "has no watertight.toml: create one, or name a .wasm file");
    }
    fails(&["inspect", "/nowhere/at/all"], 66, "cannot read /nowhere/at/all");
}

#[test]
fn what_is_no_component_is_rejected() {
    let folder = AppFolder::new("", &[]);
    let hello = guest::built("http-hello");
    for (name, bytes, part) in [
        ("cut.wasm", &hello[..hello.len() / 2], "is cut off"),
        ("empty.wasm", &[][..], "is empty"),
        ("text.wasm", b"(component)".as_slice(), "is WebAssembly text"),
        ("other.wasm", b"\x7fELF".as_slice(), "is not WebAssembly"),
    ] {
        let path = folder.write(name, bytes);
        let path = path.to_str().expect("test paths are text");
        fails(&["check", path], 65, part);
        fails(&["serve", path], 65, part);
        fails(&["inspect", path], 65, "it is not a component");
    }
}

#[test]
fn an_app_without_routes_is_not_served() {
    fails(&["serve", &built("ok")], 65, "app `ok` has no routes: add a [[trigger.http]]");
}

#[test]
fn a_taken_port_is_told_apart_from_a_bad_address() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();
    for workers in ["0", "2"] {
        let args = ["serve", &built("http-hello"), "--listen", &address, "--workers", workers];
        fails(&args, 69, "the address is in use");
    }
    fails(&["serve", &built("http-hello"), "--listen", "somewhere"], 2, "is not an address to listen on");
}

#[test]
fn a_bad_certificate_is_told_before_anything_listens() {
    let folder = AppFolder::new("", &[]);
    let cert = folder.write("cert.pem", "no certificate");
    let cert = cert.to_str().expect("test paths are text");
    let hello = built("http-hello");
    let args = ["serve", &hello, "--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", cert];
    fails(&args, 78, "no certificate in");
    fails(&["serve", &hello, "--tls-cert", cert], 2, "--tls-key");
}

#[test]
fn a_cache_that_cannot_be_had_is_told() {
    let folder = AppFolder::new("", &[]);
    let file = folder.write("file", "");
    let file = file.to_str().expect("test paths are text");
    fails(&["compile", &built("ok"), "--cache-dir", file], 73, "choose another folder with --cache-dir");
    let homeless = ended(watertight(&["compile", &built("ok")]).env_remove("XDG_CACHE_HOME").env_remove("HOME"));
    assert_eq!(homeless.code, Some(73), "{homeless:?}");
    assert!(homeless.stderr.contains("help: choose a folder with --cache-dir"), "{homeless:?}");
}

#[test]
fn pools_that_the_machine_cannot_have_name_the_number_to_change() {
    let manifest = "[app]\nname = \"huge\"\n[component.ok]\nsource = \"ok.wasm\"\nlifetime = \"call\"\n\
                    budget = { concurrency = 65536 }\n";
    let app = AppFolder::new(manifest, &["ok"]);
    fails(&["check", app.text()], 71, "lower the concurrency of ok");
}

#[test]
fn wrong_arguments_are_a_matter_of_usage() {
    for args in [&["swerve"][..], &[], &["run"], &["serve", "--workers", "many"], &["serve", "--drain-timeout", "soon"]]
    {
        let ended = run(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains("Usage") || ended.stderr.contains("error:"), "{args:?}: {ended:?}");
    }
}

#[test]
fn an_error_for_a_machine_is_one_json_object() {
    for args in [&["check", "/nowhere", "--format", "json"][..], &["compile", "/nowhere", "--format", "json"]] {
        let ended = run(args);
        let error: serde_json::Value = serde_json::from_str(&ended.stderr).expect("it is JSON");
        assert_eq!((&error["error"]["exit"], &error["error"]["name"]), (&66.into(), &"not-found".into()), "{error}");
    }
}

#[test]
fn colours_are_for_terminals_only() {
    let app = AppFolder::new("[app]\nname = 3\n", &[]);
    for (name, value) in [("TERM", "xterm-256color"), ("NO_COLOR", "1"), ("FORCE_COLOR", "1")] {
        let ended = ended(watertight(&["check", app.text()]).env(name, value));
        assert_eq!(ended.code, Some(65));
        assert!(!ended.stderr.contains('\u{1b}'), "{name}: {ended:?}");
    }
}

#[test]
fn a_line_of_any_width_is_told_of() {
    let app = crate::files::site("trap");
    let manifest = std::fs::read_to_string(app.path().join("watertight.toml")).expect("it is there");
    for wide in [format!("x = \"{}\" 5", "a".repeat(80_000)), "{a=".repeat(30_000)] {
        app.write("watertight.toml", format!("{manifest}\n{wide}\n"));
        let ended = run(&["check", app.path().to_str().expect("test paths are text")]);
        assert_eq!(ended.code, Some(65), "{}", ended.stderr.chars().take(400).collect::<String>());
    }
}
