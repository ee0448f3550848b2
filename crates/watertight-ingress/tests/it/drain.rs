//! Shutting down: what is in flight goes on, for a while.

use std::time::Duration;

use tokio::{io::AsyncWriteExt, net::TcpStream};
use watertight_ingress::{Drained, HttpConfig};

use crate::site::{Site, get, read, read_head, read_to_end};

#[tokio::test]
async fn requests_in_flight_are_answered_and_their_connections_closed() {
    let site = Site::start(HttpConfig::default()).await;
    let mut h1 = site.connect().await;
    h1.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    site.state.waiting.notified().await;
    let mut client = site.h2().await;
    let h2 = tokio::spawn(client.send_request(get("/wait")));
    site.state.waiting.notified().await;

    site.shutdown.now();
    let refused = async {
        while TcpStream::connect(site.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    refused.await;
    site.state.go.notify_one();
    site.state.go.notify_waiters();
    let answer = read_to_end(&mut h1).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    site.state.go.notify_one();
    let h2 = h2.await.expect("the task ends").expect("the stream goes on");
    assert_eq!(read(h2).await, (200, "waited".into()));
    assert!(client.ready().await.is_err() || client.send_request(get("/")).await.is_err(), "no new streams");
    assert_eq!(site.stopped().await, Drained { cut: 0 });
}

#[tokio::test]
async fn idle_connections_do_not_hold_up_the_drain() {
    let long = Duration::from_secs(3600);
    let site = Site::start(HttpConfig { drain_timeout: long, idle_timeout: long, ..HttpConfig::default() }).await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    read_head(&mut stream).await;
    let mut client = site.h2().await;
    read(client.send_request(get("/")).await.expect("the server answers")).await;
    site.records(2).await;
    let _fresh = site.connect().await;
    site.shutdown.now();
    assert_eq!(site.stopped().await, Drained { cut: 0 });
    assert_eq!(read_to_end(&mut stream).await, "", "closed without another word");
}

#[tokio::test]
async fn what_outlasts_the_drain_is_cut_and_counted() {
    let site = Site::start(HttpConfig { drain_timeout: Duration::from_millis(50), ..HttpConfig::default() }).await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    site.state.waiting.notified().await;
    let state = std::sync::Arc::clone(&site.state);
    site.shutdown.now();
    assert_eq!(site.stopped().await, Drained { cut: 1 });
    assert_eq!(read_to_end(&mut stream).await, "");
    drop(state);
}

#[tokio::test]
async fn a_connection_that_queued_before_the_shutdown_is_still_served() {
    let site = Site::start(HttpConfig::default()).await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the kernel takes it");
    // On this test's single thread the server has not run since the connection came in.
    site.shutdown.now();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(site.stopped().await, Drained { cut: 0 });
}

#[tokio::test]
async fn with_patience_an_idle_connection_gets_one_more_request_and_is_told_that_it_was_the_last() {
    let long = Duration::from_secs(3600);
    let site = Site::start(HttpConfig { drain_timeout: long, ..HttpConfig::default() }).await;
    let mut idle = site.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    read_head(&mut idle).await;
    let mut fresh = site.connect().await;
    site.records(1).await;
    site.shutdown.patiently(long);
    for stream in [&mut idle, &mut fresh] {
        // Long enough for a server without patience to have closed it.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
        let answer = read_to_end(stream).await;
        assert!(answer.contains("HTTP/1.1 200"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    }
    assert_eq!(site.stopped().await, Drained { cut: 0 });
}

#[tokio::test]
async fn patience_ends_with_hurry() {
    let long = Duration::from_secs(3600);
    let site = Site::start(HttpConfig { drain_timeout: long, ..HttpConfig::default() }).await;
    let mut idle = site.connect().await;
    idle.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    read_head(&mut idle).await;
    site.records(1).await;
    site.shutdown.patiently(long);
    tokio::task::yield_now().await;
    site.shutdown.now();
    assert_eq!(site.stopped().await, Drained { cut: 0 });
}
