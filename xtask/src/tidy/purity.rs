//! Invariant 1, `watertight-model` is pure and synchronous, and invariant 3, one place makes a `wasmtime::Config`.
//!
//! It looks at names: what the model cannot name it cannot use. Its dependencies are looked at in `dependencies`.

use super::{
    Breach, Tree,
    bare::{bare, words},
    line_of, shipped,
};

/// Parts of the standard library that wait, or reach outside the process, or depend on chance.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::hash::RandomState",
    "std::io::stderr",
    "std::io::stdin",
    "std::io::stdout",
    "std::net::TcpListener",
    "std::net::TcpStream",
    "std::net::ToSocketAddrs",
    "std::net::UdpSocket",
    "std::os",
    "std::process",
    "std::sync::mpsc",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];

/// Methods of paths that ask the file system.
const ASKS_THE_DISK: &[&str] =
    &["canonicalize", "exists", "is_dir", "is_file", "is_symlink", "metadata", "read_dir", "read_link", "try_exists"];

/// The one place.
const CONFIG: &str = "crates/watertight-runtime/src/engine.rs";

pub(super) fn check(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.rust() {
        let code = bare(&file.text);
        if file.path.starts_with("crates/watertight-model/src/") {
            breaches.extend(impurities(&code).into_iter().map(|(line, what)| file.breach(line, what)));
        }
        if is_shipped_engine_code(&file.path) {
            let made: Vec<_> = configs(shipped(&code)).collect();
            let allowed = usize::from(file.path == CONFIG);
            for line in made.iter().skip(allowed) {
                breaches.push(file.breach(*line, format!("only `config` in {CONFIG} makes a `Config` (invariant 3)")));
            }
            if made.len() < allowed {
                breaches.push(file.breach(1, "the one place that makes a `Config` has moved: say where to"));
            }
        }
    }
    breaches
}

/// Only these crates can name the engine.
fn is_shipped_engine_code(path: &str) -> bool {
    path.starts_with("crates/watertight-runtime/src/") || path.starts_with("crates/watertight-host/src/")
}

/// The lines where a `Config` or an `Engine` is made without a `Config` of ours.
fn configs(code: &str) -> impl Iterator<Item = usize> {
    let made = ["Config::new", "Config::default", "Engine::default"];
    made.into_iter().flat_map(move |made| {
        let whole = |at: &usize| !code[..*at].ends_with(|letter: char| letter.is_alphanumeric() || letter == '_');
        code.match_indices(made).map(|(at, _)| at).filter(whole).map(|at| line_of(code, at)).collect::<Vec<_>>()
    })
}

fn impurities(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, path) in std_paths(code) {
        let under = |impure: &&&str| path == **impure || path.starts_with(&format!("{impure}::"));
        if let Some(impure) = IMPURE.iter().find(under) {
            found.push((line_of(code, at), format!("`{impure}` in the model, which is pure (invariant 1)")));
        }
    }
    for (at, word) in words(code) {
        let method = code[..at].ends_with('.') && code[at + word.len()..].starts_with("()");
        if matches!(word, "async" | "await") {
            found.push((line_of(code, at), format!("`{word}` in the model, which is synchronous (invariant 1)")));
        } else if method && ASKS_THE_DISK.contains(&word) {
            found.push((line_of(code, at), format!("`.{word}()` asks the disk; the model is pure (invariant 1)")));
        }
    }
    found
}

/// Every path that starts at `std`, with the groups of `use` taken apart.
fn std_paths(code: &str) -> Vec<(usize, String)> {
    let mut paths = Vec::new();
    for (at, word) in words(code) {
        let starts = !code[..at].ends_with("::") && code[at + word.len()..].starts_with("::");
        if word == "std" && starts {
            let mut rest = &code[at..];
            branch(&mut rest, "", at, &mut paths);
        }
    }
    paths
}

/// Reads one branch of a path: `a::b`, or `a::{b, c::d}`.
fn branch(rest: &mut &str, before: &str, at: usize, paths: &mut Vec<(usize, String)>) {
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(rest.len());
    let path = if before.is_empty() { rest[..end].to_owned() } else { format!("{before}::{}", &rest[..end]) };
    *rest = &rest[end..];
    let Some(next) = rest.strip_prefix("::") else {
        paths.push((at, path));
        return;
    };
    *rest = next;
    let Some(group) = rest.strip_prefix('{') else {
        branch(rest, &path, at, paths);
        return;
    };
    *rest = group.trim_start();
    while !rest.is_empty() && !rest.starts_with('}') {
        branch(rest, &path, at, paths);
        // What stands between two branches: a comma, or `as NAME`, or `*`.
        *rest = rest.trim_start_matches(|letter| letter != ',' && letter != '}').trim_start_matches(',').trim_start();
    }
    *rest = rest.trim_start_matches('}');
}

#[cfg(test)]
mod tests {
    use super::{
        super::{told, tree},
        *,
    };

    #[test]
    fn what_reaches_outside_is_found_however_it_is_named() {
        let cases = [
            ("use std::fs;", 1),
            ("use std::{collections::BTreeMap, fs::{self, File}, sync::Arc};", 2),
            ("let now = std::time::Instant::now();", 1),
            ("use std::{time::{Duration, SystemTime}, env as e};", 2),
            ("async fn f() { g().await }", 2),
            ("path.exists()", 1),
            ("use std::{net::{IpAddr, SocketAddr}, time::Duration, fmt, path::Path};", 0),
            ("// std::fs\nlet x = \"std::env\"; let env = grants.env; self.exists(other)", 0),
            ("crate::std::fs::x", 0),
        ];
        for (code, expected) in cases {
            let found = impurities(&bare(code));
            assert_eq!(found.len(), expected, "{code}: {found:?}");
        }
    }

    #[test]
    fn a_second_config_is_found() {
        let tests = "#[cfg(test)]\nmod tests { fn f() { Config::new() } }";
        let sound = tree(&[
            (CONFIG, "let c = Config::new(); let p = PoolingAllocationConfig::new();"),
            ("crates/watertight-host/src/a.rs", tests),
            ("crates/watertight-ingress/src/a.rs", "HttpConfig::default(); Config::new()"),
        ]);
        assert_eq!(told(check(&sound)), Vec::<String>::new());
        let second = tree(&[(CONFIG, "Config::new()"), ("crates/watertight-host/src/a.rs", "\nConfig::new()")]);
        let found = told(check(&second));
        assert!(found.len() == 1 && found[0].starts_with("crates/watertight-host/src/a.rs:2: "), "{found:?}");
        let moved = told(check(&tree(&[(CONFIG, "fn f() {}")])));
        assert_eq!(moved.len(), 1, "{moved:?}");
    }
}
