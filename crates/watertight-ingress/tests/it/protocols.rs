//! HTTP/1.1, HTTP/2 in the clear, and both over TLS; what is malformed; what a failing handler looks like.

use std::sync::Arc;

use http::{Method, Version};
use http_body_util::BodyExt;
use hyper::client::conn;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;
use watertight_ingress::{HttpConfig, Refusal, TlsConfig};
use watertight_model::failure::FailureKind;

use crate::site::{Site, get, h2_over, post, read, read_head};

#[tokio::test]
async fn one_connection_serves_many_requests() {
    let site = Site::start(HttpConfig::default()).await;
    let mut client = site.h1().await;
    for _ in 0..3 {
        let response = client.send_request(get("/")).await.expect("the server answers");
        assert_eq!(response.version(), Version::HTTP_11);
        assert_eq!(read(response).await, (200, "hello".into()));
    }
}

#[tokio::test]
async fn http2_without_tls_is_recognized_by_its_first_bytes() {
    let site = Site::start(HttpConfig::default()).await;
    let mut client = site.h2().await;
    let answers = (0..10).map(|_| client.send_request(get("/head"))).collect::<Vec<_>>();
    for answer in answers {
        let response = answer.await.expect("the server answers");
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(read(response).await, (200, "http http://site.test/head Some(\"site.test\") 0".into()));
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_at_once() {
    let site = Site::start(HttpConfig::default()).await;
    let mut stream = site.connect().await;
    stream
        .write_all(b"POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nping\r\n")
        .await
        .expect("the server reads");
    let mut seen = read_head(&mut stream).await;
    while !seen.contains("ping") {
        seen.push_str(&String::from_utf8_lossy(&read_some(&mut stream).await));
    }
    stream.write_all(b"4\r\npong\r\n0\r\n\r\n").await.expect("the server still reads");
    while !seen.contains("0\r\n\r\n") {
        seen.push_str(&String::from_utf8_lossy(&read_some(&mut stream).await));
    }
    assert!(seen.contains("pong"), "{seen}");
}

async fn read_some(stream: &mut tokio::net::TcpStream) -> Vec<u8> {
    use tokio::io::AsyncReadExt;
    let mut chunk = Vec::with_capacity(4096);
    assert_ne!(stream.read_buf(&mut chunk).await.expect("the server writes"), 0, "closed too early");
    chunk
}

#[tokio::test]
async fn large_bodies_arrive_whole_on_both_protocols() {
    let site = Site::start(HttpConfig::default()).await;
    let body = vec![7; 3 << 20];
    let h1 = site.h1().await.send_request(post("/echo", body.clone())).await.expect("the server answers");
    assert_eq!(read(h1).await, (200, body.clone().into()));
    let h2 = site.h2().await.send_request(post("/echo", body.clone())).await.expect("the server answers");
    assert_eq!(read(h2).await, (200, body.into()));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let site = Site::start(HttpConfig::default()).await;
    let answer = site
        .raw(
            b"POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\n\r\nabc\
              GET / HTTP/1.1\r\nhost: a\r\n\r\n\
              GET /empty HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        )
        .await;
    let order = ["3 bytes", "hello", "204 No Content"].map(|part| answer.find(part).expect("each is answered"));
    assert!(order.is_sorted(), "{answer}");
}

#[tokio::test]
async fn tls_offers_both_protocols() {
    let folder = tempfile::tempdir().expect("the temporary folder is writable");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
    let (cert, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert, made.cert.pem()).expect("the temporary folder is writable");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("the temporary folder is writable");
    let tls = TlsConfig::load(&cert, &key).expect("the files belong together");
    let site = Site::start_with(HttpConfig::default(), Some(&tls)).await;

    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&cert).expect("it was just written")).expect("a certificate is a root");
    for (alpn, version) in [(&b"h2"[..], Version::HTTP_2), (b"http/1.1", Version::HTTP_11), (b"", Version::HTTP_11)] {
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring has the cipher suites")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = if alpn.is_empty() { Vec::new() } else { vec![alpn.to_vec()] };
        let name = ServerName::try_from("localhost").expect("a valid name");
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, site.connect().await)
            .await
            .expect("the handshake works");
        let response = if version == Version::HTTP_2 {
            h2_over(stream).await.send_request(get("/head")).await
        } else {
            let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1 begins");
            tokio::spawn(connection);
            sender.send_request(get("/head")).await
        };
        let response = response.expect("the server answers");
        assert_eq!(response.version(), version);
        let (status, body) = read(response).await;
        assert_eq!(status, 200);
        assert!(body.starts_with(b"https "), "the handler knows that the client came over TLS");
    }

    let answer = site.raw(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1 200"), "a TLS server never answers in the clear");
    let mut silent = site.connect().await;
    silent.shutdown().await.expect("half of it closes");
    let mut again = site.connect().await;
    again.write_all(&[0x16, 3, 1]).await.expect("the server reads");
}

#[tokio::test]
async fn malformed_requests_are_answered_with_400_and_never_handled() {
    let cases: [(&str, &[u8]); 6] = [
        ("not HTTP", b"hello there\r\n\r\n"),
        ("no host", b"GET / HTTP/1.1\r\n\r\n"),
        ("two hosts", b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
        ("a length that is none", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n"),
        ("two lengths", b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx"),
        ("a bad header name", b"GET / HTTP/1.1\r\nhost: a\r\nb@d : x\r\n\r\n"),
    ];
    for (what, bytes) in cases {
        let site = Site::start(HttpConfig::default()).await;
        let mut stream = site.connect().await;
        stream.write_all(bytes).await.expect("the server reads");
        let answer = read_head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
    }
}

#[tokio::test]
async fn http_1_0_without_a_host_gets_the_address_it_dialled() {
    let site = Site::start(HttpConfig::default()).await;
    let answer = site.raw(b"GET /head HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    assert!(answer.contains(&format!("Some(\"{}\")", site.address)), "{answer}");
}

#[tokio::test]
async fn connect_is_not_passed_on() {
    let site = Site::start(HttpConfig::default()).await;
    let mut stream = site.connect().await;
    stream.write_all(b"CONNECT a.test:443 HTTP/1.1\r\nhost: a.test\r\n\r\n").await.expect("the server reads");
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 501 "));
}

#[tokio::test]
async fn a_head_request_has_the_length_but_not_the_body() {
    let site = Site::start(HttpConfig::default()).await;
    let mut request = get("/");
    *request.method_mut() = Method::HEAD;
    let response = site.h1().await.send_request(request).await.expect("the server answers");
    assert_eq!(response.headers()["content-length"], "5");
    assert_eq!(read(response).await, (200, "".into()));
    assert!(site.records(1).await[0].complete);
}

#[tokio::test]
async fn each_failure_is_a_status_and_the_connection_goes_on() {
    let site = Site::start(HttpConfig::default()).await;
    let mut client = site.h1().await;
    for kind in FailureKind::ALL {
        let expected = Refusal::from(kind).answer().0;
        let response = client.send_request(get(&format!("/fail/{kind}"))).await.expect("the server answers");
        assert_eq!(response.headers().contains_key("retry-after"), expected == 503, "{kind}");
        let (status, body) = read(response).await;
        assert_eq!(status, expected.as_u16(), "{kind}");
        assert!(!body.windows(kind.name().len()).any(|part| part == kind.name().as_bytes()), "no internals: {body:?}");
    }
}

#[tokio::test]
async fn an_answer_without_a_final_status_is_a_failure() {
    let site = Site::start(HttpConfig::default()).await;
    let response = site.h1().await.send_request(get("/switch")).await.expect("the server answers");
    assert_eq!(response.status(), 500);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_taken_for_a_whole_one() {
    let site = Site::start(HttpConfig::default()).await;
    // What had not left the buffer when the body failed is not sent: the client may see no head at all.
    let h1 = site.h1().await.send_request(get("/broken")).await;
    let h2 = site.h2().await.send_request(get("/broken")).await;
    for answer in [h1, h2].into_iter().flatten() {
        assert!(answer.into_body().collect().await.is_err());
    }
    assert!(site.records(2).await.iter().all(|record| !record.complete));
}

#[tokio::test]
async fn a_panic_costs_one_connection_and_nothing_else() {
    let site = Site::start(HttpConfig::default()).await;
    let mut other = site.h1().await;
    assert!(site.h1().await.send_request(get("/panic")).await.is_err());
    assert_eq!(read(other.send_request(get("/")).await.expect("the server lives")).await.0, 200);
}
