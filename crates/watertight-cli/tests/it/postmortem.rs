//! What a failed cell leaves behind, and how it is read: `--postmortem-dir`, `watertight postmortem`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::get,
    files::{built, site},
    program::{Ended, Server, run},
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
