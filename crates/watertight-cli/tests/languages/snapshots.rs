//! Scripts are loaded once for all requests, unless they do something while they are loaded that belongs to each.

use std::fs;

use tempfile::TempDir;

use crate::{client::Client, program::Server};

/// Scripts that answer with what they found when they were loaded: an expression, or the value of another one for each request.
fn script(ending: &str, loaded: &str) -> String {
    match ending {
        "py" => format!(
            "import os, random, sys, time\nprint('loading', file=sys.stderr)\nfound = {loaded}\n\
             def app(environ, start_response):\n    start_response('200 OK', [])\n    yield str(found).encode()\n"
        ),
        "lua" => format!(
            "io.stderr:write('loading\\n')\nlocal found = {loaded}\nreturn function() return 200, {{}}, tostring(found) end\n"
        ),
        _ => format!(
            "console.error('loading');\nconst found = {loaded};\nexport default {{ fetch: () => new Response(`${{found}}`) }};\n"
        ),
    }
}

fn app(ending: &str, loaded: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let write = |name: String, text: &str| fs::write(folder.path().join(name), text).expect("it is writable");
    write(format!("web.{ending}"), &script(ending, loaded));
    write(
        "watertight.toml".to_owned(),
        &format!(
            "[app]\nname = \"app\"\n[component.web]\nsource = \"web.{ending}\"\n\
             budget = {{ memory = \"256MiB\", cpu = \"30s\", deadline = \"60s\" }}\n\
             grants = {{ stdio = true, env = {{ SECRET = \"blue\" }} }}\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"web\"\n"
        ),
    );
    folder
}

/// The answers to two requests, and whether each had to load the script.
fn asked(ending: &str, loaded: &str) -> (String, String, bool) {
    let folder = app(ending, loaded);
    let mut server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    let (one, two) = (client.get("/"), client.get("/"));
    assert_eq!((one.0, two.0), (200, 200), "{loaded}: {one:?}");
    let lines = server.lines_until_request();
    (one.1, two.1, lines.iter().any(|line| line.contains("loading")))
}

#[test]
fn a_script_is_loaded_once_and_nothing_of_a_request_is_kept() {
    for (ending, constant) in
        [("py", "sum(range(1000))"), ("lua", "499500"), ("mjs", "[...Array(1000).keys()].reduce((a, b) => a + b)")]
    {
        assert_eq!(asked(ending, constant), ("499500".to_owned(), "499500".to_owned(), false), "{ending}");
    }
}

#[test]
fn what_belongs_to_each_request_is_not_frozen_in() {
    for (ending, volatile) in [
        ("mjs", "Date.now() + ':' + performance.now()"),
        ("mjs", "Math.random()"),
        ("mjs", "crypto.randomUUID()"),
        ("lua", "os.clock()"),
        ("lua", "math.random()"),
        ("py", "os.urandom(8).hex()"),
    ] {
        let (one, two, loaded) = asked(ending, volatile);
        assert_ne!(one, two, "{ending}: {volatile}");
        assert!(loaded, "{ending}: {volatile}");
    }
    assert_eq!(asked("mjs", "process.env.SECRET").0, "blue");
}
