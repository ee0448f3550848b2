//! How files begin, how long they are, which attributes tests may not have, and that nothing carries a path of the machine
//! it was written on.

use super::{Breach, File, Tree, bare::bare, line_of};

/// Lines after which a file is two ideas.
const MOST_LINES: usize = 800;

/// Folders where people keep their clones.
const HOMES: [&str; 3] = ["/home/", "/root/", "/Users/"];

pub(super) fn check(tree: &Tree, repository: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.rust() {
        breaches.extend(begins(file));
        breaches.extend(attributes(file));
        if file.text.lines().count() > MOST_LINES {
            breaches.push(file.breach(MOST_LINES, format!("more than {MOST_LINES} lines: split it by idea")));
        }
    }
    for file in &tree.files {
        if file.path.ends_with(".snap.new") {
            breaches.push(file.breach(1, "a snapshot that nobody has looked at: accept it, or mend what changed"));
        }
        breaches.extend(paths(file, repository));
    }
    breaches
}

/// A source file says what it is: `//!` on its first line, after attributes for the whole file at most.
fn begins(file: &File) -> Option<Breach> {
    let first = file.text.lines().find(|line| !line.starts_with("#!["))?;
    let is_source = file.path.contains("/src/");
    (is_source && !first.starts_with("//!")).then(|| file.breach(1, "does not open with `//!`: say what it is"))
}

/// A test that is not run tests nothing, and one that should panic does not say where.
fn attributes(file: &File) -> Vec<Breach> {
    let code = bare(&file.text);
    let forbidden = ["#[ignore", "#[should_panic"];
    let found = forbidden.into_iter().flat_map(|attribute| code.match_indices(attribute));
    found.map(|(at, attribute)| file.breach(line_of(&code, at), format!("`{attribute}]` in a test"))).collect()
}

fn paths(file: &File, repository: &str) -> Option<Breach> {
    // This chore has to name them.
    if file.path.starts_with("xtask/src/") {
        return None;
    }
    // A clone in a folder of one letter would be found in every second word.
    let own = (repository.len() > 4).then(|| format!("{repository}/"));
    let machine = HOMES.into_iter().map(str::to_owned).chain(own);
    let found = machine.filter_map(|path| file.text.find(&path).map(|at| (at, path))).min()?;
    Some(file.breach(line_of(&file.text, found.0), format!("`{}` is a path of somebody's machine", found.1)))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{told, tree},
        *,
    };

    #[test]
    fn each_rule_finds_what_breaks_it_and_nothing_else() {
        let long = format!("//! Long.\n{}", "\n".repeat(MOST_LINES));
        let cases = [
            ("crates/a/src/a.rs", "//! What it is.", None),
            ("crates/a/src/a.rs", "#![expect(unsafe_code)]\n//! What it is.", None),
            ("crates/a/src/a.rs", "use std::fmt;", Some("crates/a/src/a.rs:1: ")),
            ("crates/a/tests/a.rs", "// #[ignore]\nuse std::fmt;", None),
            ("crates/a/tests/a.rs", "#[test]\n#[should_panic]", Some("crates/a/tests/a.rs:2: ")),
            ("crates/a/tests/a.rs", "#[ignore = \"slow\"]", Some("crates/a/tests/a.rs:1: ")),
            ("crates/a/src/a.rs", &long, Some("crates/a/src/a.rs:800: ")),
            ("crates/a/tests/snapshots/a.snap.new", "", Some("crates/a/tests/snapshots/a.snap.new:1: ")),
            ("docs/a.md", "see https://example.com/home", None),
            ("docs/a.md", "see\n/home/somebody/x", Some("docs/a.md:2: ")),
            ("docs/a.md", "see /srv/clone/x", Some("docs/a.md:1: ")),
        ];
        for (path, text, expected) in cases {
            let found = told(check(&tree(&[(path, text)]), "/srv/clone"));
            assert_eq!(found.len(), usize::from(expected.is_some()), "{path}, {text}: {found:?}");
            assert!(found.iter().all(|found| found.starts_with(expected.unwrap_or_default())), "{found:?}");
        }
    }
}
