//! Invariant 7: only the manifest checker makes grants. Whoever else could make one could give a component more than its
//! manifest does.

use super::{
    Breach, Tree,
    bare::{bare, words},
    line_of, shipped,
};

/// What a component is given. A single origin or address is also made to be shown: as the line that would grant it.
const GRANTS: [&str; 2] = ["DirGrant", "Grants"];

/// Compiled for tests only.
const FIXTURES: &str = "crates/watertight-host/src/fixture.rs";

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let others =
        |path: &str| path.contains("/src/") && !path.starts_with("crates/watertight-model/") && path != FIXTURES;
    let mut breaches = Vec::new();
    for file in tree.rust().filter(|file| others(&file.path)) {
        let whole = bare(&file.text);
        let code = shipped(&whole);
        for (at, word) in words(code).filter(|(_, word)| GRANTS.contains(word)) {
            let after = code[at + word.len()..].trim_start();
            let before = code[..at].trim_end();
            // `-> Grants {` is where a body begins, and `for Grants {` an implementation.
            let is_type = before.ends_with("->") || before.ends_with("for") || before.ends_with('&');
            if (after.starts_with('{') && !is_type) || after.starts_with("::") {
                let what = format!("makes a `{word}`: only the checker in watertight-model does (invariant 7)");
                breaches.push(file.breach(line_of(code, at), what));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::{
        super::{told, tree},
        *,
    };

    #[test]
    fn a_grant_made_outside_the_model_is_found() {
        let cases = [
            ("crates/watertight-host/src/a.rs", "let all = Grants { stdio: true, ..given };", 1),
            ("crates/watertight-host/src/a.rs", "let none = Grants::default();", 1),
            ("crates/watertight-host/src/a.rs", "fn f(grants: &Grants) -> Grants { grants.clone() }", 0),
            ("crates/watertight-host/src/a.rs", "#[cfg(test)]\nmod tests { Grants::default() }", 0),
            ("crates/watertight-model/src/a.rs", "Grants::default()", 0),
        ];
        for (path, text, expected) in cases {
            let found = told(check(&tree(&[(path, text)])));
            assert_eq!(found.len(), expected, "{text}: {found:?}");
        }
    }
}
