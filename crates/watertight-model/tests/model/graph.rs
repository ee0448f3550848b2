//! Sound apps: who meets whom, what is fused into what, and what follows for cells.

use watertight_model::{
    app::{App, EdgeShape, HttpHandler},
    problem::Code,
};

use crate::apps::{self, check, rendered, sound};

/// `importer -import-> exporter -export-> ` of every edge.
fn edges(app: &App) -> Vec<String> {
    let name = |id| app.component(id).name.clone();
    let edges = app.edges.iter();
    edges
        .map(|edge| format!("{} -{}-> {} {}", name(edge.importer), edge.import, name(edge.exporter), edge.export))
        .collect()
}

/// A manifest of components in a line: `name: extra keys`.
fn app(components: &[(&str, &str)]) -> String {
    let mut text = "[app]\nname = \"t\"\n".to_owned();
    for (name, keys) in components {
        text.push_str(&format!("[component.{name}]\nsource = \"{name}.wasm\"\n{keys}\n"));
    }
    text
}

/// A component with one function behind an interface of this name, for versions that WIT cannot mix in one package.
fn exporter(interface: &str) -> String {
    format!(
        "(component
            (core module $m (func (export \"f\")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i \"f\")))
            (instance $x (export \"f\" (func $f)))
            (export \"{interface}\" (instance $x)))"
    )
}

fn importer(interface: &str) -> String {
    format!("(component (import \"{interface}\" (instance (export \"f\" (func)))))")
}

#[test]
fn an_import_is_met_by_a_later_compatible_version() {
    let manifest = app(&[("web", "uses = [\"lib\"]"), ("lib", "")]);
    for (import, export, met) in [
        ("a:b/c@1.2.0", "a:b/c@1.3.1", true),
        ("a:b/c@0.2.1", "a:b/c@0.2.3", true),
        ("a:b/c@1.3.1", "a:b/c@1.2.0", false),
        ("a:b/c@1.2.0", "a:b/c@2.0.0", false),
        ("a:b/c", "a:b/c", true),
    ] {
        let (app, problems) = check(&manifest, &[("web", &importer(import)), ("lib", &exporter(export))]);
        if met {
            let app = app.expect("it is met");
            assert_eq!(edges(&app), [format!("web -{import}-> lib {export}")]);
        } else {
            assert_eq!(problems[0].code(), Code::Unsatisfied, "{import} by {export}");
        }
    }
}

#[test]
fn the_same_version_is_chosen_before_a_later_one() {
    let lib = "(component
        (core module $m (func (export \"f\")))
        (core instance $i (instantiate $m))
        (func $f (canon lift (core func $i \"f\")))
        (instance $x (export \"f\" (func $f)))
        (export \"a:b/c@1.2.0\" (instance $x))
        (export \"a:b/c@1.3.0\" (instance $x)))";
    let manifest = app(&[("web", "uses = [\"lib\"]"), ("lib", "")]);
    for (import, export) in [("a:b/c@1.2.0", "a:b/c@1.2.0"), ("a:b/c@1.1.0", "a:b/c@1.3.0")] {
        let app = sound(&manifest, &[("web", &importer(import)), ("lib", lib)]);
        assert_eq!(edges(&app), [format!("web -{import}-> lib {export}")]);
    }
}

#[test]
fn a_listed_component_is_preferred_to_the_host() {
    let (web, lib) = ("import wasi:cli/environment@0.2.12;", "export wasi:cli/environment@0.2.12;");
    let listed = sound(&app(&[("web", "uses = [\"lib\"]"), ("lib", "")]), &[("web", web), ("lib", lib)]);
    assert_eq!(listed.edges.len(), 1);
    let unlisted = sound(&app(&[("web", ""), ("lib", "")]), &[("web", web), ("lib", lib)]);
    assert!(unlisted.edges.is_empty(), "what is not listed is never used");
}

#[test]
fn a_bare_function_is_an_edge_of_its_own() {
    let app = sound(
        &app(&[("web", "uses = [\"lib\"]\n[component.web.edge.log]\ndeadline = \"1.5s\""), ("lib", "")]),
        &[
            ("web", "import log: func(line: string) -> result<u32, string>;"),
            ("lib", "export log: func(line: string) -> result<u32, string>;"),
        ],
    );
    assert_eq!(app.edges[0].shape, EdgeShape::Function);
    assert_eq!(app.edges[0].functions[0].signature, "log: func(line: string) -> result<u32, string>");
    assert_eq!(app.edges[0].deadline, Some(std::time::Duration::from_millis(1500)));
}

#[test]
fn an_interface_of_mere_types_needs_nobody() {
    let app = sound(
        &app(&[("web", "")]),
        &[("web", "use press:text/types@0.1.0.{page}; import show: interface { use press:text/types@0.1.0.{page}; }")],
    );
    assert!(app.edges.is_empty());
}

#[test]
fn one_of_two_is_chosen_by_from_with_or_without_the_version() {
    for key in ["press:code/highlight", "press:code/highlight@0.1.2"] {
        let edge = format!("uses = [\"one\", \"two\"]\n[component.web.edge.\"{key}\"]\nfrom = \"two\"");
        let (app, problems) = check(
            &app(&[("web", &edge), ("one", ""), ("two", "")]),
            &[
                ("web", "import press:code/highlight@0.1.2;"),
                ("one", "export press:code/highlight@0.1.2;"),
                ("two", "export press:code/highlight@0.1.2;"),
            ],
        );
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(app.map(|app| app.component(app.edges[0].exporter).name.clone()).as_deref(), Some("two"));
    }
}

#[test]
fn both_generations_of_http_handlers_are_found() {
    let routed = |world| {
        let manifest = app(&[("web", "")]) + "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n";
        sound(&manifest, &[("web", world)])
    };
    let p2 = routed("export wasi:http/incoming-handler@0.2.12;");
    assert_eq!((p2.http[0].handler(), p2.components[0].asynchronous), (Some(HttpHandler::P2), false));
    let p3 = routed("export wasi:http/handler@0.3.0;");
    assert_eq!((p3.http[0].handler(), p3.components[0].asynchronous), (Some(HttpHandler::P3), true));
}

#[test]
fn component_model_async_is_found_in_types_and_in_canonical_functions() {
    for (source, asynchronous) in [
        ("export f: func();", false),
        ("export f: async func();", true),
        ("export f: func() -> stream<u8>;", true),
        ("import log: interface { f: func(x: option<future<u32>>); }", true),
        ("(component (core func (canon waitable-set.new)))", true),
        ("(component (component (core func (canon task.cancel))))", true),
        ("(component (type $r (resource (rep i32))) (core func (canon resource.drop $r)))", false),
    ] {
        let single = watertight_model::check::single(
            "a.wasm".as_ref(),
            Ok(crate::apps::bytes(source).into()),
            None,
            &watertight_model::check::HostInterfaces::new([]),
        );
        // What is imported has nobody to meet it here, and the engine is chosen all the same.
        if let (Some(app), _) = single {
            assert_eq!(app.components[0].asynchronous, asynchronous, "{source}");
        } else {
            assert!(source.starts_with("import"), "{source}: {:?}", single.1);
        }
    }
}

const COUNTERS: &[(&str, &str)] = &[
    ("web", "import test:things/counters; import test:things/users;"),
    ("user", "import test:things/counters; export test:things/users;"),
    ("counters", "export test:things/counters;"),
];

#[test]
fn resources_from_one_component_are_the_same_all_along() {
    let manifest =
        app(&[("web", "uses = [\"user\", \"counters\"]"), ("user", "uses = [\"counters\"]"), ("counters", "")]);
    let app = sound(&manifest, COUNTERS);
    let signatures: Vec<_> =
        app.edges.iter().flat_map(|edge| &edge.functions).map(|function| function.signature.as_str()).collect();
    assert_eq!(
        signatures[..5],
        [
            "counter: constructor(start: u32)",
            "counter.incr: func(by: u32) -> u32",
            "counter.merge: static func(a: counter, b: borrow<counter>) -> counter",
            "take: func(counter: counter) -> u32",
            "look: func(counters: list<borrow<counter>>)",
        ]
    );
}

#[test]
fn a_resource_fused_into_two_cells_is_two_resources() {
    let manifest = app(&[
        ("web", "uses = [\"user\", \"counters\"]"),
        ("user", "uses = [\"counters\"]"),
        ("counters", "wall = \"fused\""),
    ]);
    let (_, problems) = check(&manifest, COUNTERS);
    assert_eq!(problems[0].code(), Code::ResourceMismatch);
    assert!(problems[0].message().ends_with(
        "`counter` of `counters` (test:things/counters), fused into `web`, and `counter` of `counters` (test:things/counters), fused into `user`"
    ), "{}", problems[0].message());

    let together = app(&[
        ("web", "uses = [\"user\", \"counters\"]"),
        ("user", "wall = \"fused\"\nuses = [\"counters\"]"),
        ("counters", "wall = \"fused\""),
    ]);
    let app = sound(&together, COUNTERS);
    assert!(app.edges.is_empty());
}

#[test]
fn host_resources_are_the_same_in_every_component_that_has_them_from_the_host() {
    let worlds: &[(&str, &str)] = &[
        ("web", "import wasi:io/streams@0.2.12; import test:things/readers;"),
        ("reader", "import wasi:io/streams@0.2.12; export test:things/readers;"),
        ("streams", "export wasi:io/streams@0.2.12;"),
    ];
    let _ok = sound(&app(&[("web", "uses = [\"reader\"]"), ("reader", "")]), worlds);
    let (_, problems) =
        check(&app(&[("web", "uses = [\"reader\", \"streams\"]"), ("reader", ""), ("streams", "")]), worlds);
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].message(),
        "`web` and `reader` mean different resources in `test:things/readers#read-all`, parameter `from`: `input-stream` of `streams` (wasi:io/streams@0.2.12), and `input-stream` of the host (wasi:io/streams@0.2)"
    );
}

#[test]
fn fused_components_leave_their_edges_to_the_cells_they_are_in() {
    let manifest = app(&[
        ("web", "uses = [\"outer\", \"log\"]"),
        ("other", "uses = [\"inner\"]"),
        ("outer", "wall = \"fused\"\nuses = [\"inner\", \"log\"]"),
        ("inner", "wall = \"fused\"\nuses = [\"log\"]"),
        ("log", ""),
    ]);
    let app = sound(
        &manifest,
        &[
            ("web", "import outer: func(); import log: interface { a: func(); }"),
            ("other", "import inner: func();"),
            ("outer", "import inner: func(); import log: interface { b: func(); } export outer: func();"),
            ("inner", "import log: interface { a: func(); c: async func(); } export inner: func();"),
            ("log", "export log: interface { a: func(); b: func(); c: async func(); }"),
        ],
    );
    assert_eq!(edges(&app), ["web -log-> log log", "other -log-> log log"]);
    let functions = |edge: usize| app.edges[edge].functions.iter().map(|f| f.name.as_str()).collect::<Vec<_>>();
    assert_eq!(functions(0), ["a", "c", "b"]);
    assert_eq!(functions(1), ["a", "c"]);
    let web = app.find("web").expect("web is there");
    let fused: Vec<_> = web.fused.iter().map(|id| app.component(*id).name.as_str()).collect();
    assert_eq!(fused, ["inner", "outer"], "innermost first");
    let wiring: Vec<_> =
        web.fused_edges.iter().map(|edge| (app.component(edge.importer).name.as_str(), edge.import.as_str())).collect();
    assert_eq!(wiring, [("outer", "inner"), ("web", "outer")]);
    assert!(web.asynchronous, "an async part makes the whole cell async");
}

#[test]
fn a_route_calls_the_functions_that_it_names() {
    let route = |route: &str, exports: &str| {
        format!(
            "[app]\nname = \"press\"\n[component.markdown]\nsource = \"markdown.wasm\"\n\
             [[trigger.http]]\nroute = \"{route}\"\ncomponent = \"markdown\"\nexports = {exports}\n"
        )
    };
    let components = &[("markdown", "export press:text/markdown@0.1.0; export greet: func(name: string) -> string;")];
    let app = sound(&route("/rpc/...", "[\"press:text/markdown\", \"greet\"]"), components);
    assert_eq!(app.http[0].handler(), None);
    let calls: Vec<_> = app.http[0].calls().into_iter().map(|(paths, _, f)| (paths, f.parameters.join(" "))).collect();
    let paths = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    assert_eq!(
        calls,
        [
            (paths(&["press:text/markdown@0.1.0/render", "press:text/markdown/render"]), "text how".to_owned()),
            (paths(&["press:text/markdown@0.1.0/parse", "press:text/markdown/parse"]), "text".to_owned()),
            (paths(&["press:text/markdown@0.1.0/check", "press:text/markdown/check"]), "text".to_owned()),
            (paths(&["press:text/markdown@0.1.0/words", "press:text/markdown/words"]), "text".to_owned()),
            (paths(&["greet"]), "name".to_owned()),
        ]
    );
    for (place, exports, said) in [
        ("/rpc", "[\"greet\"]", "functions are called below a route, and `/rpc` is one path"),
        ("/rpc/...", "[]", "`exports` names nothing that could be called"),
        ("/rpc/...", "[\"gret\"]", "`markdown` exports no `gret`"),
        ("/rpc/...", "[\"gret\"]", "did you mean `greet`?"),
        ("/rpc/...", "[\"press:text/words\"]", "it exports `greet` and `press:text/markdown@0.1.0`"),
        ("/rpc/...", "[\"wasi:http/incoming-handler\"]", "interfaces of WASI are for the host"),
        ("/rpc/...", "[\"greet\", \"greet\"]", "`greet` is listed twice"),
        ("/rpc/...", "[\"press:text/markdown\", \"press:text/markdown@0.1.0\"]", "is listed twice"),
    ] {
        let problems = rendered(&apps::check(&route(place, exports), components).1);
        assert!(problems.contains(said), "{exports}: {problems}");
    }
}

#[test]
fn functions_with_handles_are_not_called_by_a_route() {
    let route = "[app]\nname = \"app\"\n[component.web]\nsource = \"web.wasm\"\n[[trigger.http]]\nroute = \"/rpc/...\"\n\
                 component = \"web\"\nexports = [\"test:things/counters\"]\n";
    let wit = "export test:things/counters;";
    let problems = rendered(&apps::check(route, &[("web", wit)]).1);
    assert!(problems.contains("handles or streams, which JSON cannot hold"), "{problems}");
}
