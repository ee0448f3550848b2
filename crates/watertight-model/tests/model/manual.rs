//! The documentation, the schema and the reader say the same, because all three are held against the one table of keys.

use std::{collections::BTreeSet, fmt::Write, path::PathBuf};

use watertight_model::manifest::{
    keys::{KEYS, Kind, keys_at},
    schema,
};

use crate::apps::{check, rendered, sound};

fn manual() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/manifest.md")
}

/// The table of the keys at one place.
fn table(place: &str) -> String {
    let mut table = "| key | takes | default | example | meaning |\n|---|---|---|---|---|\n".to_owned();
    for key in keys_at(place) {
        let default = match (key.required, key.default) {
            (true, _) => "must be given".to_owned(),
            (false, Some(default)) => format!("`{default}`"),
            (false, None) => "none".to_owned(),
        };
        let takes = if let Kind::Choice(choices) = key.kind {
            choices.iter().map(|choice| format!("`\"{choice}\"`")).collect::<Vec<_>>().join(", ")
        } else if let Kind::Count(least, most) = key.kind {
            format!("a whole number from {least} to {most}")
        } else {
            key.kind.noun()
        };
        writeln!(table, "| `{}` | {takes} | {default} | `{}` | {} |", key.name, key.example, key.description())
            .expect("writing into a string cannot fail");
    }
    table
}

/// The manual with its tables as they should be.
fn written(manual: &str) -> (String, BTreeSet<String>) {
    let mut text = String::new();
    let mut places = BTreeSet::new();
    let mut rest = manual;
    while let Some((before, after)) = rest.split_once("<!-- keys: ") {
        let (place, after) = after.split_once(" -->").expect("the mark is closed");
        let (_, after) = after.split_once("<!-- /keys -->").expect("the table has an end");
        write!(text, "{before}<!-- keys: {place} -->\n\n{}\n<!-- /keys -->", table(place.trim()))
            .expect("writing into a string cannot fail");
        places.insert(place.trim().to_owned());
        rest = after;
    }
    text.push_str(rest);
    (text, places)
}

/// `WATERTIGHT_BLESS=1` writes the tables into the manual.
#[test]
fn the_manual_describes_every_key() {
    let found = std::fs::read_to_string(manual()).expect("the manual is there");
    let (should, places) = written(&found);
    if std::env::var_os("WATERTIGHT_BLESS").is_some() {
        std::fs::write(manual(), &should).expect("the manual can be written");
    }
    let of_table: BTreeSet<String> = KEYS.iter().map(|key| key.place.to_owned()).collect();
    assert_eq!(places, of_table, "every place has its table");
    assert!(
        found == should || std::env::var_os("WATERTIGHT_BLESS").is_some(),
        "the tables of docs/manifest.md are not those of `manifest::keys`; WATERTIGHT_BLESS=1 writes them"
    );
}

#[test]
fn the_example_of_the_manual_is_sound() {
    let manual = std::fs::read_to_string(manual()).expect("the manual is there");
    let example = manual
        .split("```toml\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .expect("the page opens with an example");
    let _app = sound(
        example,
        &[
            (
                "web",
                "import press:text/markdown@0.1.0; import press:image/thumbnail@0.1.0; export wasi:http/incoming-handler@0.2.12;",
            ),
            ("markdown", "export press:text/markdown@0.1.0;"),
            ("thumbnail", "export press:image/thumbnail@0.1.0;"),
        ],
    );
}

#[test]
fn every_key_takes_its_example_and_its_default() {
    for key in KEYS {
        for value in [Some(key.example), key.default].into_iter().flatten() {
            let line = match key.place {
                "" => format!("{} = {value}\n", key.name),
                "component.*.grants.dirs[]" => format!("component.web.grants.dirs = [{{ {} = {value} }}]\n", key.name),
                "trigger.http[]" => format!("trigger.http = [{{ {} = {value} }}]\n", key.name),
                "component.*.edge.*" => format!("component.web.edge.log.{} = {value}\n", key.name),
                place => format!("{}.{} = {value}\n", place.replace('*', "web"), key.name),
            };
            let (_, problems) = check(&line, &[]);
            let misread = ["syntax", "unknown-key", "wrong-value", "unknown-choice"];
            let bad = |problem: &watertight_model::problem::Problem| {
                let code = problem.code().name();
                misread.contains(&code) || code.starts_with("bad-")
            };
            let problems: Vec<_> = problems.into_iter().filter(bad).collect();
            assert!(problems.is_empty(), "{line}{}", rendered(&problems));
        }
    }
}

#[test]
fn every_key_refuses_a_value_of_another_type() {
    for key in KEYS {
        let wrong = "1979-05-27";
        let line = match key.place {
            "" => format!("{} = {wrong}\n", key.name),
            "component.*.grants.dirs[]" => format!("component.web.grants.dirs = [{{ {} = {wrong} }}]\n", key.name),
            "trigger.http[]" => format!("trigger.http = [{{ {} = {wrong} }}]\n", key.name),
            "component.*.edge.*" => format!("component.web.edge.log.{} = {wrong}\n", key.name),
            place => format!("{}.{} = {wrong}\n", place.replace('*', "web"), key.name),
        };
        let (_, problems) = check(&line, &[]);
        let refused = problems.iter().any(|problem| problem.code().name() == "wrong-value");
        assert!(refused, "`{}` at `{}` takes a date:\n{}", key.name, key.place, rendered(&problems));
    }
}

#[test]
fn the_defaults_of_the_table_are_those_of_the_budget() {
    let line: String = keys_at("component.*.budget")
        .map(|key| {
            format!("component.web.budget.{} = {}\n", key.name, key.default.expect("every budget has a default"))
        })
        .collect();
    let manifest = format!("app.name = \"t\"\ncomponent.web.source = \"web.wasm\"\n{line}");
    let app = sound(&manifest, &[("web", "")]);
    assert_eq!(app.components[0].budget, watertight_model::budget::Budget::default());
}

#[test]
fn the_schema_holds_every_key() {
    insta::assert_snapshot!("schema", serde_json::to_string_pretty(&schema()).expect("the schema serialises"));
}
