//! Scripts that call other components as modules of their language: values of all types, and failures that `try` catches.

use std::fs;

use tempfile::TempDir;
use watertight_testkit::guest;

use crate::{
    client::Client,
    program::{Server, run},
};

/// The languages that have modules, by the endings of their files.
const LANGUAGES: [&str; 5] = ["mjs", "lua", "php", "py", "rb"];

/// An app of `scripts/modules.ENDING`, which uses `types` and this behaviour.
fn app(ending: &str, behaviour: &str, more: &str) -> TempDir {
    let script = format!("{}/tests/languages/scripts/modules.{ending}", env!("CARGO_MANIFEST_DIR"));
    app_of(&fs::read_to_string(script).expect("the script is there"), ending, behaviour, more)
}

fn app_of(script: &str, ending: &str, behaviour: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).expect("it is writable");
    write(&format!("web.{ending}"), script.as_bytes());
    write("types.wasm", &guest::built("types"));
    write("behaviour.wasm", &guest::built(behaviour));
    let manifest = format!(
        r#"
[app]
name = "app"

[component.web]
source = "web.{ending}"
uses = ["types", "behaviour"]
budget = {{ memory = "256MiB", cpu = "30s", deadline = "60s" }}
grants = {{ stdio = true }}

[component.types]
source = "types.wasm"

[component.behaviour]
source = "behaviour.wasm"
budget = {{ deadline = "30s", cpu = "30s" }}

[[trigger.http]]
route = "/..."
component = "web"
{more}"#
    );
    write("watertight.toml", manifest.as_bytes());
    folder
}

#[test]
fn every_value_goes_to_another_component_and_back() {
    for ending in LANGUAGES {
        let folder = app(ending, "ok", "");
        let mut server = Server::start(folder.path());
        let mut client = Client::new(server.address);
        assert_eq!(client.get("/values"), (200, "all values are the same".to_owned()), "{ending}");
        assert_eq!(client.get("/run/41"), (200, "returned 42".to_owned()), "{ending}");
        // What it imports belongs to no request: it was loaded before the first one came. PHP and Ruby run a script from its start.
        let loading = server.lines_until_request().iter().any(|line| line.contains("loading"));
        assert_eq!(loading, ["php", "rb"].contains(&ending), "{ending}");
    }
}

#[test]
fn wrong_arguments_are_the_languages_own_kind_of_mistake() {
    for ending in LANGUAGES {
        let folder = app(ending, "ok", "");
        let server = Server::start(folder.path());
        let mut client = Client::new(server.address);
        for (which, said) in [
            ("type", "u8s: `v` is to be a u8, and is "),
            ("range", "u8s: `v` is to be a u8, from 0 to 255, and is 256"),
            ("count", "u8s: it takes one argument (`v`), and 2 were given"),
            ("field", "points: `v` has no field `z`; its fields are `x`, `y`"),
            ("lacks", "persons: `v.home` lacks the field `y`"),
            ("case", "colours: `v` is to be one of `red`, `green`, `blue`, and is "),
            ("function", "cannot be given to another component"),
        ] {
            let (status, text) = client.get(&format!("/mistake/{which}"));
            assert!(status == 200 && text.starts_with("mistake: ") && text.contains(said), "{ending}, {which}: {text}");
        }
        let (_, unknown) = client.get("/unknown");
        assert!(unknown.contains("nowhere"), "{ending}: {unknown}");
    }
}

#[test]
fn a_failing_dependency_is_an_exception_and_the_request_goes_on() {
    for ending in LANGUAGES {
        let none = match ending {
            "mjs" => "undefined",
            "py" => "None",
            "php" => "null",
            _ => "nil",
        };
        let folder = app(ending, "trap", "");
        let mut server = Server::start(folder.path());
        let mut client = Client::new(server.address);
        for path in ["/run/1", "/quiet/1", "/plain/1"] {
            let (status, text) = client.get(path);
            let said = format!("ModuleError trap {none}: behaviour: trap: ");
            assert!(status == 200 && text.starts_with(&said), "{ending}, {path}: {text}");
        }
        let uncaught = client.get("/uncaught");
        assert_eq!(uncaught.0, 500, "{ending}: {uncaught:?}");
        server.log("behaviour: trap: ");
        assert_eq!(client.get("/values").1, "all values are the same", "{ending}");

        let folder = app(ending, "fail", "");
        let server = Server::start(folder.path());
        let mut client = Client::new(server.address);
        assert_eq!(client.get("/run/1").1, "ModuleError error asked to fail: asked to fail", "{ending}");
        let nothing = match ending {
            "mjs" | "php" => "null",
            "py" => "None",
            _ => "nil",
        };
        assert_eq!(client.get("/quiet/1").1, format!("ModuleError error {nothing}: quiet failed"), "{ending}");
    }
}

#[test]
fn what_the_manifest_says_of_an_edge_holds_for_modules_too() {
    for ending in LANGUAGES {
        let more = "[component.web.edge.\"watertight:test/behave\"]\ndeadline = \"100ms\"\n\
                    breaker = { failures = 2, within = \"1h\", open-for = \"1h\" }\n\
                    function.quiet.on-failure = { return = 'ok(7)' }\n";
        let folder = app(ending, "sleep", more);
        let server = Server::start(folder.path());
        let mut client = Client::new(server.address);
        let (_, slow) = client.get("/plain/20000");
        assert!(slow.starts_with("ModuleError deadline "), "{ending}: {slow}");
        assert_eq!(client.get("/quiet/20000").1, "returned 7", "{ending}");
        let (_, open) = client.get("/plain/0");
        assert!(open.starts_with("ModuleError breaker-open "), "{ending}: {open}");
    }
}

#[test]
fn a_script_that_calls_while_it_is_loaded_is_loaded_in_each_request() {
    for (ending, script) in [
        (
            "mjs",
            "import { run } from \"watertight:test/behave\";\nconsole.error(\"loading\");\nconst found = run(1);\nexport default { fetch: () => new Response(`${found}`) };\n",
        ),
        (
            "py",
            "import sys\nfrom watertight.test import behave\nprint('loading', file=sys.stderr)\nfound = behave.run(1)\n\
             def app(environ, start_response):\n    start_response('200 OK', [])\n    yield str(found).encode()\n",
        ),
        (
            "lua",
            "io.stderr:write('loading\\n')\nlocal found = require('watertight:test/behave').run(1)\nreturn function() return 200, {}, tostring(found) end\n",
        ),
    ] {
        let folder = app_of(script, ending, "ok", "");
        let mut server = Server::start(folder.path());
        let mut client = Client::new(server.address);
        assert_eq!(client.get("/").1, "2", "{ending}");
        assert!(server.lines_until_request().iter().any(|line| line.contains("loading")), "{ending}");
    }
}

#[test]
fn a_script_without_a_manifest_is_told_to_write_one() {
    for (ending, script) in [
        ("mjs", "import \"press:markdown/render\";\n"),
        ("lua", "require \"press:markdown/render\"\n"),
        ("rb", "require \"press:markdown/render\"\n"),
        ("py", "import press.markdown.render\n"),
    ] {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let file = folder.path().join(format!("tool.{ending}"));
        fs::write(&file, script).expect("it is writable");
        let ended = run(&["run", file.to_str().expect("test paths are text")]);
        assert_eq!(ended.code, Some(1), "{ending}: {}", ended.stderr);
        let said = if ending == "py" {
            "No module named 'press'"
        } else {
            "in watertight.toml, list one that does in its `uses`"
        };
        assert!(ended.stderr.contains(said), "{ending}: {}", ended.stderr);
    }
}
