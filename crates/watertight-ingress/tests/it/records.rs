//! The access record of each request.

use tokio::io::AsyncWriteExt;
use watertight_ingress::HttpConfig;

use crate::site::{Site, get, post, read};

#[tokio::test]
async fn a_record_says_what_was_asked_and_what_was_answered() {
    let site = Site::start(HttpConfig::default()).await;
    let response = site.h1().await.send_request(post("/count?q=1", "12345")).await.expect("the server answers");
    assert_eq!(read(response).await.0, 200);
    let record = site.records(1).await.remove(0);
    assert!(record.complete);
    let event = record.event;
    assert_eq!((event.method.as_str(), event.path.as_str(), event.status), ("POST", "/count?q=1", 200));
    assert_eq!((event.version, event.route), ("HTTP/1.1", Some(0)));
    assert_eq!((event.bytes_in, event.bytes_out), (5, "5 bytes".len() as u64));
    assert!(event.client.is_loopback());
}

#[tokio::test]
async fn http2_requests_are_recorded_one_by_one() {
    let site = Site::start(HttpConfig::default()).await;
    let mut client = site.h2().await;
    for path in ["/exact", "/fail/trap"] {
        read(client.send_request(get(path)).await.expect("the server answers")).await;
    }
    let records = site.records(2).await;
    let seen = records.iter().map(|r| (r.event.path.as_str(), r.event.status, r.event.version, r.event.route));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [("/exact", 200, "HTTP/2.0", Some(1)), ("/fail/trap", 500, "HTTP/2.0", Some(0))]
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_handler_and_is_recorded_without_a_status() {
    let site = Site::start(HttpConfig::default()).await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    site.state.waiting.notified().await;
    drop(stream);
    let record = site.records(1).await.remove(0);
    assert_eq!((record.event.status, record.complete), (0, false));
    assert_eq!(site.running(), 0, "the handler's future is dropped");
}

#[tokio::test]
async fn a_stream_that_is_reset_ends_its_handler_but_not_the_connection() {
    let site = Site::start(HttpConfig::default()).await;
    let mut client = site.h2().await;
    let waits = tokio::spawn(client.send_request(get("/wait")));
    site.state.waiting.notified().await;
    waits.abort();
    assert_eq!(site.records(1).await[0].event.status, 0);
    assert_eq!(site.running(), 0);
    assert_eq!(read(client.send_request(get("/")).await.expect("the connection lives")).await.0, 200);
}
