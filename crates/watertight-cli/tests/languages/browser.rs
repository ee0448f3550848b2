//! A real browser.

use std::{net::SocketAddr, process::Command};

/// The page as a browser has it after it has loaded all of it.
pub(crate) fn seen(address: SocketAddr, path: &str) -> String {
    shown(address, path, &[])
}

/// The same, once its scripts have nothing left to wait for.
pub(crate) fn seen_at_rest(address: SocketAddr, path: &str) -> String {
    shown(address, path, &["--virtual-time-budget=20000"])
}

fn shown(address: SocketAddr, path: &str, more: &[&str]) -> String {
    let profile = tempfile::tempdir().expect("the temporary folder is writable");
    let mut browser = Command::new("chromium");
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom"]);
    browser.args(more).arg(format!("--user-data-dir={}", profile.path().display()));
    browser.arg(format!("http://{address}{path}"));
    let output = browser.output().expect("chromium is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
