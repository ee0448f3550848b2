//! What each function of an edge does when its callee fails: from the manifest, and where it says nothing, from the types.

use std::time::Duration;

use watertight_model::{
    app::{App, Limit, OnFailure, Retry},
    breaker::{BreakerSpec, Trip},
    failure::FailureKind,
    problem::Code,
    report::{self, Report},
    supervision::Chance,
    value::Value,
};

use crate::apps::{bytes, check, check_bytes, rendered, sound};

/// An interface with a function for each shape of result.
const API: &str = "api: interface {
    variant failure { unavailable(string), busy(u32), gone }
    record page { title: string, tags: list<string>, next: option<u32> }
    text: func(n: u32) -> result<u32, string>;
    empty: func(n: u32) -> result<u32>;
    choice: func(n: u32) -> result<page, failure>;
    plain: func(n: u32) -> u32;
    nothing: func(n: u32);
}";

fn manifest(edge: &str, callee: &str) -> String {
    format!(
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n\
         [component.lib]\nsource = \"lib.wasm\"\n{callee}\n[component.lite]\nsource = \"lite.wasm\"\n\
         [component.web.edge.api]\n{edge}\n"
    )
}

fn worlds() -> [(&'static str, String); 3] {
    [("web", format!("import {API}")), ("lib", format!("export {API}")), ("lite", format!("export {API}"))]
}

fn app(edge: &str, callee: &str) -> App {
    let worlds = worlds();
    let components: Vec<_> = worlds.iter().map(|(name, world)| (*name, world.as_str())).collect();
    sound(&manifest(edge, callee), &components)
}

/// What the caller sees of each function.
fn sees(app: &App) -> Vec<(String, String)> {
    let report = Report::of(app);
    let named = report.edges[0].functions.iter().zip(&app.edges[0].functions);
    named.map(|(function, named)| (named.name.clone(), function.sees.clone())).collect()
}

#[track_caller]
fn expect(edge: &str, callee: &str, expected: &[(&str, &str)]) {
    let seen = sees(&app(edge, callee));
    let seen: Vec<_> = seen.iter().map(|(name, sees)| (name.as_str(), sees.as_str())).collect();
    assert_eq!(seen, expected, "{edge}");
}

#[test]
fn what_a_caller_sees_follows_from_the_types_where_the_manifest_says_nothing() {
    expect(
        "",
        "",
        &[
            ("text", "an error with the reason"),
            ("empty", "an error"),
            ("choice", "TRAPS TOO"),
            ("plain", "TRAPS TOO"),
            ("nothing", "TRAPS TOO"),
        ],
    );
    let warnings = report::warnings(&app("", ""));
    assert!(warnings.iter().all(|warning| !warning.is_error() && warning.code() == Code::OnlyTrap));
    let told: Vec<_> = warnings
        .iter()
        .map(|warning| format!("{warning}\n{}", warning.next_step().expect("a warning names the next step")))
        .collect();
    insta::assert_snapshot!("warnings_of_traps", told.join("\n\n"));
    // Who says that a trap is meant is not told again.
    assert!(report::warnings(&app("on-failure = \"trap\"", "")).is_empty());
}

#[test]
fn functions_go_before_their_edge() {
    expect(
        "on-failure = \"trap\"\nretry = { attempts = 2 }\n\
         function.text = { on-failure = \"error\" }\n\
         function.empty = { on-failure = { return = 'ok(7)' }, retry = { attempts = 1 } }\n\
         function.choice.on-failure = { return = 'err(unavailable)', fallback = \"lite\" }\n\
         function.plain.on-failure = { fallback = \"lite\" }\n\
         function.nothing.on-failure = { return = '' }",
        "lifetime = \"call\"",
        &[
            ("text", "retry 2x, then an error with the reason"),
            ("empty", "retry 1x, then ok(7)"),
            ("choice", "retry 2x, then lite, then err(unavailable)"),
            ("plain", "retry 2x, then lite, then TRAPS TOO"),
            ("nothing", "retry 2x, then goes on as if nothing had failed"),
        ],
    );
}

#[test]
fn calls_of_a_callee_that_keeps_its_cell_are_made_again_only_where_that_is_allowed() {
    let edge = "on-failure = \"trap\"\nretry = { attempts = 3, backoff = \"1ms\" }\nidempotent = [\"plain\"]";
    for lifetime in ["request", "resident"] {
        expect(
            edge,
            &format!("lifetime = \"{lifetime}\""),
            &[
                ("text", "TRAPS TOO"),
                ("empty", "TRAPS TOO"),
                ("choice", "TRAPS TOO"),
                ("plain", "retry 3x, then TRAPS TOO"),
                ("nothing", "TRAPS TOO"),
            ],
        );
    }
}

#[test]
fn a_policy_is_data() {
    let app = app(
        "deadline = \"300ms\"\nconcurrency = 3\nbreaker = { failures = 5, within = \"1m\", open-for = \"2s\" }\n\
         on-failure = { fallback = \"lite\" }\nretry = { attempts = 2, backoff = \"7ms\" }\n\
         [component.web.edge.api.function.plain]\ndeadline = \"50ms\"\non-failure = { return = '9' }",
        "lifetime = \"call\"",
    );
    let edge = &app.edges[0];
    assert_eq!(edge.limit, Some(Limit { concurrency: 3, queue: 64 }));
    let (within, open_for) = (Duration::from_secs(60), Duration::from_secs(2));
    assert_eq!(edge.breaker, Some(BreakerSpec { trip: Trip::Failures(5), within, open_for }));
    let [text, .., plain, _] = &edge.functions[..] else { panic!("five functions") };
    assert_eq!((text.deadline, plain.deadline), (Some(Duration::from_millis(300)), Some(Duration::from_millis(50))));
    assert_eq!(text.retry, Some(Retry { attempts: 2, backoff: Duration::from_millis(7) }));
    let lite = app.find("lite").expect("it is there").id;
    assert_eq!(
        text.fallback.as_ref().map(|fallback| (fallback.component, fallback.export.as_str())),
        Some((lite, "api"))
    );
    let OnFailure::Return(returned) = &plain.on_failure else { panic!("{:?}", plain.on_failure) };
    assert_eq!(returned.value, Some(Value::Unsigned(9)));
    assert_eq!((plain.fallback.as_ref(), plain.retry), (None, text.retry));
}

#[test]
fn waits_between_attempts_double_and_chance_takes_up_to_a_half_off() {
    let retry = Retry { attempts: 10, backoff: Duration::from_millis(8) };
    let longest: Vec<_> = (1..=4).map(|failed| retry.wait(failed, Chance::default()).as_millis()).collect();
    assert_eq!(longest, [8, 16, 32, 64]);
    let shortest = retry.wait(3, Chance::from_bits(u32::MAX));
    assert!(shortest >= Duration::from_millis(16) && shortest < Duration::from_millis(17), "{shortest:?}");
    assert_eq!(
        Retry { backoff: Duration::from_hours(24), ..retry }.wait(9, Chance::default()),
        Duration::from_hours(24)
    );
}

#[test]
fn a_fallback_counts_as_used() {
    let app = app("on-failure = { fallback = \"lite\" }", "");
    let lite = app.find("lite").expect("it is there").id;
    assert_eq!(app.edges_to(lite).count(), 1);
    let radius = |name: &str| Report::of(&app).blast.find(name).cloned().expect("it has one");
    // One of the two fails: the other answers. Nobody else could reach what the fallback may.
    assert_eq!((radius("lib").falls.len(), radius("lib").told.len()), (0, 1));
    assert_eq!((radius("lite").falls.len(), radius("lite").told.len()), (0, 0));
    assert!(radius("web").through.iter().any(|through| through.path == ["lite"]));
    let dot = watertight_model::picture::dot(&app);
    assert!(dot.contains("\"web\" -> \"lite\""), "{dot}");
    assert!(watertight_model::picture::svg(&app).contains("api, instead of lib"));
}

#[test]
fn a_caller_falls_when_its_fallback_shares_the_fate_of_its_callee() {
    let manifest = "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n\
        [component.lib]\nsource = \"lib.wasm\"\nuses = [\"db\"]\n[component.lite]\nsource = \"lite.wasm\"\nuses = [\"db\"]\n\
        [component.db]\nsource = \"db.wasm\"\n[component.web.edge.api]\non-failure = { fallback = \"lite\" }\n";
    let api = "api: interface { get: func() -> u32; }";
    let db = "db: interface { read: func() -> u32; }";
    let both = format!("import {db} export {api}");
    let app = sound(
        manifest,
        &[("web", &format!("import {api}")), ("lib", &both), ("lite", &both), ("db", &format!("export {db}"))],
    );
    let blast = Report::of(&app).blast;
    let falls = |name: &str| -> Vec<String> {
        blast.find(name).expect("it has one").falls.iter().map(|fall| fall.component.clone()).collect()
    };
    assert_eq!(falls("db"), ["lib", "lite", "web"]);
    assert_eq!(falls("lib"), Vec::<String>::new());
}

#[test]
fn a_listed_fallback_does_not_make_the_import_ambiguous() {
    let worlds = worlds();
    let components: Vec<_> = worlds.iter().map(|(name, world)| (*name, world.as_str())).collect();
    let manifest = manifest("on-failure = { fallback = \"lite\" }", "");
    let app = sound(&manifest.replace("uses = [\"lib\"]", "uses = [\"lib\", \"lite\"]"), &components);
    assert_eq!(app.component(app.edges[0].exporter).name, "lib");
}

/// A result type, a text, and the value it is or what is wrong with it.
const VALUES: &[(&str, &str)] = &[
    ("bool", "true"),
    ("bool", "1"),
    ("u8", "255"),
    ("u8", "256"),
    ("u8", "-1"),
    ("u8", "1.5"),
    ("s8", "-128"),
    ("u64", "18446744073709551615"),
    ("s64", "-9223372036854775808"),
    ("f32", "1.5"),
    ("f64", "-inf"),
    ("f64", "1e3"),
    ("char", "'\\u{e9}'"),
    ("char", "\"e\""),
    ("string", "\"a\\n\\\"b\\\" é\""),
    ("string", "text"),
    ("list<u8>", "[1, 2,]"),
    ("list<u8>", "[1, 300]"),
    ("tuple<u8, string>", "(1, \"a\")"),
    ("tuple<u8, string>", "(1)"),
    ("option<u32>", "none"),
    ("option<u32>", "some(7)"),
    ("option<u32>", "7"),
    ("result<u32, string>", "ok(1)"),
    ("result<u32, string>", "ok"),
    ("result<u32, string>", "err(\"too busy\")"),
    ("result<u32, string>", "err"),
    ("result<u32, string>", "err(7)"),
    ("result<u32, string>", "1"),
    ("result<u32>", "err"),
    ("result<u32>", "err(\"x\")"),
    ("result", "ok"),
    ("result<_, failure>", "err(unavailable)"),
    ("result<_, failure>", "err(unavailable(\"later\"))"),
    ("result<_, failure>", "err(busy(3))"),
    ("result<_, failure>", "err(busy)"),
    ("result<_, failure>", "err(gone)"),
    ("result<_, failure>", "err(gone(1))"),
    ("result<_, failure>", "err(unavailble)"),
    ("result<failure, string>", "ok(unavailable)"),
    ("colour", "dark-red"),
    ("colour", "drak-red"),
    ("rights", "{read, write}"),
    ("rights", "{}"),
    ("rights", "{fly}"),
    ("page", "{title: \"x\", tags: [], next: some(1)}"),
    ("page", "{tags: [\"a\"], title: \"x\"}"),
    ("page", "{title: \"x\"}"),
    ("page", "{title: \"x\", tags: [], nxt: none}"),
    ("u8", ""),
    ("u8", "1 2"),
    ("u8", "[1"),
    ("u8", "?"),
    ("page", "{title: \"x\", title: \"y\"}"),
    ("result<counter, string>", "err(\"x\")"),
    ("result<counter, string>", "ok(1)"),
    ("nothing", ""),
    ("nothing", "1"),
];

#[test]
fn values_are_read_against_the_type_of_the_function() {
    let mut table = String::new();
    for (ty, text) in VALUES {
        let returns = if *ty == "nothing" { String::new() } else { format!("-> {ty}") };
        let api = format!(
            "api: interface {{
                resource counter;
                variant failure {{ unavailable(string), busy(u32), gone }}
                record page {{ title: string, tags: list<string>, next: option<u32> }}
                enum colour {{ red, dark-red }}
                flags rights {{ read, write, %list }}
                get: func() {returns};
            }}"
        );
        let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        let manifest = format!(
            "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n[component.lib]\nsource = \"lib.wasm\"\n\
             [component.web.edge.api]\non-failure = {{ return = {quoted} }}\n"
        );
        let (app, problems) = check(&manifest, &[("web", &format!("import {api}")), ("lib", &format!("export {api}"))]);
        let read = match app {
            Some(app) => {
                let OnFailure::Return(returned) = &app.edges[0].functions[0].on_failure else { panic!("{ty}: {text}") };
                format!("{:?}", returned.value)
            }
            None => {
                let messages: Vec<_> = problems.iter().map(|problem| problem.message().to_owned()).collect();
                format!("NOT: {}", messages.join("; "))
            }
        };
        table.push_str(&format!("{ty:24} {text:40} {read}\n"));
    }
    insta::assert_snapshot!("values", table);
}

#[test]
fn a_mistake_in_a_value_is_shown_where_it_is() {
    let worlds = worlds();
    let components: Vec<_> = worlds.iter().map(|(name, world)| (*name, world.as_str())).collect();
    let manifest = manifest("function.choice.on-failure = { return = 'err(busy(many))' }", "");
    let (_, problems) = check(&manifest, &components);
    let place = problems[0].place().expect("it has one");
    let line = manifest.lines().nth(place.line - 1).expect("it is a line of the manifest");
    assert_eq!(&line[place.column - 1..place.column + 3], "many", "{}", rendered(&problems));
}

const ANY: &str =
    "api: interface { record r { a: option<list<tuple<u8, string>>> } get: func() -> result<r, string>; }";

thread_local! {
    static BUILT: [(&'static str, Vec<u8>); 2] =
        [("web", bytes(&format!("import {ANY}"))), ("lib", bytes(&format!("export {ANY}")))];
}

proptest::proptest! {
    #[test]
    fn any_text_is_a_value_or_a_mistake(
        text in proptest::prop_oneof!["\\PC{0,40}", "[(){}\\[\\]:,a-z\"'0-9 ]{0,40}", "(ok|err|some)\\([(){}a-z\"0-9 ]{0,20}\\)"],
    ) {
        let manifest = format!(
            "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"lib\"]\n[component.lib]\nsource = \"lib.wasm\"\n\
             [component.web.edge.api]\non-failure = {{ return = {} }}\n",
            toml_quoted(&text)
        );
        let (app, problems) = BUILT.with(|built| check_bytes(&manifest, built));
        proptest::prop_assert_eq!(app.is_none(), !problems.is_empty());
    }
}

#[test]
fn the_manual_says_of_every_failure_whose_fault_it_is_and_what_is_done_about_it() {
    let page = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/failure.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    for kind in FailureKind::ALL {
        let start = format!("| `{kind}` |");
        let row = page.lines().find(|line| line.starts_with(&start)).unwrap_or_else(|| panic!("`{kind}` has no row"));
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let blame = format!("{:?}", kind.blame()).to_lowercase();
        let again = if kind.retry() { "yes" } else { "no" };
        let breaker = if kind.trips() { "counts" } else { "" };
        assert_eq!((cells[3], cells[5], cells[6]), (blame.as_str(), again, breaker), "{kind}");
    }
}

/// A text as a string of TOML.
fn toml_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}
