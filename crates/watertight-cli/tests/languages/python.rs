//! Python.

use std::{fs, path::Path};

use crate::{
    battery,
    client::Client,
    program::{Server, packages, run},
};

battery!("py");

/// A link would lead out of the folder that is granted.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("the temporary folder is writable");
    for entry in fs::read_dir(from).expect("the packages are there").flatten() {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).expect("the temporary folder is writable");
        }
    }
}

/// A folder with a script and the packages beside it, as `pip install --target site-packages` leaves them.
fn with_packages(script: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    copy(&packages("python"), &folder.path().join("site-packages"));
    let path = folder.path().join("app.py");
    fs::write(&path, script).expect("the temporary folder is writable");
    (folder, path)
}

#[test]
fn bottle_and_jinja2_work_as_they_come_from_pypi() {
    let (_folder, script) = with_packages(
        r#"
from bottle import Bottle, request
from jinja2 import Environment

app = Bottle()
page = Environment(autoescape=True).from_string("<p>{{ name }}{% for n in range(3) %} {{ n }}{% endfor %}</p>")


@app.get("/hi/<name>")
def hi(name):
    return page.render(name=name)


@app.post("/form")
def form():
    return {"name": request.forms.getunicode("name"), "file": request.files["file"].file.read().decode()}
"#,
    );
    let server = Server::start(&script);
    let mut client = Client::new(server.address);
    assert_eq!(client.get("/hi/%3Cb%3E"), (200, "<p>&lt;b&gt; 0 1 2</p>".to_owned()));
    let body = "--x\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\ngrün\r\n\
                --x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\ncontent\r\n--x--\r\n";
    let sent = http::Request::post("/form").header("content-type", "multipart/form-data; boundary=x");
    let answer = client.send(sent, body);
    assert_eq!(answer.headers()["content-type"], "application/json");
    assert_eq!(String::from_utf8_lossy(answer.body()), r#"{"name": "gr\u00fcn", "file": "content"}"#);
}

#[test]
fn the_standard_library_is_there() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let script = folder.path().join("app.py");
    fs::write(
        &script,
        r#"
import graphlib, json, sqlite3, tomllib, zlib, hashlib, decimal, wsgiref.util, xml.dom.minidom, string.templatelib
print(json.dumps({"a": "ä"}), sqlite3.connect(":memory:").execute("select 6 * 7").fetchone()[0])
print(zlib.decompress(zlib.compress(b"x" * 9)), tomllib.loads("a = 1"), decimal.Decimal("0.1") * 3)
print(hashlib.sha256(b"").hexdigest()[:8], list(graphlib.TopologicalSorter({1: {2}}).static_order()))
for name in ("ssl", "ctypes"):
    try:
        __import__(name)
    except ImportError:
        print("no", name)
import threading
try:
    threading.Thread(target=print).start()
except RuntimeError as error:
    print(error)
"#,
    )
    .expect("the temporary folder is writable");
    let done = run(&["run", script.to_str().expect("test paths are text")]);
    let expected = "{\"a\": \"\\u00e4\"} 42\nb'xxxxxxxxx' {'a': 1} 0.3\ne3b0c442 [2, 1]\nno ssl\nno ctypes\ncan't start new thread\n";
    assert_eq!((done.text(), done.stderr.as_str()), (expected, ""));
}

#[test]
fn an_asgi_application_answers_with_its_lifespan() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let script = folder.path().join("app.py");
    fs::write(
        &script,
        r#"
import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["started"] = "yes"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/raise":
        raise ValueError("nobody is told")
    if scope["path"] == "/forget":
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message["more_body"]:
            break
    headers = dict(scope["headers"])
    seen = [scope["method"], scope["path"], scope["raw_path"].decode(), scope["query_string"].decode(), headers[b"x-a"].decode()]
    seen += [scope["state"]["started"], str(len(body))]
    await send({"type": "http.response.start", "status": 201, "headers": [(b"content-type", b"text/plain"), (b"x-b", b"c")]})
    for part in seen:
        await send({"type": "http.response.body", "body": (part + "\n").encode(), "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})
    assert (await receive())["type"] == "http.disconnect"
"#,
    )
    .expect("the temporary folder is writable");
    let server = Server::start(&script);
    let mut client = Client::new(server.address);
    let body = "x".repeat(300_000);
    let answer = client.send(http::Request::put("/gr%C3%BCn?a=b").header("x-a", "d"), body);
    assert_eq!((answer.status().as_u16(), answer.headers()["x-b"].as_bytes()), (201, b"c".as_slice()));
    assert_eq!(String::from_utf8_lossy(answer.body()), "PUT\n/grün\n/gr%C3%BCn\na=b\nd\nyes\n300000\n");
    for path in ["/raise", "/forget"] {
        let (status, said) = client.get(path);
        assert!(status == 500 && !said.contains("nobody"), "{status} {said}");
    }
}

#[test]
fn starlette_works_as_it_comes_from_pypi() {
    let (_folder, script) = with_packages(
        r#"
import asyncio

from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route


async def hi(request):
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        names = [tasks.create_task(asyncio.sleep(0.001, request.path_params["name"])) for _ in range(3)]
    return JSONResponse([name.result() for name in names])


async def parts(request):
    async def numbers():
        for number in range(3):
            yield f"{number}\n"

    return StreamingResponse(numbers())


app = Starlette(routes=[Route("/hi/{name}", hi), Route("/parts", parts)])
"#,
    );
    let server = Server::start(&script);
    let mut client = Client::new(server.address);
    assert_eq!(client.get("/hi/Ada"), (200, r#"["Ada","Ada","Ada"]"#.to_owned()));
    assert_eq!(client.get("/parts"), (200, "0\n1\n2\n".to_owned()));
    assert_eq!(client.get("/none").0, 404);
}
