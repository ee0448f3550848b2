//! Pictures of apps of several sizes: they hold everything, and nothing lies on anything else.

use watertight_model::{
    app::App,
    picture::{dot, svg},
};

use crate::apps::sound;

/// An app from lines of `name keys… | uses` where every use is an edge, and every third one traps.
fn app(name: &str, components: &[(&str, &str, &[&str])], routes: &[(&str, &str)]) -> App {
    let mut manifest = format!("[app]\nname = \"{name}\"\nversion = \"0.1.0\"\n");
    let mut worlds = Vec::new();
    for (index, (component, keys, uses)) in components.iter().enumerate() {
        manifest
            .push_str(&format!("[component.{component}]\nsource = \"{component}.wasm\"\n{keys}\nuses = {uses:?}\n"));
        let result = if index % 3 == 2 { "u32" } else { "result<u32, string>" };
        let interface =
            |name: &str, result: &str| format!("interface {{ {name}-it: func(text: string) -> {result}; }}");
        let mut world = format!("export {component}: {} ", interface(component, result));
        for used in *uses {
            let at = components.iter().position(|(name, _, _)| name == used).expect("it is in the app");
            let result = if at % 3 == 2 { "u32" } else { "result<u32, string>" };
            world.push_str(&format!("import {used}: {} ", interface(used, result)));
        }
        if routes.iter().any(|(_, handler)| handler == component) {
            world.push_str("export wasi:http/incoming-handler@0.2.12;");
        }
        worlds.push((*component, world));
    }
    for (route, component) in routes {
        manifest.push_str(&format!("[[trigger.http]]\nroute = \"{route}\"\ncomponent = \"{component}\"\n"));
    }
    let worlds: Vec<_> = worlds.iter().map(|(name, world)| (*name, world.as_str())).collect();
    sound(&manifest, &worlds)
}

const RICH: &str = "lifetime = \"resident\"\ngrants = { env = { A = \"1\", B = \"2\" }, http = [\"https://api.example.com\", \"https://*.cdn.example.com:8443\"], tcp = [\"127.0.0.1:5432\"], dns = [\"db.internal\"], dirs = [{ host = \"content\", guest = \"/content\" }, { host = \"cache\", guest = \"/cache\", mode = \"rw\" }], stdio = true }";
const FUSED: &str = "wall = \"fused\"";

fn gallery() -> Vec<(&'static str, App)> {
    let one = app("hello", &[("web", "", &[])], &[("/...", "web")]);
    let press = app(
        "press",
        &[
            (
                "web",
                "grants = { dirs = [{ host = \"content\", guest = \"/content\" }], stdio = true }",
                &["markdown", "thumbnail", "highlight"],
            ),
            ("markdown", "", &["highlight"]),
            ("thumbnail", "budget = { memory = \"256MiB\", cpu = \"1.5s\" }", &[]),
            ("highlight", "lifetime = \"resident\"", &[]),
        ],
        &[("/...", "web")],
    );
    let shop = app(
        "shop",
        &[
            ("storefront", "", &["catalogue", "basket", "session", "templates"]),
            ("admin", "grants = { stdio = true }", &["catalogue", "orders", "session", "audit"]),
            ("api", "", &["basket", "orders", "session"]),
            ("catalogue", RICH, &["search", "database"]),
            ("basket", "", &["database", "pricing"]),
            ("orders", "", &["payment", "database", "mail"]),
            ("session", "lifetime = \"resident\"", &["crypto"]),
            ("search", "", &[]),
            ("pricing", FUSED, &[]),
            ("payment", "grants = { http = [\"https://pay.example.com\"] }", &["crypto", "audit"]),
            ("database", "grants = { tcp = [\"10.0.0.5:5432\"] }", &["audit"]),
            ("mail", "grants = { tcp = [\"10.0.0.9:25\"] }", &["templates"]),
            ("templates", "", &[]),
            ("crypto", FUSED, &[]),
            ("audit", "grants = { dirs = [{ host = \"cache\", guest = \"/log\", mode = \"rw\" }] }", &[]),
        ],
        &[("/...", "storefront"), ("/admin/...", "admin"), ("/api/v1/...", "api")],
    );
    let names: Vec<String> = (0..30).map(|index| format!("service{index:02}")).collect();
    let uses: Vec<Vec<&str>> = (0_usize..30)
        .map(|index| {
            let picks = [index * 2 + 1, index * 2 + 2, index + 7].into_iter().filter(|to| *to < 30 && *to > index);
            let mut picks: Vec<usize> = picks.collect();
            picks.dedup();
            picks.sort_unstable();
            picks.dedup();
            picks.into_iter().map(|to| names[to].as_str()).collect()
        })
        .collect();
    let components: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(index, name)| (name.as_str(), if index % 11 == 4 { RICH } else { "" }, uses[index].as_slice()))
        .collect();
    let many = app("thirty", &components, &[("/...", "service00"), ("/health", "service03")]);
    vec![("one", one), ("press", press), ("shop", shop), ("thirty", many)]
}

/// The numbers of the attributes of every element with this class.
fn boxes(svg: &str, class: &str) -> Vec<[f64; 4]> {
    let number = |element: &str, name: &str| -> f64 {
        let from = element.split(&format!(" {name}=\"")).nth(1).expect("the attribute is there");
        from.split('"').next().expect("it is closed").parse().expect("it is a number")
    };
    let elements = svg.split('<').filter(|element| element.starts_with(&format!("rect class=\"{class}\"")));
    elements.map(|element| ["x", "y", "width", "height"].map(|name| number(element, name))).collect()
}

#[test]
fn boxes_of_any_app_lie_beside_each_other() {
    for (name, app) in gallery() {
        let svg = svg(&app);
        let boxes = boxes(&svg, "box");
        let fused: usize =
            app.components.iter().filter(|component| component.wall == watertight_model::app::Wall::Fused).count();
        assert_eq!(boxes.len(), app.components.len() - fused, "{name}");
        for (index, [x, y, width, height]) in boxes.iter().enumerate() {
            for [other_x, other_y, other_width, other_height] in &boxes[index + 1..] {
                let apart = x + width <= *other_x
                    || other_x + other_width <= *x
                    || y + height <= *other_y
                    || other_y + other_height <= *y;
                assert!(apart, "two boxes of {name} overlap");
            }
        }
        assert_eq!(svg, watertight_model::picture::svg(&app), "the same app gives the same picture");
    }
}

#[test]
fn every_component_route_and_interface_is_in_the_picture() {
    for (name, app) in gallery() {
        let (svg, dot) = (svg(&app), dot(&app));
        for component in &app.components {
            assert!(svg.contains(&format!(">{}<", component.name)), "{} in {name}", component.name);
            assert!(dot.contains(&component.name));
        }
        for edge in &app.edges {
            assert!(svg.contains(&edge.import) && dot.contains(&edge.import));
        }
        for trigger in &app.http {
            assert!(svg.contains(&format!(">{}<", trigger.route)) && dot.contains(&trigger.route));
        }
    }
}

#[test]
fn the_example_of_the_documentation_looks_like_this() {
    let (_, press) = gallery().swap_remove(1);
    insta::assert_snapshot!("press_svg", svg(&press));
    insta::assert_snapshot!("press_dot", dot(&press));
}

#[test]
fn fused_components_are_drawn_inside_each_cell_they_are_in() {
    let (_, shop) = gallery().swap_remove(2);
    assert_eq!(boxes(&svg(&shop), "inner").len(), 3, "`pricing` is in one cell, `crypto` in two");
    assert_eq!(dot(&shop).matches("crypto in ").count(), 4, "two nodes, and a wire to each");
}

#[test]
fn names_from_outside_cannot_break_out_of_the_picture() {
    let app = app(
        "t",
        &[("web", "grants = { http = [], dirs = [{ host = \"content\", guest = '/a<b>&\"\\u0001' }] }", &[])],
        &[("/<script>\\u0022", "web")],
    );
    let svg = svg(&app);
    assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"));
    assert!(svg.contains("/a&lt;b&gt;&amp;&quot;"));
    assert!(dot(&app).contains("label=\"/<script>\\\"\""));
}
