//! Scripts that call other components by name: their edges come from what those export.

use watertight_model::{
    app::{App, OnFailure},
    blast::Blast,
    cbor::{Item, Reader},
    modules::{describe, edges_by_name},
    report,
};

use crate::apps::{self, rendered, sound};

/// A runtime, as the checker sees it: it imports the interface for calls by name.
const RUNTIME: &str = "import watertight:runtime/modules@0.1.0; import wasi:cli/environment@0.2.12; \
                       export wasi:http/incoming-handler@0.2.12;";
const MARKDOWN: &str = "export press:text/markdown@0.1.0;";
const THUMBNAIL: &str = "export press:image/thumbnail@0.1.0;";

fn manifest(uses: &str, more: &str) -> String {
    format!(
        "[app]\nname = \"press\"\n[component.web]\nsource = \"web.wasm\"\nuses = {uses}\n\
         [component.markdown]\nsource = \"markdown.wasm\"\n[component.thumbnail]\nsource = \"thumbnail.wasm\"\n\
         [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n{more}"
    )
}

const COMPONENTS: &[(&str, &str)] = &[("web", RUNTIME), ("markdown", MARKDOWN), ("thumbnail", THUMBNAIL)];

fn press(more: &str) -> App {
    sound(&manifest("[\"markdown\", \"thumbnail\"]", more), COMPONENTS)
}

/// What is wrong with an app, without where.
fn problems(manifest: &str, components: &[(&str, &str)]) -> String {
    rendered(&apps::check(manifest, components).1)
}

#[test]
fn what_the_components_in_uses_export_is_an_edge_for_each_interface() {
    let app = press("");
    let imports: Vec<_> = app.edges.iter().map(|edge| (edge.import.as_str(), edge.by_name)).collect();
    assert_eq!(imports, [("press:text/markdown@0.1.0", true), ("press:image/thumbnail@0.1.0", true)]);
    let render = &app.edges[0].functions[0];
    assert_eq!(render.signature, "render: func(text: string, how: options) -> result<string, string>");
    assert_eq!(render.parameters, ["text", "how"]);
}

#[test]
fn every_failure_is_an_exception_unless_the_manifest_says_otherwise() {
    let app = press("");
    assert!(
        app.edges.iter().flat_map(|edge| &edge.functions).all(|function| function.on_failure == OnFailure::Exception)
    );
    assert!(report::warnings(&app).is_empty());
    let blast = Blast::of(&app);
    let markdown = blast.find("markdown").expect("it is there");
    assert!(markdown.falls.is_empty(), "{markdown:?}");
    assert_eq!(markdown.told[0].component, "web");

    let app = press(
        "[component.web.edge.\"press:text/markdown\"]\ndeadline = \"300ms\"\non-failure = \"error\"\n\
         function.words.on-failure = \"trap\"\nfunction.check.on-failure = { return = 'err' }\n",
    );
    let functions = &app.edges[0].functions;
    let of = |name: &str| functions.iter().find(|function| function.name == name).expect("it is there");
    assert_eq!(of("parse").on_failure, OnFailure::Exception);
    assert_eq!(of("words").on_failure, OnFailure::Trap);
    assert!(matches!(of("check").on_failure, OnFailure::Return(_)));
    assert_eq!(of("words").deadline.map(|deadline| deadline.as_millis()), Some(300));
}

#[test]
fn a_script_is_told_what_it_may_call_by_every_name_that_it_may_use() {
    let app = press("");
    let web = app.components[0].id;
    let names: Vec<_> = edges_by_name(&app, web).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        ["press:text/markdown@0.1.0", "press:image/thumbnail@0.1.0", "press:text/markdown", "press:image/thumbnail"]
    );
    let description = describe(&app, web).expect("it is short");
    let mut reader = Reader::new(&description);
    assert_eq!(reader.item(), Ok(Item::Map(4)));
    assert_eq!(reader.item(), Ok(Item::Text("press:text/markdown@0.1.0")));
    assert_eq!(reader.item(), Ok(Item::Map(4)));
    assert_eq!(reader.item(), Ok(Item::Text("render")));
    let rest = describe(&app, app.components[1].id).expect("it is short");
    assert_eq!(rest, [0xa0], "who uses nobody is told of nobody");
}

#[test]
fn everything_that_is_wrong_with_modules_is_said() {
    let unknown = problems(
        &manifest(
            "[\"markdown\", \"thumbnails\"]",
            "[component.web.edge.\"press:text/markdwn\"]\ndeadline = \"1s\"\n\
             [component.web.edge.\"press:text/markdown\"]\nfrom = \"thumbnail\"\n",
        ),
        COMPONENTS,
    );
    for said in [
        "the app has no component `thumbnails`",
        "`web` does not import `press:text/markdwn`",
        "did you mean `press:text/markdown@0.1.0`?",
        "`web` does not list `thumbnail` in its `uses`",
    ] {
        assert!(unknown.contains(said), "{said}: {unknown}");
    }

    let both = [("web", RUNTIME), ("markdown", MARKDOWN), ("thumbnail", MARKDOWN)];
    let ambiguous = problems(&manifest("[\"markdown\", \"thumbnail\"]", ""), &both);
    assert!(ambiguous.contains("`markdown` and `thumbnail` both export it"), "{ambiguous}");
    let chosen = manifest(
        "[\"markdown\", \"thumbnail\"]",
        "[component.web.edge.\"press:text/markdown\"]\nfrom = \"thumbnail\"\n",
    );
    let (app, said) = apps::check(&chosen, &both);
    assert_eq!(app.expect("it is sound").edges[0].exporter.0, 2, "{}", rendered(&said));

    let fused = problems(
        "[app]\nname = \"t\"\n[component.web]\nsource = \"web.wasm\"\nuses = [\"markdown\"]\n\
         [component.markdown]\nsource = \"markdown.wasm\"\nwall = \"fused\"\n",
        COMPONENTS,
    );
    assert!(fused.contains("`markdown` cannot be fused into it"), "{fused}");
}

#[test]
fn functions_that_a_script_cannot_call_are_left_out_and_named() {
    let things =
        "export things: interface { resource thing { constructor(); get: func() -> u32; } plain: func() -> u32; }";
    let manifest = manifest("[\"markdown\", \"thumbnail\"]", "");
    let (app, problems) = apps::check(&manifest, &[("web", RUNTIME), ("markdown", MARKDOWN), ("thumbnail", things)]);
    let app = app.unwrap_or_else(|| panic!("{}", rendered(&problems)));
    let functions: Vec<_> = app.edges[1].functions.iter().map(|function| function.name.as_str()).collect();
    assert_eq!(functions, ["plain"]);
    let said = rendered(&problems);
    assert!(said.contains("`[constructor]thing` and `[method]thing.get` of `things` take or return handles"), "{said}");
}
