//! Names of WIT as JavaScript has them: `max-width` becomes `maxWidth`, and a type `MaxWidth`.

use std::collections::BTreeSet;

/// Words that cannot name a parameter.
const RESERVED: &[&str] = &[
    "arguments",
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "eval",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "implements",
    "import",
    "in",
    "instanceof",
    "interface",
    "let",
    "new",
    "null",
    "package",
    "private",
    "protected",
    "public",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// Types of JavaScript that are mentioned beside those of an app.
const TAKEN: &[&str] = &["Array", "Map", "Promise", "Uint8Array", "CallError", "Client", "ClientOptions"];

/// The name of a function or a field.
pub(crate) fn camel(name: &str) -> String {
    let pascal = words(name);
    let first = pascal.chars().next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(pascal.chars().skip(1)).collect()
}

/// The name of a type.
pub(crate) fn pascal(name: &str) -> String {
    let name = words(name);
    if TAKEN.contains(&name.as_str()) { name + "_" } else { name }
}

/// The name of a parameter.
pub(crate) fn parameter(name: &str) -> String {
    let name = camel(name);
    if RESERVED.contains(&name.as_str()) { name + "_" } else { name }
}

fn words(name: &str) -> String {
    let mut text = String::new();
    for word in name.split(['-', '_', ':', '/', '.']) {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.extend(letters.map(|letter| letter.to_ascii_lowercase()));
    }
    text
}

/// Gives each thing the shortest of its names that nothing else has, and numbers what has none.
pub(super) fn shortest(candidates: &[Vec<String>]) -> Vec<String> {
    let mut given: Vec<Option<String>> = vec![None; candidates.len()];
    let mut used: BTreeSet<String> = BTreeSet::new();
    let most = candidates.iter().map(Vec::len).max().unwrap_or(0);
    for level in 0..most {
        let at = |index: usize| candidates[index].get(level).map(String::as_str);
        let open: Vec<_> = (0..candidates.len()).filter(|index| given[*index].is_none()).collect();
        for index in &open {
            let alone = open.iter().all(|other| other == index || at(*other) != at(*index));
            if let Some(name) = at(*index).filter(|name| alone && !used.contains(*name)) {
                given[*index] = Some(name.to_owned());
            }
        }
        used.extend(given.iter().flatten().cloned());
    }
    let mut named = Vec::new();
    for (given, candidates) in given.into_iter().zip(candidates) {
        let last = candidates.last().map_or("", String::as_str);
        let numbered = || (2..).map(|number| format!("{last}{number}")).find(|name| !used.contains(name));
        let name = given.or_else(numbered).unwrap_or_default();
        used.insert(name.clone());
        named.push(name);
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_javascript_has_them() {
        for (name, function, ty) in [
            ("render", "render", "Render"),
            ("max-width", "maxWidth", "MaxWidth"),
            ("HTTP-get", "httpGet", "HttpGet"),
            ("f32s", "f32s", "F32s"),
            ("map", "map", "Map_"),
        ] {
            assert_eq!((camel(name), pascal(name)), (function.to_owned(), ty.to_owned()));
        }
        assert_eq!(parameter("default"), "default_");
    }

    #[test]
    fn each_gets_the_shortest_name_of_its_own() {
        let names = |candidates: &[&[&str]]| {
            let owned: Vec<Vec<String>> =
                candidates.iter().map(|each| each.iter().map(|name| (*name).to_owned()).collect()).collect();
            shortest(&owned)
        };
        assert_eq!(names(&[&["a", "xA"], &["b", "xB"]]), ["a", "b"]);
        assert_eq!(names(&[&["a", "xA"], &["a", "yA"], &["b"]]), ["xA", "yA", "b"]);
        assert_eq!(names(&[&["a"], &["a"]]), ["a2", "a3"]);
        assert_eq!(names(&[&["a", "b"], &["a", "c"], &["b", "d"]]), ["b2", "c", "b"]);
    }
}
