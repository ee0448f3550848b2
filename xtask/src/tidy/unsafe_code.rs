//! Invariant 14: `unsafe` lives only in the modules listed here, each with what tests it.

use super::{
    Breach, Tree,
    bare::{bare, words},
    line_of,
};

/// A module that may hold `unsafe`.
struct Listed {
    module: &'static str,
    /// What would find it wrong.
    tests: &'static [&'static str],
}

const LISTED: &[Listed] = &[
    // Lifting and lowering of raw values: compared with Wasmtime's own, for random types, values and hostile memory.
    Listed {
        module: "crates/watertight-runtime/src/membrane/raw.rs",
        tests: &["crates/watertight-runtime/tests/cells/oracle.rs", "fuzz/fuzz_targets/membrane.rs"],
    },
    // Loading compiled code: damaged and foreign entries, several processes at once.
    Listed { module: "crates/watertight-runtime/src/cache.rs", tests: &["crates/watertight-cli/tests/it/cache.rs"] },
];

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    check_against(tree, LISTED)
}

fn check_against(tree: &Tree, listed: &[Listed]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.rust() {
        if listed.iter().any(|listed| listed.module == file.path) {
            continue;
        }
        let code = bare(&file.text);
        for (at, word) in words(&code) {
            let line = line_of(&code, at);
            match word {
                "unsafe" => breaches.push(file.breach(
                    line,
                    "`unsafe` in a module that is not listed in xtask/src/tidy/unsafe_code.rs (invariant 14)",
                )),
                "unsafe_code" if lifts(&code, at) => breaches.push(
                    file.breach(line, "the lint that keeps `unsafe` out is lifted here, and may not be (invariant 14)"),
                ),
                _ => {}
            }
        }
    }
    for Listed { module, tests } in listed {
        let gone = |what| Breach { place: (*module).to_owned(), what };
        match tree.find(module) {
            None => breaches.push(gone("is listed as holding `unsafe`, and is not there".to_owned())),
            Some(file) if !words(&bare(&file.text)).any(|(_, word)| word == "unsafe") => {
                breaches.push(gone("holds no `unsafe` any more: strike it off the list".to_owned()));
            }
            Some(_) => {}
        }
        for test in tests.iter().filter(|test| tree.find(test).is_none()) {
            breaches.push(gone(format!("holds `unsafe`, and its tests in {test} are not there")));
        }
    }
    breaches
}

/// Whether the lint is named where it is lifted.
fn lifts(code: &str, at: usize) -> bool {
    let line = code[..at].lines().next_back().unwrap_or_default();
    ["allow(", "expect(", "warn("].iter().any(|lift| line.contains(lift))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{told, tree},
        *,
    };

    const RAW: Listed = Listed { module: "crates/a/src/raw.rs", tests: &["crates/a/tests/raw.rs"] };

    #[test]
    fn unsafe_is_found_outside_of_listed_modules_only() {
        let tree = tree(&[
            ("crates/a/src/raw.rs", "unsafe {}"),
            ("crates/a/tests/raw.rs", ""),
            ("crates/a/src/lib.rs", "// unsafe\nlet x = \"unsafe\";\nunsafe { f() }"),
            ("crates/a/src/other.rs", "#![allow(unsafe_code)]"),
            ("crates/a/src/unsafe_code.rs", "mod unsafe_code;"),
            ("guests/src/rust/g/src/lib.rs", "unsafe {}"),
        ]);
        let found = told(check_against(&tree, &[RAW]));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("crates/a/src/lib.rs:3: "), "{found:?}");
        assert!(found[1].starts_with("crates/a/src/other.rs:1: "), "{found:?}");
    }

    #[test]
    fn a_listed_module_has_unsafe_and_tests() {
        let found = told(check_against(&tree(&[("crates/a/src/raw.rs", "fn safe() {}")]), &[RAW]));
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
