//! A client that keeps one connection.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, request::Builder};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, runtime::Runtime};

pub(crate) struct Client {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    address: SocketAddr,
}

impl Client {
    pub(crate) fn new(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("the server listens");
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender, address }
    }

    /// One exchange.
    pub(crate) fn send(&mut self, request: Builder, body: impl Into<Bytes>) -> Response<Bytes> {
        let request = request.header("host", self.address.to_string()).body(Full::new(body.into()));
        let sent = self.sender.send_request(request.expect("the request is sound"));
        self.runtime.block_on(async {
            let (head, body) = sent.await.expect("the server answers").into_parts();
            Response::from_parts(head, body.collect().await.expect("the answer is whole").to_bytes())
        })
    }

    /// The status and text of one path.
    pub(crate) fn get(&mut self, path: &str) -> (u16, String) {
        let answer = self.send(Request::get(path), Bytes::new());
        (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
    }
}
