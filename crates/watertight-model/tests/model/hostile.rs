//! Whatever text and bytes come in, problems come out: nothing panics, and no app comes of what is damaged.

use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use watertight_model::{
    check::{HostInterfaces, single},
    manifest::{Manifest, keys::KEYS},
    problem::Problem,
};

use crate::apps::{self, check_bytes};

const SOUND: &str = r#"
[app]
name = "press"
version = "0.1.0"
[component.web]
source = "web.wasm"
lifetime = "request"
uses = ["markdown"]
grants = { env = { THEME = "dark" }, http = ["https://api.example.com"], tcp = ["127.0.0.1:5432"], dns = ["db.internal"], dirs = [{ host = "content", guest = "/content", mode = "ro" }] }
budget = { memory = "64MiB", cpu = "200ms", concurrency = 256 }
[component.web.edge."press:text/markdown"]
from = "markdown"
deadline = "300ms"
[component.markdown]
source = "markdown.wasm"
[[trigger.http]]
route = "/..."
component = "web"
"#;

static COMPONENTS: LazyLock<[(&str, Vec<u8>); 2]> = LazyLock::new(|| {
    let web =
        "import press:text/markdown@0.1.0; import wasi:io/streams@0.2.12; export wasi:http/incoming-handler@0.2.12;";
    [
        ("web", apps::component(web)),
        ("markdown", apps::component("export press:text/markdown@0.1.0; export test:things/counters;")),
    ]
});

/// Checks a manifest with sound components, and renders every problem in both forms.
fn survives(manifest: &str, components: &[(&str, Vec<u8>)]) {
    let (app, problems) = check_bytes(manifest, components);
    assert_eq!(app.is_none(), problems.iter().any(Problem::is_error));
    let _shown = apps::rendered(&problems);
    let _json = serde_json::to_string(&problems).expect("problems serialise");
}

/// A value that may stand anywhere in a manifest.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-z0-9:/.@*-]{0,12}".prop_map(|text| format!("{text:?}")),
        any::<String>().prop_map(|text| toml_string(&text)),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:?}").replace("NaN", "nan")),
        Just("true".to_owned()),
        Just("1979-05-27T07:32:00Z".to_owned()),
        prop::sample::select(KEYS).prop_map(|key| key.example.to_owned()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((prop::sample::select(KEYS), inner), 0..3).prop_map(|entries| {
                let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{} = {value}", key.name)).collect();
                format!("{{ {} }}", entries.join(", "))
            }),
        ]
    })
}

fn toml_string(text: &str) -> String {
    let escaped: String = text.chars().map(|c| format!("\\U{:08X}", u32::from(c))).collect();
    format!("\"{escaped}\"")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_parsed_without_a_panic(text in any::<String>()) {
        survives(&text, &COMPONENTS[..]);
    }

    #[test]
    fn a_manifest_with_any_values_is_parsed_without_a_panic(
        keys in prop::collection::vec((prop::sample::select(KEYS), value()), 0..8),
    ) {
        let lines: Vec<_> = keys
            .iter()
            .map(|(key, value)| {
                let place = key.place.replace('*', "web").replace("[]", "");
                if place.is_empty() { format!("{} = {value}", key.name) } else { format!("{place}.{} = {value}", key.name) }
            })
            .collect();
        survives(&lines.join("\n"), &COMPONENTS[..]);
    }

    #[test]
    fn a_manifest_with_one_value_replaced_is_parsed_without_a_panic(line in 0_usize..20, value in value()) {
        let lines: Vec<String> = SOUND.lines().enumerate().map(|(index, text)| match text.split_once(" = ") {
            Some((key, _)) if index == line => format!("{key} = {value}"),
            _ => text.to_owned(),
        }).collect();
        survives(&lines.join("\n"), &COMPONENTS[..]);
    }

    #[test]
    fn a_mutated_manifest_is_parsed_without_a_panic(at in 0..SOUND.len(), cut in 0_usize..40, insert in "\\PC{0,6}") {
        let end = (at + cut).min(SOUND.len());
        survives(&format!("{}{insert}{}", &SOUND[..at], &SOUND[end..]), &COMPONENTS[..]);
    }

    #[test]
    fn a_truncated_component_is_refused_without_a_panic(at in any::<prop::sample::Index>()) {
        let mut components = COMPONENTS.clone();
        let whole = components[0].1.len();
        let length = at.index(whole);
        components[0].1.truncate(length);
        survives(SOUND, &components);
        // Past its exports only custom sections follow, and without one of these it is a component all the same.
        if length < whole / 2 {
            prop_assert!(check_bytes(SOUND, &components).0.is_none());
        }
    }

    #[test]
    fn mutated_components_are_checked_without_a_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        which in 0_usize..2,
    ) {
        let mut components = COMPONENTS.clone();
        let bytes = &mut components[which].1;
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        survives(SOUND, &components);
    }

    #[test]
    fn any_bytes_are_checked_without_a_panic(tail in prop::collection::vec(any::<u8>(), 0..200), component in any::<bool>()) {
        let head: &[u8] = if component { b"\0asm\x0d\0\x01\0" } else { b"\0asm\x01\0\0\0" };
        let bytes: Arc<[u8]> = [head, &tail].concat().into();
        let _checked = single("a.wasm".as_ref(), Ok(bytes), None, &HostInterfaces::wasi());
        let _checked = single("a.wasm".as_ref(), Ok(tail.into()), None, &HostInterfaces::wasi());
    }
}

#[test]
fn the_manifest_that_is_mutated_is_sound_before() {
    let (app, problems) = check_bytes(SOUND, &COMPONENTS[..]);
    assert!(problems.is_empty(), "{}", apps::rendered(&problems));
    assert!(app.is_some());
    assert_eq!(Manifest::parse("watertight.toml", SOUND).name(), "press");
}

#[test]
fn nesting_without_end_is_a_problem_and_not_an_overflow() {
    let deep = 200_000;
    for text in [
        format!("a = {}", "[".repeat(deep)),
        format!("a = {}{}", "[".repeat(deep), "]".repeat(deep)),
        format!("a = {}", "{ a = ".repeat(deep)),
        format!("{}a = 1", "a.".repeat(deep)),
        format!("[{}a]", "component.".repeat(deep)),
    ] {
        let (app, problems) = check_bytes(&text, &COMPONENTS[..]);
        assert!(app.is_none() && !problems.is_empty());
    }
}
