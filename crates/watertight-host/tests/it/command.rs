//! Components as commands.

use std::{io, io::Write, sync::Arc};

use parking_lot::Mutex;
use watertight_host::{Console, Output, command::Command};
use watertight_model::{app::ComponentId, failure::FailureKind};

use crate::app::Plan;

/// A place to look at what was written.
#[derive(Clone, Default)]
struct Paper(Arc<Mutex<Vec<u8>>>);

impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock()).into_owned()
    }
}

/// Runs the guest `command` with these arguments: its exit code, stdout and stderr.
async fn run(stdio: bool, args: &[&str], stdin: &'static [u8]) -> (i32, String, String) {
    let (stdout, stderr) = (Paper::default(), Paper::default());
    let console = Console::new(
        ComponentId(0),
        stdin,
        false,
        Output::new(stdout.clone(), false),
        Output::new(stderr.clone(), false),
    )
    .with_args(args.iter().map(|arg| (*arg).to_owned()).collect());
    let bench = Plan::of("command", |component| component.grants.stdio = stdio).console(console).start();
    let command = Command::find(bench.app.instance_pre(ComponentId(0)).component()).expect("it is one");
    let root = bench.app.enter(ComponentId(0)).await.expect("it starts");
    let code = command.run(root).await.expect("it ends");
    (code, stdout.text(), stderr.text())
}

#[tokio::test]
async fn a_command_gets_its_arguments_streams_and_exit_code() {
    for (args, stdin, code, stdout, stderr) in [
        (&["echo", "a", "b"][..], &b""[..], 0, "a b\n", ""),
        (&["cat"], b"one\ntwo", 0, "one\ntwo", ""),
        (&["fail"], b"", 1, "", "asked to fail\n"),
        (&["exit", "0"], b"", 0, "", ""),
        (&["exit", "1"], b"", 1, "", ""),
        (&["env"], b"", 0, "", ""),
    ] {
        assert_eq!(run(true, args, stdin).await, (code, stdout.to_owned(), stderr.to_owned()), "{args:?}");
    }
}

#[tokio::test]
async fn a_command_without_the_stdio_grant_says_nothing() {
    assert_eq!(run(false, &["echo", "a"], b"").await, (0, String::new(), String::new()));
    assert_eq!(run(false, &["cat"], b"one").await, (0, String::new(), String::new()));
}

#[tokio::test]
async fn a_command_that_traps_has_no_exit_code() {
    let console = Console::new(
        ComponentId(0),
        &b""[..],
        false,
        Output::new(Paper::default(), false),
        Output::new(Paper::default(), false),
    );
    let bench = Plan::of("command", |_| {}).console(console.with_args(vec!["trap".into()])).start();
    let command = Command::find(bench.app.instance_pre(ComponentId(0)).component()).expect("it is one");
    let root = bench.app.enter(ComponentId(0)).await.expect("it starts");
    assert_eq!(command.run(root).await.expect_err("it traps").kind, FailureKind::Trap);
}

#[tokio::test]
async fn an_exit_inside_a_call_is_a_failure_of_its_own_kind() {
    let bench = Plan::of("exit", |_| {}).start();
    let error = bench
        .call::<_, (Result<u32, String>,)>("watertight:test/behave", "run", (0_u32,))
        .await
        .expect_err("it never returns");
    assert_eq!(error.kind, FailureKind::Exit, "{error}");
}

#[tokio::test]
async fn a_command_of_wasi_0_3_runs_too() {
    let stdout = Paper::default();
    let console = Console::new(
        ComponentId(0),
        &b""[..],
        false,
        Output::new(stdout.clone(), false),
        Output::new(Paper::default(), false),
    );
    let bench = Plan::of("command3", |component| {
        component.grants.stdio = true;
        component.asynchronous = true;
    })
    .console(console.with_args(vec!["echo".into(), "a".into()]))
    .start();
    let command = Command::find(bench.app.instance_pre(ComponentId(0)).component()).expect("it is one");
    let root = bench.app.enter(ComponentId(0)).await.expect("it starts");
    assert_eq!(command.run(root).await.expect("it ends"), 0);
    assert_ne!(stdout.text(), "");
}
