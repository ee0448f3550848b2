//! `examples/press`: a site in four languages, of which each part may fail.

use std::{fs, path::Path, process::Stdio};

use serde_json::Value;

use crate::{
    browser::seen,
    client::Client,
    program::{Ended, Server, run, watertight},
};

fn press() -> Server {
    Server::start(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/press"))
}

#[test]
fn a_page_is_made_by_all_of_its_parts_and_goes_without_those_that_fail() {
    let mut server = press();
    let mut client = Client::new(server.address);
    let (status, page) = client.get("/gallery");
    assert_eq!((status, page.matches("<img src=\"data:image/jpeg;base64,").count()), (200, 4), "{page}");
    for why in ["it could not be made small", "The image format could not be determined", "there is no such picture"] {
        assert!(page.contains(&format!("missing\" title=\"{why}\"")), "{why} in {page}");
    }
    let failed = server.next("call", |event| event["outcome"] == "failed");
    assert_eq!((&failed["edge"], &failed["failure"]), (&"web->thumbnail".into(), &"memory".into()));
    let (status, page) = client.get("/colours");
    assert!(status == 200 && page.contains("hljs-keyword"), "{page}");
    assert_eq!(client.get("/thumb/bomb.png").0, 502);
    for none in ["/nothing", "/pictures/..%2f..%2fweb%2fapp.py", "/..%2fREADME", "/.md"] {
        assert_eq!(client.get(none).0, 404, "{none}");
    }
    let (status, feed) = client.get("/feed.xml");
    assert!(status == 200 && feed.matches("<entry>").count() == 3, "{feed}");
    assert!(feed.contains(&format!("<link href=\"http://{}/gallery\"/>", server.address)), "{feed}");
}

/// A build of `markdown` that ends paragraphs in another way.
fn other_markdown(markdown: &[u8]) -> Vec<u8> {
    let at = markdown.windows(4).position(|text| text == b"</p>").expect("it writes paragraphs");
    [&markdown[..at], b"</P>", &markdown[at + 4..]].concat()
}

#[test]
fn what_it_asked_of_markdown_is_asked_of_another_build_of_it() {
    let server = press();
    let mut client = Client::new(server.address);
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let (file, other) = (folder.path().join("markdown.rec"), folder.path().join("other.wasm"));
    let markdown = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/press/markdown.wasm");
    fs::write(&other, other_markdown(&fs::read(&markdown).expect("it is built"))).expect("it is writable");

    let (node, to) = (server.process.id().to_string(), file.to_str().expect("test paths are text"));
    let mut record = watertight(&["record", &node, "--edge", "web->markdown", "--count", "12", "-o", to]);
    let mut record = record.stderr(Stdio::null()).spawn().expect("the program can be started");
    while record.try_wait().expect("it is ours").is_none() {
        for path in ["/", "/gallery", "/colours"] {
            assert_eq!(client.get(path).0, 200);
        }
    }
    let replay = |build: &Path, more: &[&str]| -> Ended {
        let build = build.to_str().expect("test paths are text");
        run(&[&["replay", to, "--of", "markdown", "--component", build, "--format", "json"], more].concat())
    };
    let told = |ended: &Ended| -> Value { serde_json::from_str(ended.text()).expect("it is an object") };
    let same = replay(&markdown, &[]);
    assert_eq!((same.code, &told(&same)["same"]), (Some(0), &12.into()), "{same:?}");
    assert_eq!(told(&same)["recorded_digests"], serde_json::json!([told(&same)["digest"]]));
    let changed = replay(&other, &["--show", "1"]);
    let found = told(&changed);
    assert_eq!((changed.code, &found["differ"]), (Some(3), &12.into()), "{changed:?}");
    let shown = &found["differences"][0];
    assert_eq!(shown["function"], "press:markdown/render@0.1.0#render");
    let text = |key: &str| shown[key].as_str().unwrap_or_default().to_owned();
    assert!(text("recorded").contains("</p>") && text("now").contains("</P>"), "{shown}");
    assert!(text("arguments").starts_with("(\"# "), "{shown}");
}

#[test]
fn a_real_browser_opens_every_page() {
    let server = press();
    for (path, expected) in
        [("/", "Why ships have bulkheads"), ("/gallery", "no thumbnail: Words"), ("/colours", "hljs-title")]
    {
        let page = seen(server.address, path);
        assert!(page.contains(expected) && page.contains("stylesheet"), "{path}: {page}");
    }
}
