//! `examples/press`: a site in four languages, of which each part may fail.

use std::path::Path;

use crate::{browser::seen, client::Client, program::Server};

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
