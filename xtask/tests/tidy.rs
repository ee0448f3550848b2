//! The repository is tidy: `cargo xtask tidy`, as a test, so that whoever runs the tests has run it.

use std::process::Command;

#[test]
fn the_repository_keeps_its_own_rules() {
    let out = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("tidy")
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the chore starts");
    let (said, failed) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "\n{said}{failed}");
}
