//! HTTP clients: one connection each, in the protocol that the test wants.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// A request on its way: the connection is open, and the request was sent.
pub(crate) type Answer = Result<(u16, String), hyper::Error>;

/// One request over HTTP/1.1.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    over_http1(stream, address, path, None).await
}

/// One request over HTTP/1.1 that brings something.
pub(crate) async fn post(address: SocketAddr, path: &str, body: String) -> Answer {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    over_http1(stream, address, path, Some(body)).await
}

/// Calls a function of a route: the status, and the answer in JSON.
pub(crate) async fn call(address: SocketAddr, path: &str, arguments: &str) -> (u16, serde_json::Value) {
    let request = Request::post(path).header("content-type", "application/json").body(arguments.to_owned());
    let answer = send(address, request.expect("the request is sound")).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body = serde_json::from_slice(answer.body()).unwrap_or_else(|error| panic!("{path}: {error}: {answer:?}"));
    (answer.status().as_u16(), body)
}

/// Any request over HTTP/1.1.
pub(crate) async fn send(address: SocketAddr, mut request: Request<String>) -> http::Response<Bytes> {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    request.headers_mut().insert("host", address.to_string().try_into().expect("it is a header"));
    let (head, body) = sender.send_request(request).await.expect("the server answers").into_parts();
    http::Response::from_parts(head, body.collect().await.expect("the answer is whole").to_bytes())
}

/// One request over HTTP/2 with prior knowledge.
pub(crate) async fn get_http2(address: SocketAddr, path: &str) -> Answer {
    let stream = TcpStream::connect(address).await.expect("the server listens");
    over_http2(stream, address, path).await
}

/// One request over TLS, in the protocol that both sides agree on, from a client that trusts only `certificate`.
pub(crate) async fn get_tls(
    address: SocketAddr,
    path: &str,
    certificate: CertificateDer<'static>,
    protocol: &str,
) -> Answer {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("the certificate is sound");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has what TLS needs")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let stream = TcpStream::connect(address).await.expect("the server listens");
    let name = ServerName::try_from("localhost").expect("it is a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("the server is trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol.as_bytes()));
    match protocol {
        "h2" => over_http2(stream, address, path).await,
        _ => over_http1(stream, address, path, None).await,
    }
}

async fn over_http1(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: SocketAddr,
    path: &str,
    body: Option<String>,
) -> Answer {
    let (mut sender, connection) = conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let request = Request::builder().method(method).uri(path).header("host", address.to_string());
    let request = request.body(Full::<Bytes>::from(body.unwrap_or_default()));
    read(sender.send_request(request.expect("the request is sound")).await?, Version::HTTP_11).await
}

async fn over_http2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    address: SocketAddr,
    path: &str,
) -> Answer {
    let (mut sender, connection) = conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::get(format!("http://{address}{path}")).body(Full::<Bytes>::default());
    read(sender.send_request(request.expect("the request is sound")).await?, Version::HTTP_2).await
}

async fn read(response: http::Response<hyper::body::Incoming>, version: Version) -> Answer {
    assert_eq!(response.version(), version);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// One request over HTTP/1.1, and the whole answer as it came: status line, headers, body.
pub(crate) async fn get_raw(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the server answers");
    String::from_utf8_lossy(&answer).into_owned()
}
