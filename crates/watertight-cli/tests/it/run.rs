//! `watertight run`: commands with their exit codes, and calls of exports as text.

use std::{io::Write as _, process::Stdio};

use crate::{
    files::{AppFolder, built, site},
    program::{ended, run, watertight},
};

#[test]
fn a_command_gets_arguments_and_streams_and_its_exit_code_is_passed_on() {
    let command = built("command");
    let echo = run(&["run", &command, "--", "echo", "two words", "--three"]);
    assert_eq!((echo.code, echo.stdout.as_str(), echo.stderr.as_str()), (Some(0), "two words --three\n", ""));
    let fail = run(&["run", &command, "--", "fail"]);
    assert_eq!(fail.code, Some(1));
    let mut process = watertight(&["run", &command, "--", "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    let mut stdin = process.stdin.take().expect("it was piped");
    stdin.write_all(b"through and through\n").expect("it reads");
    drop(stdin);
    let output = process.wait_with_output().expect("it ends");
    assert_eq!(output.stdout, b"through and through\n");
}

#[test]
fn commands_of_wasi_0_3_and_of_preview_1_run_too() {
    let p3 = run(&["run", &built("command3"), "--", "a"]);
    assert_eq!(p3.code, Some(0), "{p3:?}");
    assert!(p3.stdout.contains("a"), "{p3:?}");
    let p1 = run(&["run", &built("command-p1"), "--", "a", "b"]);
    assert!(p1.stdout.contains("preview 1"), "{p1:?}");
}

#[test]
fn a_command_that_fails_has_the_exit_code_of_its_failure() {
    let command = built("command");
    let trap = run(&["run", &command, "--", "trap"]);
    assert_eq!(trap.code, Some(134), "{trap:?}");
    assert!(trap.stderr.contains("unreachable"), "{trap:?}");
    let spin = run(&["run", &command, "--cpu", "50ms", "--", "spin"]);
    assert_eq!(spin.code, Some(124), "{spin:?}");
    assert!(spin.stderr.contains("--deadline 1h --cpu 1h"), "{spin:?}");
    let late = run(&["run", &command, "--deadline", "50ms", "--", "spin"]);
    assert_eq!(late.code, Some(124), "{late:?}");
    let eaten = run(&["run", &built("eat-memory-trap"), "--invoke", "run(0)"]);
    assert_eq!(eaten.code, Some(137), "{eaten:?}");
    let json = run(&["run", &built("trap"), "--invoke", "run(0)", "--format", "json"]);
    let error = json.stderr.lines().last().expect("there is an error");
    let error: serde_json::Value = serde_json::from_str(error).expect("it is JSON");
    assert_eq!((&error["error"]["exit"], &error["error"]["name"]), (&134.into(), &"trapped".into()), "{error}");
}

#[test]
fn any_export_can_be_called_as_text() {
    let types = built("types");
    for (call, expected) in [
        ("watertight:test/types#u8s(255)", "255"),
        ("types#strings(\"a \\\"b\\\" \u{e9}\")", "\"a \\\"b\\\" \u{e9}\""),
        ("bools(true)", "true"),
    ] {
        let called = run(&["run", &types, "--invoke", call]);
        assert_eq!((called.code, called.stdout.trim_end()), (Some(0), expected), "{call}: {called:?}");
    }
    for (call, expected) in [("run(41)", "ok(42)"), ("bare(1)", "ok"), ("plain(1)", "2")] {
        let called = run(&["run", &built("ok"), "--invoke", call]);
        assert_eq!(called.stdout.trim_end(), expected, "{call}: {called:?}");
    }
    let failed = run(&["run", &built("fail"), "--invoke", "run(1)"]);
    assert_eq!((failed.code, failed.stdout.trim_end()), (Some(0), "err(\"asked to fail\")"), "{failed:?}");
    let later = run(&["run", &built("later"), "--invoke", "add(1, 2, 5)"]);
    assert_eq!((later.code, later.stdout.trim_end()), (Some(0), "3"), "{later:?}");
}

#[test]
fn a_dependency_deep_in_an_app_can_be_called() {
    let app = site("ok");
    let called = run(&["run", app.text(), "--invoke", "watertight:test/behave#run(1)"]);
    assert_eq!((called.code, called.stdout.trim_end()), (Some(0), "ok(2)"), "{called:?}");
    let relays = AppFolder::new(
        "[app]\nname = \"relays\"\n[component.relay]\nsource = \"relay.wasm\"\nuses = [\"ok\"]\n\
         [component.ok]\nsource = \"ok.wasm\"\n",
        &["relay", "ok"],
    );
    let several = run(&["run", relays.text(), "--invoke", "run(1)"]);
    assert_eq!(several.code, Some(2));
    assert!(several.stderr.contains("of relay") && several.stderr.contains("of ok"), "{several:?}");
    let chosen = run(&["run", relays.text(), "--component", "relay", "--invoke", "run(1)"]);
    assert_eq!((chosen.code, chosen.stdout.trim_end()), (Some(0), "ok(2)"), "{chosen:?}");
}

#[test]
fn calls_that_cannot_be_made_say_why() {
    for (guest, call, part) in [
        ("ok", "run", "is not a call"),
        ("ok", "walk(1)", "nobody exports `walk`; there is: watertight:test/behave#run of ok"),
        ("ok", "run(\"one\")", "the arguments do not fit watertight:test/behave#run(n: u32)"),
        ("ok", "run()", "the arguments do not fit"),
        ("ok", "run(1, 2)", "the arguments do not fit"),
        ("things", "make(1)", "cannot be written as text"),
    ] {
        let failed = run(&["run", &built(guest), "--invoke", call]);
        assert_eq!((failed.code, failed.stdout.as_str()), (Some(2), ""), "{call}: {failed:?}");
        assert!(failed.stderr.contains(part), "{call}: {failed:?}");
    }
}

#[test]
fn a_use_that_is_not_granted_names_the_line_to_add() {
    let dialled = run(&["run", &built("dial-out"), "--invoke", "run(1)"]);
    assert!(dialled.stdout.starts_with("err("), "{dialled:?}");
    assert!(dialled.stderr.contains("to allow it: component.dial-out.grants.tcp = [\"127.0.0.1:1\"]"), "{dialled:?}");
}

#[test]
fn what_is_no_command_says_what_it_is() {
    let lib = run(&["run", &built("ok")]);
    assert_eq!(lib.code, Some(65), "{lib:?}");
    assert!(lib.stderr.contains("has no command") && lib.stderr.contains("--invoke"), "{lib:?}");
    let unknown = run(&["run", &built("ok"), "--component", "web", "--invoke", "run(1)"]);
    assert_eq!(unknown.code, Some(2), "{unknown:?}");
    assert!(unknown.stderr.contains("help: it has: ok"), "{unknown:?}");
}

#[test]
fn a_reader_that_goes_away_ends_a_command_without_a_panic() {
    let mut process = watertight(&["run", &built("command"), "--", "echo", "nobody listens"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    drop(process.stdout.take());
    let output = process.wait_with_output().expect("it ends");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("crates/watertight"), "{output:?}");
    assert!(output.status.code().is_some(), "no signal ended it: {output:?}");
}

#[test]
fn an_interrupted_command_ends_at_once() {
    use rustix::process::Signal;
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut process = watertight(&["run", &built("command"), "--format", "json", "--verbose", "--", "spin"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut stderr = std::io::BufReader::new(process.stderr.take().expect("it was piped"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut stderr, &mut line).expect("events are text");
        assert!(line.contains("cell-started"), "{line}");
        crate::program::send(i32::try_from(process.id()).expect("process ids are small"), signal);
        assert_eq!(process.wait().expect("it is our child").code(), Some(code));
    }
}

#[test]
fn no_output_is_an_error_only_where_a_disk_is_full() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let ended = ended(watertight(&["schema"]).stdout(full));
    assert_eq!(ended.code, Some(74), "{ended:?}");
    let mut process = watertight(&["schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program can be started");
    drop(process.stdout.take());
    let output = process.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
