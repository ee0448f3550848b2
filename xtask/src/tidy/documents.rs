//! Documents: every command that they show exists, every link and path leads somewhere, and every test and metric that they name is there.
//!
//! It reads Markdown as far as that takes: blocks of code, code within lines, links and headings. Whether a command also does
//! what a page says is for the tests of the command line.

mod commands;

use std::{collections::BTreeSet, path::Path};

use self::commands::Commands;
use super::{
    Breach, File, Tree,
    bare::{bare, words},
    line_of,
};

/// Folders whose paths are checked where a document names one.
const ROOTS: [&str; 8] = [".ci/", ".config/", "crates/", "docs/", "examples/", "fuzz/", "guests/", "xtask/"];

pub(super) fn check(tree: &Tree, repository: &Path) -> Vec<Breach> {
    let commands = Commands::read(tree);
    let functions = functions(tree);
    let exists = |path: &str| tree.find(path).is_some() || repository.join(path).exists();
    let mut breaches = Vec::new();
    // What a site serves is not about this project.
    let documents = tree.files.iter().filter(|file| file.path.ends_with(".md") && !file.path.contains("/content/"));
    for file in documents {
        for (line, piece) in pieces(&file.text) {
            let problem = match piece {
                Piece::Command(command) => commands.problem(command),
                Piece::Code(code) => in_line(code, tree, &commands, &functions, &exists),
                Piece::Link(target) => link(target, file, tree, &exists),
            };
            breaches.extend(problem.map(|what| file.breach(line, what)));
        }
    }
    for file in tree.files.iter().filter(|file| speaks_of_files(&file.path)) {
        let gone = mentions(&file.text).filter(|(_, path)| !exists(path));
        breaches.extend(gone.map(|(at, path)| file.breach(line_of(&file.text, at), format!("there is no {path}"))));
    }
    breaches.extend(failures(tree));
    breaches
}

/// Sources and settings whose comments and messages name files. The rules here name some that are made up.
fn speaks_of_files(path: &str) -> bool {
    (path.ends_with(".rs") || path.ends_with(".toml")) && !path.starts_with("xtask/src/tidy")
}

/// Files that a text names by their whole path.
fn mentions(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let part = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    let found = ["crates/", "docs/"].into_iter().flat_map(|root| text.match_indices(root));
    found.filter_map(move |(at, _)| {
        let end = text[at..].find(|letter| !part(letter)).map_or(text.len(), |len| at + len);
        let path = text[at..end].trim_end_matches('.');
        let whole = !text[..at].ends_with(part);
        (whole && [".md", ".rs", ".toml"].iter().any(|kind| path.ends_with(kind))).then_some((at, path))
    })
}

/// Where the kinds of failure are listed, and the pages that explain each.
const FAILURES: &str = "crates/watertight-model/src/failure.rs";
const PAGES_OF_FAILURES: [&str; 2] = ["docs/events.md", "docs/failure.md"];

/// Every kind of failure that a page does not have.
fn failures(tree: &Tree) -> Vec<Breach> {
    let source = tree.find(FAILURES).map(|file| file.text.as_str()).unwrap_or_default();
    let names = source.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split('"').nth(1));
    let mut breaches = Vec::new();
    for name in names {
        for page in PAGES_OF_FAILURES.iter().filter_map(|page| tree.find(page)) {
            if !page.text.contains(&format!("`{name}`")) {
                breaches.push(page.breach(1, format!("does not have the failure `{name}`")));
            }
        }
    }
    breaches
}

/// What there is to check in a document.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// A line of a block that is typed into a shell.
    Command(&'a str),
    /// Code within a line.
    Code(&'a str),
    /// Where a link leads.
    Link(&'a str),
}

/// The pieces of a Markdown text, each with its line.
fn pieces(text: &str) -> Vec<(usize, Piece<'_>)> {
    let mut pieces = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if let Some(language) = line.trim_start().strip_prefix("```") {
            fence = if fence.is_some() { None } else { Some(language) };
            continue;
        }
        let command = match fence {
            // In a transcript, the rest is what was answered.
            Some("console") => line.strip_prefix("$ "),
            Some("sh") => Some(line),
            Some(_) => None,
            None => line.strip_prefix("    "),
        };
        match (command, fence) {
            (Some(command), _) => pieces.push((number, Piece::Command(command))),
            (None, None) => pieces.extend(within(line).into_iter().map(|piece| (number, piece))),
            (None, Some(_)) => {}
        }
    }
    pieces
}

/// Code and links within one line of prose.
fn within(line: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    for (index, part) in line.split('`').enumerate() {
        if index % 2 == 1 {
            pieces.push(Piece::Code(part));
        }
    }
    for (at, _) in line.match_indices("](") {
        let rest = &line[at + 2..];
        pieces.extend(rest.find(')').map(|end| Piece::Link(&rest[..end])));
    }
    pieces
}

fn in_line(
    code: &str,
    tree: &Tree,
    commands: &Commands,
    functions: &BTreeSet<&str>,
    exists: &impl Fn(&str) -> bool,
) -> Option<String> {
    if ["watertight ", "cargo xtask "].iter().any(|program| code.starts_with(program)) {
        return commands.problem(code);
    }
    let is_path = ROOTS.iter().any(|root| code.starts_with(root));
    if is_path && code.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_./".contains(letter)) {
        return (!exists(code.trim_end_matches('/'))).then(|| format!("there is no `{code}`"));
    }
    let is_name = code.chars().all(|letter| letter.is_ascii_lowercase() || "_0123456789".contains(letter));
    if is_name && code.starts_with("watertight_") {
        return metric(code, tree);
    }
    let is_test = is_name && code.matches('_').count() >= 3;
    (is_test && !functions.contains(code)).then(|| format!("there is no test `{code}`"))
}

/// Where the families of metrics are named.
const METRICS: &str = "crates/watertight/src/metrics.rs";

/// A metric that a document names must be one. Counters and the like have their suffix in the document alone.
fn metric(code: &str, tree: &Tree) -> Option<String> {
    let name = ["_total", "_info"].iter().find_map(|suffix| code.strip_suffix(suffix)).unwrap_or(code);
    let known = tree.find(METRICS).is_some_and(|file| file.text.contains(&format!("\"{name}\"")));
    (!known).then(|| format!("there is no metric `{code}`"))
}

fn link(target: &str, from: &File, tree: &Tree, exists: &impl Fn(&str) -> bool) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = if path.is_empty() { from.path.clone() } else { joined(&from.path, path) };
    if !exists(&path) {
        return Some(format!("the link to {target} leads nowhere"));
    }
    let anchor = anchor?;
    let headings = tree.find(&path).map(|file| headings(&file.text)).unwrap_or_default();
    (!headings.contains(anchor)).then(|| format!("{path} has no heading #{anchor}"))
}

/// The path that a link in `from` leads to, from the root.
fn joined(from: &str, link: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." | "" => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The headings of a text, as links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        fenced ^= line.starts_with("```");
        if !fenced && line.starts_with('#') {
            let name = line.trim_start_matches('#').trim().to_lowercase();
            let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
            found.insert(name.chars().filter(kept).map(|letter| if letter == ' ' { '-' } else { letter }).collect());
        }
    }
    found
}

/// The names of all functions of the workspace.
fn functions(tree: &Tree) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for file in tree.rust() {
        let code = bare(&file.text);
        let mut after_fn = false;
        for (at, word) in words(&code) {
            if after_fn {
                names.insert(&file.text[at..at + word.len()]);
            }
            after_fn = word == "fn";
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::{
        super::{told, tree},
        *,
    };

    #[test]
    fn the_pieces_of_a_text_are_found() {
        let text = "See [a](b.md#c) and `d`.\n```console\n$ watertight check\nanswer\n```\n```toml\n$ x = 1\n```\n    cargo test\n";
        let expected = [
            (1, Piece::Code("d")),
            (1, Piece::Link("b.md#c")),
            (3, Piece::Command("watertight check")),
            (9, Piece::Command("cargo test")),
        ];
        assert_eq!(pieces(text), expected);
    }

    #[test]
    fn a_failure_that_a_page_does_not_have_is_found() {
        let source = "match self {\n    Self::Trap => \"trap\",\n    Self::Cpu => \"cpu\",\n}";
        let tree = tree(&[(FAILURES, source), ("docs/failure.md", "`trap`"), ("docs/events.md", "`trap`, `cpu`")]);
        assert_eq!(told(failures(&tree)), ["docs/failure.md:1: does not have the failure `cpu`"]);
    }

    #[test]
    fn files_that_sources_name_are_found() {
        let text =
            "// See docs/a.md, `crates/b/src/c.rs`. include_str!(\"../../docs/d.md\"); https://e/docs/f.md docs/g";
        assert_eq!(mentions(text).map(|(_, path)| path).collect::<Vec<_>>(), ["crates/b/src/c.rs", "docs/a.md"]);
    }

    #[test]
    fn links_paths_and_tests_that_are_not_there_are_found() {
        let cases = [
            (
                "[a](other.md) [b](other.md#a-heading) [c](../README.md) [d](#mine) [e](https://example.com/x)\n# Mine",
                0,
            ),
            ("[a](missing.md)", 1),
            ("[a](other.md#no-heading)", 1),
            ("`crates/a/src/lib.rs` and `crates/a`, `crates/*/src`", 0),
            ("`crates/a/src/gone.rs`", 1),
            ("`a_test_that_is_there` in `short_name`", 0),
            ("`a_test_that_is_gone`", 1),
        ];
        for (text, expected) in cases {
            let tree = tree(&[
                ("README.md", ""),
                ("crates/a/src/lib.rs", "fn a_test_that_is_there() {}"),
                ("docs/other.md", "## A heading!"),
                ("docs/page.md", text),
            ]);
            let nowhere = Path::new("nowhere");
            let found = told(check(&tree, nowhere));
            let missing_folder = usize::from(text.contains("`crates/a`"));
            assert_eq!(found.len(), expected + missing_folder, "{text}: {found:?}");
        }
    }
}
