//! `watertight serve FOLDER` without a manifest: files become routes.

use std::fs;

use http::{Request, StatusCode};

use crate::{client::Client, program::Server};

#[test]
fn files_become_routes() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    fs::create_dir_all(folder.path().join("api/deep")).expect("it is writable");
    for below in ["docs", "wiki", "api/[id]"] {
        fs::create_dir_all(folder.path().join(below)).expect("it is writable");
    }
    let mjs =
        |text: &str| format!("export default {{ fetch: (r) => new Response(`{text} ${{new URL(r.url).pathname}}`) }};");
    for (name, text) in [
        ("index.mjs", mjs("index")),
        ("about.mjs", mjs("about")),
        ("_lib.mjs", mjs("lib")),
        ("api/index.lua", "return function(r) return 200, {}, 'api ' .. r.path end".to_owned()),
        ("api/[id].lua", "return function(r) return 200, {}, 'id ' .. r.path end".to_owned()),
        ("api/[id]/posts.lua", "return function(r) return 200, {}, 'posts ' .. r.path end".to_owned()),
        ("wiki/[...page].lua", "return function(r) return 200, {}, 'wiki ' .. r.path end".to_owned()),
        ("style.css", "body {}".to_owned()),
        ("numbers.bin", "0123456789".to_owned()),
        ("docs/index.html", "<p>docs".to_owned()),
        (".env", "SECRET=1".to_owned()),
    ] {
        fs::write(folder.path().join(name), text).expect("it is writable");
    }
    let server = Server::start(folder.path());
    let mut client = Client::new(server.address);
    for (path, expected) in [
        ("/", (200, "index /")),
        ("/about", (200, "about /about")),
        ("/api", (200, "api /api")),
        ("/api/", (200, "api /api/")),
        ("/api/7", (200, "id /api/7")),
        ("/api/7/posts", (200, "posts /api/7/posts")),
        ("/api/7/photos", (404, "not found\n")),
        ("/wiki", (200, "wiki /wiki")),
        ("/wiki/a/b", (200, "wiki /wiki/a/b")),
        ("/style.css", (200, "body {}")),
        ("/docs/", (200, "<p>docs")),
        ("/docs", (301, "it is a folder\n")),
        ("/gone", (404, "not found\n")),
        ("/_lib", (404, "not found\n")),
        // Neither what is hidden, nor what runs, nor what lies elsewhere.
        ("/.env", (404, "not found\n")),
        ("/%2eenv", (404, "not found\n")),
        ("/api/../.env", (404, "not found\n")),
        ("/docs/%2e%2e/.env", (404, "not found\n")),
        ("/..%2f..%2fetc/passwd", (404, "not found\n")),
    ] {
        assert_eq!(client.get(path), (expected.0, expected.1.to_owned()), "{path}");
    }

    let whole = client.send(Request::get("/numbers.bin"), "");
    assert_eq!(whole.headers()["content-type"], "application/octet-stream");
    assert_eq!(client.send(Request::get("/style.css"), "").headers()["content-type"], "text/css; charset=utf-8");
    let tag = whole.headers()["etag"].clone();
    let again = client.send(Request::get("/numbers.bin").header("if-none-match", &tag), "");
    assert_eq!((again.status(), again.body().len()), (StatusCode::NOT_MODIFIED, 0));
    for (range, status, part, place) in [
        ("bytes=2-4", 206, "234", Some("bytes 2-4/10")),
        ("bytes=7-", 206, "789", Some("bytes 7-9/10")),
        ("bytes=-2", 206, "89", Some("bytes 8-9/10")),
        ("bytes=5-99", 206, "56789", Some("bytes 5-9/10")),
        ("bytes=10-", 416, "there is no such part\n", Some("bytes */10")),
        ("bytes=4-2", 200, "0123456789", None),
        ("lines=1-2", 200, "0123456789", None),
    ] {
        let answer = client.send(Request::get("/numbers.bin").header("range", range), "");
        assert_eq!(answer.status().as_u16(), status, "{range}");
        assert_eq!(answer.body(), part, "{range}");
        assert_eq!(
            answer.headers().get("content-range").map(|place| place.as_bytes()),
            place.map(str::as_bytes),
            "{range}"
        );
    }
    let changed =
        client.send(Request::get("/numbers.bin").header("range", "bytes=0-1").header("if-range", "\"other\""), "");
    assert_eq!(changed.status(), 200);
    let head = client.send(Request::head("/numbers.bin"), "");
    assert_eq!(
        (head.status().as_u16(), head.headers()["content-length"].as_bytes(), head.body().len()),
        (200, &b"10"[..], 0)
    );
    assert_eq!(client.send(Request::post("/style.css"), "x").status(), 405);
}
