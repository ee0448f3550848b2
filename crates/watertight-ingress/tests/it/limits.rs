//! Each limit, with a value small enough that a request meets it: a server that ignores one fails here.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use watertight_ingress::HttpConfig;

use crate::site::{Record, Site, get, post, read, read_head, read_to_end};

const SOON: Duration = Duration::from_millis(50);

async fn with(change: impl FnOnce(&mut HttpConfig)) -> Site {
    // Everything that a test does not set is far away, so that nothing else can end its connection.
    let far = Duration::from_secs(3600);
    let mut config = HttpConfig {
        header_timeout: far,
        idle_timeout: far,
        body_timeout: far,
        write_timeout: far,
        drain_timeout: far,
        ..HttpConfig::default()
    };
    change(&mut config);
    Site::start(config).await
}

#[tokio::test]
async fn header_bytes_have_a_limit_on_http1() {
    let site = with(|config| config.max_header_bytes = 1000).await;
    let fits = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", "x".repeat(800));
    assert!(site.raw(fits.as_bytes()).await.starts_with("HTTP/1.1 200"));
    let large = format!("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx: {}\r\n\r\n", "x".repeat(1000));
    assert!(site.raw(large.as_bytes()).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn header_bytes_have_a_limit_on_http2() {
    let site = with(|config| config.max_header_bytes = 1000).await;
    let mut client = site.h2().await;
    let mut request = get("/");
    request.headers_mut().insert("x", "x".repeat(500).parse().expect("a header value"));
    assert_eq!(client.send_request(request.clone()).await.expect("the server answers").status(), 200);
    // The client knows the limit from the server's settings and may refuse to send; what it sends is refused.
    request.headers_mut().insert("x", "x".repeat(2000).parse().expect("a header value"));
    let refused = client.send_request(request).await;
    assert!(refused.is_err() || refused.is_ok_and(|response| response.status() == 431));
}

#[tokio::test]
async fn the_number_of_headers_has_a_limit_on_both_protocols() {
    // A limit above what the parser takes by itself must raise that, too.
    for (limit, count, status) in [(20, 19, "200"), (20, 20, "431"), (150, 149, "200"), (150, 150, "431")] {
        let site = with(|config| config.max_headers = limit).await;
        let many = (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
        let mut stream = site.connect().await;
        stream.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{many}\r\n").as_bytes()).await.expect("it is read");
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{count} of {limit}: {answer}");
    }
    let site = with(|config| config.max_headers = 20).await;
    let mut request = get("/");
    for n in 0..20 {
        request
            .headers_mut()
            .insert(http::HeaderName::try_from(format!("x-{n}")).expect("a name"), "y".parse().expect("a value"));
    }
    let mut client = site.h2().await;
    assert_eq!(client.send_request(request).await.expect("the server answers").status(), 431);
    assert_eq!(client.send_request(get("/")).await.expect("the server answers").status(), 200);
}

#[tokio::test]
async fn a_declared_body_over_the_limit_is_refused_before_the_handler_runs() {
    let site = with(|config| config.max_body_bytes = 1000).await;
    for mut response in [
        site.h1().await.send_request(post("/count", vec![0; 1001])).await.expect("the server answers"),
        site.h2().await.send_request(post("/count", vec![0; 1001])).await.expect("the server answers"),
    ] {
        assert_eq!(response.status(), 413);
        response.body_mut().collect().await.expect("the text is whole");
    }
    assert!(site.records(2).await.iter().all(|record| record.event.bytes_in == 0));
    let fits = site.h1().await.send_request(post("/count", vec![0; 1000])).await.expect("the server answers");
    assert_eq!(read(fits).await, (200, "1000 bytes".into()));
}

#[tokio::test]
async fn an_undeclared_body_over_the_limit_is_413_whatever_the_handler_made_of_it() {
    let site = with(|config| config.max_body_bytes = 1000).await;
    let mut request = b"POST /count HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..11 {
        request.extend_from_slice(format!("64\r\n{}\r\n", "x".repeat(100)).as_bytes());
    }
    let answer = site.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn an_answer_to_an_unread_upload_reaches_a_client_that_is_still_sending() {
    let site = with(|config| config.max_body_bytes = 1000).await;
    let mut stream = site.connect().await;
    stream
        .write_all(b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n")
        .await
        .expect("the server reads");
    let answer = read_to_end(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Were the socket closed by now, the first chunk would bring a reset, which may overtake an answer on a real network,
    // and the second would fail.
    for _ in 0..2 {
        stream.write_all(&[0; 1000]).await.expect("the server takes what it throws away");
    }
}

#[tokio::test]
async fn a_head_that_trickles_is_cut() {
    let site = with(|config| config.header_timeout = SOON).await;
    let mut silent = site.connect().await;
    let mut slow = site.connect().await;
    slow.write_all(b"GET / HTT").await.expect("the server reads");
    let mut second = site.connect().await;
    second.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    read_head(&mut second).await;
    second.write_all(b"GET / HT").await.expect("the server reads");
    for stream in [&mut silent, &mut slow, &mut second] {
        assert_eq!(read_to_end(stream).await, "");
    }
}

#[tokio::test]
async fn a_tls_handshake_that_trickles_is_cut() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("the temporary folder is writable");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("the temporary folder is writable");
    let tls = watertight_ingress::TlsConfig::load(&cert, &key).expect("the files belong together");
    let far = Duration::from_secs(3600);
    let config = HttpConfig { header_timeout: SOON, idle_timeout: far, ..HttpConfig::default() };
    let site = Site::start_with(config, Some(&tls)).await;
    let mut stream = site.connect().await;
    stream.write_all(&[0x16, 3, 1, 0, 200]).await.expect("the server reads");
    assert_eq!(read_to_end(&mut stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed_on_both_protocols() {
    let site = with(|config| config.idle_timeout = SOON).await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 200"));
    assert_eq!(read_to_end(&mut stream).await, "");
    let mut client = site.h2().await;
    read(client.send_request(get("/")).await.expect("the server answers")).await;
    while client.ready().await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_body_that_stops_arriving_is_408_on_both_protocols() {
    let site = with(|config| config.body_timeout = SOON).await;
    let answer = site.raw(b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let (sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(site.connect().await),
    )
    .await
    .expect("the handshake works");
    tokio::spawn(connection);
    let never = http_body_util::StreamBody::new(futures_util::stream::pending::<
        Result<http_body::Frame<bytes::Bytes>, std::convert::Infallible>,
    >());
    let request = http::Request::post("http://site.test/count").body(never).expect("the request is valid");
    let mut sender = sender;
    assert_eq!(sender.send_request(request).await.expect("the server answers").status(), 408);
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_on_http1() {
    let site = with(|config| config.write_timeout = SOON).await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    let record = site.records(1).await.remove(0);
    assert_eq!((record.event.status, record.complete), (200, false));
    // Not even the buffers between the two grow without end.
    assert!(record.event.bytes_out < 64 << 20, "{}", record.event.bytes_out);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn a_stream_that_stops_being_read_is_reset_and_the_connection_goes_on() {
    let site = with(|config| config.write_timeout = SOON).await;
    let mut client = site.h2().await;
    let held = client.send_request(get("/endless")).await.expect("the head arrives");
    let record = site.records(1).await.remove(0);
    assert_eq!((record.event.status, record.complete), (200, false));
    drop(held);
    assert_eq!(read(client.send_request(get("/")).await.expect("the connection lives")).await.0, 200);
}

/// Gives the server every chance to do what it must not do.
async fn rounds(client: &mut hyper::client::conn::http1::SendRequest<http_body_util::Full<bytes::Bytes>>) {
    for _ in 0..20 {
        read(client.send_request(get("/round")).await.expect("the server answers")).await;
    }
}

fn paths(records: Vec<Record>) -> Vec<String> {
    records.into_iter().map(|record| record.event.path).filter(|path| path != "/round").collect()
}

#[tokio::test]
async fn connections_over_the_limit_wait_for_a_place() {
    let site = with(|config| config.max_connections = 2).await;
    let mut other = site.h1().await;
    let mut first = site.connect().await;
    first.write_all(b"GET /wait HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("the server reads");
    site.state.waiting.notified().await;
    let mut third = site.connect().await;
    third.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("the kernel takes it");
    rounds(&mut other).await;
    site.state.go.notify_one();
    assert!(read_to_end(&mut first).await.ends_with("waited"));
    assert!(read_to_end(&mut third).await.ends_with("hello"));
    assert_eq!(paths(site.records(22).await), ["/wait", "/"]);
}

#[tokio::test]
async fn streams_over_the_limit_wait_for_a_place() {
    let site = with(|config| config.max_streams = 2).await;
    let mut client = site.h2().await;
    // One exchange, so that the client has seen the settings.
    read(client.send_request(get("/round")).await.expect("the server answers")).await;
    let waits = [(); 2].map(|()| tokio::spawn(client.send_request(get("/wait"))));
    while site.running() < 2 {
        tokio::task::yield_now().await;
    }
    let third = tokio::spawn(client.send_request(get("/")));
    rounds(&mut site.h1().await).await;
    site.state.go.notify_waiters();
    for wait in waits {
        read(wait.await.expect("the task ends").expect("the server answers")).await;
    }
    assert_eq!(read(third.await.expect("the task ends").expect("the server answers")).await.0, 200);
    assert_eq!(paths(site.records(24).await), ["/wait", "/wait", "/"]);
}

#[tokio::test]
async fn a_slow_reader_does_not_make_the_server_hold_the_answer() {
    let site = with(|config| config.max_buffer_bytes = 8192).await;
    let mut stream = site.connect().await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("the server reads");
    read_head(&mut stream).await;
    drop(stream);
    let record = site.records(1).await.remove(0);
    // What the kernel's buffers for loopback take, and no more.
    assert!(record.event.bytes_out < 64 << 20, "{}", record.event.bytes_out);
}
