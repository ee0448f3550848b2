//! `examples/legacy`: programs that were not written for Watertight, and what they cannot reach.

use std::{fs, path::Path};

use http::{Request, StatusCode, header::LOCATION};
use tempfile::TempDir;

use crate::{
    browser::seen,
    client::Client,
    program::{Server, packages},
    python::copy,
};

/// A picture of one point.
const PICTURE: &[u8] = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\xff\xff\xff\x00\x00\x00!\xf9\x04\x01\x00\x00\x00\x00,\
\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;";

/// The example in a folder of its own, with the host that it may ask.
struct Legacy {
    folder: TempDir,
    server: Server,
    _tides: Server,
}

impl Legacy {
    fn start() -> Self {
        let place = tempfile::tempdir().expect("the temporary folder is writable");
        let folder = place.path().join("legacy");
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/legacy"), &folder);
        let library = folder.join("berths/site-packages");
        let _ = fs::remove_dir_all(&library);
        copy(&packages("python"), &library);
        for program in ["lost", "berths"] {
            let data = folder.join("data").join(program);
            fs::remove_dir_all(&data).expect("the example has it");
            fs::create_dir(&data).expect("the temporary folder is writable");
        }
        let tides = Server::start(&folder.join("tides"));
        let manifest = folder.join("watertight.toml");
        let text = fs::read_to_string(&manifest).expect("the example has it");
        let text = text.replace("127.0.0.1:8089", &tides.address.to_string());
        fs::write(&manifest, text).expect("the temporary folder is writable");
        let server = Server::start(&folder);
        Self { folder: place, server, _tides: tides }
    }

    fn data(&self, program: &str) -> Vec<String> {
        let files = fs::read_dir(self.folder.path().join("legacy/data").join(program)).expect("the example has it");
        files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect()
    }
}

#[test]
fn a_page_in_php_works_as_it_did() {
    let legacy = Legacy::start();
    let mut client = Client::new(legacy.server.address);
    let first = client.send(Request::get("/"), "");
    let text = String::from_utf8_lossy(first.body()).into_owned();
    assert!(text.contains("Nothing has been found yet") && text.contains("High water 06:42"), "{text}");
    let session = first.headers()["set-cookie"].to_str().expect("it is text");
    let session = session.split(';').next().expect("it has a value").to_owned();

    let part =
        |name: &str, value: &str| format!("--x\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
    let hand_in = |client: &mut Client, file: &[u8]| {
        let mut body =
            [part("what", "<b>Oar</b>"), part("where", "Quay 3"), part("finder", "Zoë")].concat().into_bytes();
        let head = "--x\r\ncontent-disposition: form-data; name=\"picture\"; filename=\"oar.gif\"\r\ncontent-type: image/gif\r\n\r\n";
        body.extend(head.as_bytes());
        body.extend(file);
        body.extend(b"\r\n--x--\r\n");
        let sent = Request::post("/index.php")
            .header("content-type", "multipart/form-data; boundary=x")
            .header("cookie", session.as_str());
        let answer = client.send(sent, body);
        assert_eq!(
            (answer.status(), &answer.headers()[LOCATION]),
            (StatusCode::SEE_OTHER, &"./".parse().expect("it is one"))
        );
        let page = client.send(Request::get("/").header("cookie", session.as_str()), "");
        String::from_utf8_lossy(page.body()).into_owned()
    };
    let page = hand_in(&mut client, PICTURE);
    for text in ["Thank you. It is in the list now.", "&lt;b&gt;Oar", "value=\"Zoë\"", "handed in 1 so far"] {
        assert!(page.contains(text), "{text} in {page}");
    }
    let picture = page.split("src=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("it has a picture");
    let picture = client.send(Request::get(format!("/{picture}")), "");
    assert_eq!(
        (&picture.headers()["content-type"], &picture.body()[..]),
        (&"image/gif".parse().expect("it is one"), PICTURE)
    );
    let page = hand_in(&mut client, b"no picture");
    assert!(page.contains("has to be a PNG") && page.contains("handed in 1 so far"), "{page}");
    assert_eq!(client.send(Request::get("/style.css"), "").headers()["content-type"], "text/css; charset=utf-8");
    let files = legacy.data("lost");
    assert!(files.iter().any(|name| name.starts_with("sess_")), "its sessions are there: {files:?}");
    assert!(legacy.data("berths").is_empty());
}

#[test]
fn an_app_in_bottle_works_as_it_did() {
    let legacy = Legacy::start();
    let mut client = Client::new(legacy.server.address);
    assert!(client.get("/berths/").1.contains("High water 06:42"));
    for (boat, said) in
        [("J%C3%B6rmungandr", "/berths/?said=Welcome."), ("Other", "/berths/?said=That+berth+is+taken.")]
    {
        let sent = Request::post("/berths/").header("content-type", "application/x-www-form-urlencoded");
        let answer = client.send(sent, format!("berth=A2&boat={boat}"));
        let place = answer.headers()[LOCATION].to_str().expect("it is text").to_owned();
        assert!(answer.status() == StatusCode::SEE_OTHER && place.ends_with(said), "{place}");
    }
    let (status, text) = client.get("/berths/");
    assert!(status == 200 && text.contains("<td>A2</td><td>Jörmungandr</td>"), "{text}");
    assert_eq!(legacy.data("berths"), ["berths.json"]);
}

/// What both programs try, and whether they are to succeed.
const ATTEMPTS: [(&str, bool); 12] = [
    ("read /etc/passwd", false),
    ("list /", false),
    ("list /home", false),
    ("read the app next door", false),
    ("write into its own program", false),
    ("read PATH and HOME", false),
    ("ask http://127.0.0.1:22/", false),
    ("ask https://example.com/", false),
    ("dial 127.0.0.1:5432", false),
    ("run a program", false),
    ("write into its folder", true),
    ("ask for the tides", true),
];

#[test]
fn what_they_were_not_granted_they_cannot_reach() {
    let legacy = Legacy::start();
    let mut client = Client::new(legacy.server.address);
    for page in ["/reach.php", "/berths/reach"] {
        let (status, text) = client.get(page);
        assert_eq!(status, 200, "{text}");
        for (attempt, good) in ATTEMPTS {
            let row = format!("<td>{attempt}</td><td>{}</td>", if good { "done" } else { "refused" });
            assert!(text.contains(&row), "{page}: {row} in {text}");
        }
    }
    assert!(fs::read_to_string(legacy.folder.path().join("legacy/lost/index.php")).expect("it is there").len() > 1000);
}

#[test]
fn a_real_browser_opens_it() {
    let legacy = Legacy::start();
    for (path, expected) in [
        ("/", "Hand something in"),
        ("/reach.php", "<td>read /etc/passwd</td><td>refused</td>"),
        ("/berths/", "Ask for a berth"),
    ] {
        let page = seen(legacy.server.address, path);
        assert!(page.contains(expected) && page.contains("stylesheet"), "{path}: {page}");
    }
}
