//! Environment, arguments, folders, standard streams, clocks and random numbers.

use std::{fs, os::unix::fs::symlink};

use watertight_model::{
    app::Component,
    budget::ByteSize,
    event::LogStream,
    failure::FailureKind,
    grant::{DirGrant, DirMode},
};

use crate::app::{Bench, Plan};

const REACH: &str = "watertight:test/reach";
const BEHAVE: &str = "watertight:test/behave";

type Done = Result<(), String>;
type Text = Result<String, String>;

fn dir(mode: DirMode) -> DirGrant {
    DirGrant::new("content", "/content", mode)
}

/// A folder `content` with a file, beside a file that nobody granted.
fn folder() -> tempfile::TempDir {
    let base = tempfile::tempdir().expect("a temporary folder");
    fs::create_dir(base.path().join("content")).expect("it is empty");
    fs::write(base.path().join("content/page.txt"), "hello").expect("it is ours");
    fs::write(base.path().join("secret.txt"), "secret").expect("it is ours");
    symlink("../secret.txt", base.path().join("content/escape.txt")).expect("it is ours");
    base
}

async fn read(bench: &Bench, path: &str) -> Text {
    bench.call::<_, (Text,)>(REACH, "read", (path.to_owned(),)).await.expect("the guest returns").0
}

async fn write(bench: &Bench, path: &str) -> Done {
    bench.call::<_, (Done,)>(REACH, "write", (path.to_owned(), "new".to_owned())).await.expect("the guest returns").0
}

#[tokio::test]
async fn without_grants_a_guest_sees_its_name_the_time_and_random_numbers() {
    let bench = Plan::of("reach", |_| {}).start();
    let (env,) = bench.call::<_, (Vec<(String, String)>,)>(REACH, "env", ()).await.expect("it returns");
    assert_eq!(env, []);
    let (args,) = bench.call::<_, (Vec<String>,)>(REACH, "args", ()).await.expect("it returns");
    assert_eq!(args, ["web"]);
    let (folders,) = bench.call::<_, (Vec<String>,)>(REACH, "preopens", ()).await.expect("it returns");
    assert_eq!(folders, [""; 0]);
    assert_eq!(read(&bench, "/etc/passwd").await, Err("no folder holds /etc/passwd".into()));
    let (stdin,) = bench.call::<_, (Text,)>(REACH, "stdin", ()).await.expect("it returns");
    assert_eq!(stdin, Ok(String::new()));
    let (time,) = bench.call::<_, (u64,)>(REACH, "wall-clock", ()).await.expect("it returns");
    assert!(time > 0);
    let (one,) = bench.call::<_, (Vec<u8>,)>(REACH, "random", (16_u32,)).await.expect("it returns");
    let (two,) = bench.call::<_, (Vec<u8>,)>(REACH, "random", (16_u32,)).await.expect("it returns");
    assert_ne!(one, two);
    assert_eq!(bench.events.remedies(), [""; 0], "nothing was denied");
}

#[tokio::test]
async fn a_guest_sees_the_environment_and_arguments_it_is_granted() {
    let bench = Plan::of("reach", |component| {
        component.grants.env.insert("THEME".into(), "dark".into());
        component.grants.args = vec!["--verbose".into()];
    })
    .start();
    let (env,) = bench.call::<_, (Vec<(String, String)>,)>(REACH, "env", ()).await.expect("it returns");
    assert_eq!(env, [("THEME".to_owned(), "dark".to_owned())]);
    let (args,) = bench.call::<_, (Vec<String>,)>(REACH, "args", ()).await.expect("it returns");
    assert_eq!(args, ["web", "--verbose"]);
}

#[tokio::test]
async fn a_read_only_folder_is_read_and_not_written() {
    let base = folder();
    let bench =
        Plan::of("reach", |component| component.grants.dirs = vec![dir(DirMode::Ro)]).base_dir(base.path()).start();
    assert_eq!(read(&bench, "/content/page.txt").await, Ok("hello".into()));
    assert_eq!(write(&bench, "/content/new.txt").await, Err("open: not-permitted".into()));
    assert!(!base.path().join("content/new.txt").exists());
    assert_eq!(
        bench.events.remedies(),
        [r#"component.web.grants.dirs = [{ host = "content", guest = "/content", mode = "rw" }]"#]
    );
}

#[tokio::test]
async fn a_folder_granted_for_writing_is_written() {
    let base = folder();
    let bench =
        Plan::of("reach", |component| component.grants.dirs = vec![dir(DirMode::Rw)]).base_dir(base.path()).start();
    assert_eq!(write(&bench, "/content/new.txt").await, Ok(()));
    assert_eq!(fs::read_to_string(base.path().join("content/new.txt")).expect("it was written"), "new");
    assert_eq!(bench.events.remedies(), [""; 0]);
}

#[tokio::test]
async fn no_path_leads_out_of_a_granted_folder() {
    let base = folder();
    let bench =
        Plan::of("reach", |component| component.grants.dirs = vec![dir(DirMode::Rw)]).base_dir(base.path()).start();
    for path in ["/content/../secret.txt", "/content/escape.txt", "/content//etc/passwd"] {
        let seen = read(&bench, path).await;
        assert!(seen.as_ref().is_err(), "{path}: {seen:?}");
    }
    let remedies = bench.events.remedies();
    assert!(remedies.iter().all(|remedy| remedy.contains("THE FOLDER")) && !remedies.is_empty(), "{remedies:?}");
}

#[tokio::test]
async fn open_files_are_counted() {
    let base = folder();
    let change = |component: &mut Component| {
        component.grants.dirs = vec![dir(DirMode::Ro)];
        component.budget.files = 5;
    };
    let bench = Plan::of("open-files", change).base_dir(base.path()).start();
    let opened = |n: u32| {
        let bench = &bench;
        async move { bench.call::<_, (Result<u32, String>,)>(BEHAVE, "run", (n,)).await.expect("it returns").0 }
    };
    assert_eq!(opened(5).await, Ok(5));
    assert_eq!(opened(0).await, Err("5 opened, then quota".into()));
    assert_eq!(bench.events.remedies(), ["component.web.budget.files = 10"]);
}

#[tokio::test]
async fn handles_of_every_kind_are_bounded() {
    let bench = Plan::of("leak-pollables", |_| {}).start();
    let (few,) = bench.call::<_, (Result<u32, String>,)>(BEHAVE, "run", (100_u32,)).await.expect("it returns");
    assert_eq!(few, Ok(100));
    let error = bench.call::<_, (Result<u32, String>,)>(BEHAVE, "run", (20_000_u32,)).await.expect_err("it traps");
    assert!(!matches!(error.kind, FailureKind::Deadline | FailureKind::Cpu), "it was not left to run on: {error}");
}

#[tokio::test]
async fn granted_streams_reach_the_log() {
    let bench = Plan::of("reach", |component| component.grants.stdio = true).start();
    let (done,) = bench.call::<_, (Done,)>(REACH, "stdout", ("one\ntwo".to_owned(),)).await.expect("it returns");
    assert_eq!(done, Ok(()));
    let (done,) = bench.call::<_, (Done,)>(REACH, "stderr", ("three\n".to_owned(),)).await.expect("it returns");
    assert_eq!(done, Ok(()));
    assert_eq!(
        bench.events.lines(),
        [
            (LogStream::Stdout, "one".to_owned()),
            (LogStream::Stdout, "two".to_owned()),
            (LogStream::Stderr, "three".to_owned())
        ]
    );
}

#[tokio::test]
async fn streams_without_the_grant_lead_nowhere() {
    let bench = Plan::of("reach", |_| {}).start();
    let (done,) = bench.call::<_, (Done,)>(REACH, "stdout", ("secret\n".to_owned(),)).await.expect("it returns");
    assert_eq!(done, Ok(()), "the guest does not fail of it");
    assert_eq!(bench.events.lines(), []);
    assert_eq!(bench.events.remedies(), ["component.web.grants.stdio = true"]);
}

#[tokio::test]
async fn the_log_ends_where_its_budget_does() {
    let change = |component: &mut Component| {
        component.grants.stdio = true;
        component.budget.log = ByteSize(64 * 20);
    };
    let bench = Plan::of("write-logs", change).start();
    let (written,) = bench.call::<_, (Result<u32, String>,)>(BEHAVE, "run", (64_u32,)).await.expect("it returns");
    assert_eq!(written, Ok(64), "the guest's writes succeed");
    assert_eq!(bench.events.lines().len(), 20);
    assert_eq!(bench.events.remedies(), ["component.web.budget.log = \"2560B\""]);
}
