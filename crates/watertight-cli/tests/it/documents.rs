//! What the documents show is what happens: their shell and console blocks, run in their order.
//!
//! A page's `sh` blocks are run, its manifests are written where they say, and each command of a `console` block must print
//! the answer that stands below it. Servers are left out: they have tests of their own.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// Pages whose commands stand for themselves. The others show parts of something larger.
const PAGES: [&str; 9] = [
    "README.md",
    "docs/budgets.md",
    "docs/building.md",
    "docs/exit-codes.md",
    "docs/failure.md",
    "docs/grants.md",
    "docs/isolation.md",
    "docs/postmortem.md",
    "docs/supervision.md",
];

/// What a name is looked up to is a matter of the machine.
const OF_THE_MACHINE: &str = "resolve(\"localhost\")";

#[test]
fn the_commands_of_the_documents_print_what_they_say() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let repository = repository.canonicalize().expect("the tests run from a clone");
    for page in PAGES {
        let text = fs::read_to_string(repository.join(page)).expect("the page is there");
        let folder = TempDir::new().expect("there is room");
        for name in ["guests", "examples"] {
            symlink(repository.join(name), folder.path().join(name)).expect("the folder is ours");
        }
        let mut answered = 0;
        for (language, body) in blocks(&text) {
            match language {
                "sh" => assert!(shell(folder.path(), body).1, "{page}: {body}"),
                "toml" => write_manifest(folder.path(), body),
                "console" => answered += transcript(page, folder.path(), body),
                _ => {}
            }
        }
        assert!(answered > 0, "{page} shows no command any more: strike it off");
    }
}

/// The blocks of code, each with its language.
fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split("\n```").skip(1).step_by(2).filter_map(|block| block.split_once('\n'))
}

/// Writes a manifest that names its place, or that is a component of the page's demo.
fn write_manifest(folder: &Path, body: &str) {
    let manifest = folder.join("demo/watertight.toml");
    if body.starts_with("# demo/watertight.toml") {
        fs::write(manifest, body).expect("the folder is ours");
    } else if body.starts_with("[component.tool]") {
        fs::write(manifest, format!("[app]\nname = \"demo\"\n\n{body}")).expect("the folder is ours");
    }
}

/// Runs the commands of a console block, and says how many there were.
fn transcript(page: &str, folder: &Path, body: &str) -> usize {
    let mut ran = 0;
    for part in body.split("$ ").skip(1) {
        let (command, answer) = part.split_once('\n').unwrap_or((part, ""));
        if command.starts_with("cargo ") || command.starts_with("watertight serve ") || command.contains(OF_THE_MACHINE)
        {
            continue;
        }
        let (said, _) = shell(folder, command);
        assert!(said.contains(answer.trim_end()), "{page}: {command}\nsays:\n{said}\nand not:\n{answer}");
        assert!(!said.contains("Usage:"), "{page}: {command}\n{said}");
        ran += 1;
    }
    ran
}

/// Runs a line as a person would, and gives all that was said, and whether it ended well.
fn shell(folder: &Path, line: &str) -> (String, bool) {
    let programs = Path::new(env!("CARGO_BIN_EXE_watertight")).parent().expect("a program is in a folder");
    let path = env::var("PATH").unwrap_or_default();
    let output = Command::new("sh")
        .args(["-c", line])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("XDG_CACHE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/cache"))
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .stdin(Stdio::null())
        .output()
        .expect("there is a shell");
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8_lossy(&text).into_owned(), output.status.success())
}
