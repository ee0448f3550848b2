//! The blast radius of apps whose shape decides it.

use watertight_model::{blast::Blast, report::Report};

use crate::apps::sound;

/// `web` is told of `markdown`, falls with `store`, which falls with `disk`; `admin` stands apart; `lib` is fused into `store`.
fn report() -> Report {
    let app = sound(
        r#"
[app]
name = "t"
[component.web]
source = "web.wasm"
uses = ["markdown", "store"]
grants = { env = { SECRET = "x" }, stdio = true }
[component.markdown]
source = "markdown.wasm"
[component.store]
source = "store.wasm"
uses = ["disk", "lib"]
grants = { tcp = ["127.0.0.1:*"] }
[component.disk]
source = "disk.wasm"
grants = { dirs = [{ host = "content", guest = "/", mode = "rw" }] }
[component.lib]
source = "lib.wasm"
wall = "fused"
[component.admin]
source = "admin.wasm"
uses = ["markdown"]
[[trigger.http]]
route = "/..."
component = "web"
[[trigger.http]]
route = "/admin/..."
component = "admin"
"#,
        &[
            (
                "web",
                "import markdown: interface { render: func(text: string) -> result<string, string>; }
                 import store: interface { get: func(key: string) -> option<string>; put: func(key: string) -> result; }
                 export wasi:http/incoming-handler@0.2.12;",
            ),
            ("markdown", "export markdown: interface { render: func(text: string) -> result<string, string>; }"),
            (
                "store",
                "import disk: func() -> u32; import lib: func();
                 export store: interface { get: func(key: string) -> option<string>; put: func(key: string) -> result; }",
            ),
            ("disk", "export disk: func() -> u32;"),
            ("lib", "export lib: func();"),
            (
                "admin",
                "import markdown: interface { render: func(text: string) -> result<string, string>; }
                 export wasi:http/incoming-handler@0.2.12;",
            ),
        ],
    );
    assert_eq!(Blast::of(&app), Report::of(&app).blast);
    Report::of(&app)
}

#[test]
fn the_report_names_everything_that_an_app_holds() {
    let json = serde_json::to_string_pretty(&report()).expect("a report serialises");
    insta::assert_snapshot!("report", json);
}

#[test]
fn who_falls_and_who_is_told_follows_from_the_signatures() {
    let report = report();
    let of = |name: &str| {
        let radius = report.blast.find(name).expect("every component has a radius");
        let falls: Vec<_> = radius.falls.iter().map(|fall| fall.component.as_str()).collect();
        let told: Vec<_> = radius.told.iter().map(|told| told.component.as_str()).collect();
        let routes: Vec<_> = radius.routes.iter().map(|route| format!("{:?}", route.fate)).collect();
        format!("falls {falls:?} told {told:?} untouched {:?} routes {}", radius.untouched, routes.join(" "))
    };
    assert_eq!(
        of("markdown"),
        r#"falls [] told ["web", "admin"] untouched ["store", "disk", "lib"] routes Degraded Degraded"#
    );
    assert_eq!(
        of("disk"),
        r#"falls ["store", "lib", "web"] told [] untouched ["markdown", "admin"] routes Lost Untouched"#
    );
    assert_eq!(
        of("lib"),
        r#"falls ["store", "web"] told [] untouched ["markdown", "disk", "admin"] routes Lost Untouched"#
    );
    assert_eq!(
        of("web"),
        r#"falls [] told [] untouched ["markdown", "store", "disk", "lib", "admin"] routes Lost Untouched"#
    );
}

#[test]
fn what_a_component_can_reach_includes_what_it_can_ask_others_for() {
    let report = report();
    let web = report.blast.find("web").expect("every component has a radius");
    let ways: Vec<_> = web.through.iter().map(|through| through.path.join(" → ")).collect();
    assert_eq!(ways, ["markdown", "store", "store → disk"]);
    assert_eq!(web.through[2].reach.dirs, ["content (rw)"]);
    let lib = report.blast.find("lib").expect("every component has a radius");
    assert_eq!(lib.reach.tcp, ["127.0.0.1:*"], "a fused component has the grants of its importer");
    assert_eq!(lib.through[0].path, ["disk"], "and its edges");
}
