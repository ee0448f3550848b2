//! What the host keeps for a guest counts as the guest's memory: one with little of it cannot have the host keep much, and what WASI has an error
//! for is one.

use std::fs;

use watertight_model::{
    app::{Lifetime, OnFailure},
    budget::ByteSize,
    event::Event,
    failure::{CallError, FailureKind},
    grant::{DirGrant, DirMode},
};

use crate::app::{Bench, Plan};

const MEMORY: u64 = 8 << 20;

/// A guest that may have 8 MiB, with a folder of many files.
fn hoarder() -> (Bench, tempfile::TempDir) {
    let base = tempfile::tempdir().expect("a temporary folder");
    fs::write(base.path().join("file"), vec![0; 200_000]).expect("it is ours");
    for number in 0..500 {
        fs::write(base.path().join(format!("{number:0>200}")), "").expect("it is ours");
    }
    let bench = Plan::of("hoard", |component| {
        component.grants.dirs = vec![DirGrant::new(".", "/", DirMode::Ro)];
        component.budget.memory = ByteSize(MEMORY);
        component.budget.cpu = std::time::Duration::from_secs(30);
        component.budget.deadline = std::time::Duration::from_secs(60);
    });
    (bench.base_dir(base.path()).start(), base)
}

async fn keep(bench: &Bench, kind: &str, count: u32) -> Result<Result<u32, String>, CallError> {
    let kept = bench.call::<_, (Result<u32, String>,)>("watertight:test/hoard", "keep", (kind.to_owned(), count)).await;
    kept.map(|(kept,)| kept)
}

#[tokio::test]
async fn a_few_of_each_are_kept() {
    let (bench, _base) = hoarder();
    for kind in ["headers", "paths", "bodies", "streams", "entries"] {
        assert_eq!(keep(&bench, kind, 8).await, Ok(Ok(8)), "{kind}");
    }
    for event in bench.events.all() {
        if let Event::CellEnded { usage, .. } = event {
            assert!((200_000..MEMORY).contains(&usage.memory_peak_bytes), "{usage:?}");
        }
    }
}

#[tokio::test]
async fn no_more_is_kept_than_there_is_memory_for() {
    let (bench, _base) = hoarder();
    for (kind, each, error) in [
        ("paths", 32 << 10, "refused"),
        ("bodies", 128 << 10, "refused"),
        ("streams", 64 << 10, "insufficient-memory"),
        ("entries", 500 * 200, "insufficient-memory"),
    ] {
        let kept = keep(&bench, kind, 16_000).await.expect("it is told").expect_err("there is no room for so many");
        let (count, said) = kept.split_once(", then ").expect("it counts");
        let count: u64 = count.parse().expect("a number");
        assert_eq!(said, error, "{kind}");
        assert!(count > 8 && count * each < MEMORY, "{count} {kind}");
    }
}

#[tokio::test]
async fn headers_beyond_memory_break_a_guest_off_that_could_not_be_told() {
    let (bench, _base) = hoarder();
    let error = keep(&bench, "headers", 16_000).await.expect_err("WASI 0.2 has no error for it");
    assert_eq!(error.kind, FailureKind::Memory, "{error}");
    assert!(error.detail.contains("raise component.web.budget.memory"), "{error}");
}

/// A caller that keeps streams which its callee gives it, with little memory, and a file for them.
fn keeper() -> (Bench, tempfile::TempDir) {
    let base = tempfile::tempdir().expect("a temporary folder");
    fs::write(base.path().join("file"), vec![0; 200_000]).expect("it is ours");
    let bench = Plan::of("hand-user", |component| component.budget.memory = ByteSize(4 << 20))
        .and("hand", "hand", |component| {
            component.lifetime = Lifetime::Call;
            component.grants.dirs = vec![DirGrant::new(".", "/", DirMode::Ro)];
        })
        .edge(
            "watertight:test/hand",
            &["give", "take", "sip", "echo"].map(|name| {
                let otherwise = if name == "echo" { OnFailure::Trap } else { OnFailure::ErrorText };
                (name, otherwise)
            }),
        );
    (bench.base_dir(base.path()).start(), base)
}

#[tokio::test]
async fn what_another_cell_gave_counts_for_who_has_it() {
    let (bench, _base) = keeper();
    let scene = async |name, count: u32| {
        let told =
            bench.call::<_, (Result<u32, String>,)>("watertight:test/hand-scenes", name, ("file".to_owned(), count));
        told.await.expect("the caller lives").0
    };
    assert_eq!(scene("kept", 20).await, Ok(20));
    assert_eq!(scene("had", 200).await, Ok(200), "what was dropped is free again");
    let error = scene("kept", 200).await.expect_err("there is no room for so many");
    let (kept, said) = error.split_once(", then ").expect("it counts");
    assert!(said.contains("memory"), "{said}");
    assert!(kept.parse::<u32>().is_ok_and(|kept| kept > 20 && kept * (64 << 10) < 4 << 20), "{error}");
}
