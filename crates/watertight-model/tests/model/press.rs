//! The example of the documentation, from text to app.

use std::time::Duration;

use watertight_model::{
    app::{HttpHandler, Lifetime, OnFailure, Wall},
    budget::ByteSize,
};

use crate::apps::sound;

const PRESS: &str = r#"
[app]
name = "press"
version = "0.1.0"

[component.web]
source = "web.wasm"              # relative to the manifest
lifetime = "request"             # call | request (default) | resident
wall = "cell"                    # cell (default) | fused
uses = ["markdown", "thumbnail"] # each import is met by the one listed component that exports it
grants = { env = { THEME = "dark" }, args = [], http = ["https://api.example.com"], tcp = ["127.0.0.1:5432"],
           udp = [], dns = ["db.internal"], dirs = [{ host = "content", guest = "/content", mode = "ro" }],
           stdio = true }
budget = { memory = "64MiB", cpu = "200ms", deadline = "2s", concurrency = 256, queue = 1024, log = "1MiB", files = 64, sockets = 16 }

[component.web.edge."press:image/thumbnail"]   # optional, for one import
from = "thumbnail"
deadline = "300ms"

[component.markdown]
source = "markdown.wasm"

[component.thumbnail]
source = "thumbnail.wasm"

[[trigger.http]]
route = "/..."                   # exact path, or a prefix ending in /...
component = "web"                # exports wasi:http/incoming-handler (0.2) or wasi:http/handler (0.3)
"#;

#[test]
fn the_example_of_the_documentation_becomes_an_app() {
    let app = sound(
        PRESS,
        &[
            (
                "web",
                "import press:text/markdown@0.1.0; import press:image/thumbnail@0.1.0;
                 import wasi:cli/environment@0.2.12; export wasi:http/incoming-handler@0.2.12;",
            ),
            ("markdown", "export press:text/markdown@0.1.0;"),
            ("thumbnail", "export press:image/thumbnail@0.1.0;"),
        ],
    );
    let names: Vec<_> = app.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["web", "markdown", "thumbnail"]);
    let web = app.find("web").expect("web is there");
    assert_eq!((web.wall, web.lifetime, web.asynchronous), (Wall::Cell, Lifetime::Request, false));
    assert_eq!(web.grants.env.get("THEME").map(String::as_str), Some("dark"));
    assert_eq!(web.grants.http[0].to_string(), "https://api.example.com");
    assert_eq!(web.grants.tcp[0].to_string(), "127.0.0.1:5432");
    assert_eq!(web.grants.dns, ["db.internal"]);
    assert_eq!(web.grants.dirs[0].guest, "/content");
    assert!(web.grants.stdio);
    assert_eq!((web.budget.memory, web.budget.cpu), (ByteSize::mib(64), Duration::from_millis(200)));
    assert_eq!(app.http[0].handler(), Some(HttpHandler::P2));
    assert_eq!(app.component(app.http[0].component).name, "web");

    let edges: Vec<_> = app.edges_from(web.id).map(|edge| (edge.import.as_str(), edge.deadline)).collect();
    assert_eq!(
        edges,
        [("press:text/markdown@0.1.0", None), ("press:image/thumbnail@0.1.0", Some(Duration::from_millis(300)))]
    );
    let functions: Vec<_> = app.edges[0]
        .functions
        .iter()
        .map(|function| (function.signature.as_str(), function.on_failure.clone(), function.unmapped_error.as_deref()))
        .collect();
    assert_eq!(
        functions,
        [
            ("render: func(text: string, how: options) -> result<string, string>", OnFailure::ErrorText, None),
            ("parse: func(text: string) -> result<u32, failure>", OnFailure::Trap, Some("failure")),
            ("check: func(text: string) -> result", OnFailure::ErrorEmpty, None),
            ("words: func(text: string) -> u32", OnFailure::Trap, None),
        ]
    );
}
