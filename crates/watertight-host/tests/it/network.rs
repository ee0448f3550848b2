//! TCP, UDP, names and outbound HTTP, over loopback.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, UdpSocket},
};
use watertight_model::{
    app::Component,
    grant::{HttpGrant, HttpScheme, SocketGrant},
};

use crate::app::{Bench, Plan};

const DIAL: &str = "watertight:test/dial";

type Text = Result<String, String>;

fn grant(address: SocketAddr) -> SocketGrant {
    SocketGrant { ip: address.ip(), port: Some(address.port()) }
}

fn dial(change: impl FnOnce(&mut Component)) -> Bench {
    Plan::of("dial", change).start()
}

/// Answers one connection with what it said, turned round.
async fn echo_once(listener: TcpListener) {
    let (mut stream, _) = listener.accept().await.expect("somebody connects");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("text");
    stream.write_all(text.chars().rev().collect::<String>().as_bytes()).await.expect("it is open");
}

#[tokio::test]
async fn tcp_goes_to_granted_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let bench = dial(|component| component.grants.tcp = vec![grant(address)]);
    let server = tokio::spawn(echo_once(listener));
    let (answer,) =
        bench.call::<_, (Text,)>(DIAL, "tcp", (address.to_string(), "abc".to_owned())).await.expect("it returns");
    assert_eq!(answer, Ok("cba".into()));
    server.await.expect("it served");
    assert_eq!(bench.events.remedies(), [""; 0]);
}

#[tokio::test]
async fn tcp_goes_nowhere_else() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let bench = dial(|_| {});
    let (answer,) =
        bench.call::<_, (Text,)>(DIAL, "tcp", (address.to_string(), "abc".to_owned())).await.expect("it returns");
    assert_eq!(answer, Err("connect: access-denied".into()));
    assert_eq!(bench.events.remedies(), [format!("component.web.grants.tcp = [\"{address}\"]")]);
    assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none(), "nobody connected");
}

#[tokio::test]
async fn a_guest_listens_where_it_is_granted() {
    let bench = dial(|component| component.grants.tcp = vec![SocketGrant { ip: [127, 0, 0, 1].into(), port: None }]);
    let listen = |address: &'static str| {
        let bench = &bench;
        async move {
            bench
                .call::<_, (Result<u16, String>,)>(DIAL, "tcp-listen", (address.to_owned(),))
                .await
                .expect("it returns")
                .0
        }
    };
    assert!(listen("127.0.0.1:0").await.is_ok_and(|port| port != 0));
    assert_eq!(listen("127.0.0.2:0").await, Err("bind: access-denied".into()));
    assert_eq!(listen("0.0.0.0:0").await, Err("listen: access-denied".into()));
    let remedies = bench.events.remedies();
    assert_eq!(remedies[0], r#"component.web.grants.tcp = ["127.0.0.1:*", "127.0.0.2:*"]"#);
}

#[tokio::test]
async fn udp_goes_to_granted_addresses_only() {
    let server = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = server.local_addr().expect("it is bound");
    let serving = tokio::spawn(async move {
        let mut datagram = [0; 16];
        let (len, peer) = server.recv_from(&mut datagram).await.expect("somebody sends");
        server.send_to(&datagram[..len], peer).await.expect("it is there");
    });
    let text = || (address.to_string(), "ping".to_owned());

    let denied = dial(|_| {});
    let (answer,) = denied.call::<_, (Text,)>(DIAL, "udp", text()).await.expect("it returns");
    assert_eq!(answer, Err("stream: access-denied".into()));
    assert_eq!(denied.events.remedies(), [format!("component.web.grants.udp = [\"{address}\"]")]);

    let granted = dial(|component| component.grants.udp = vec![grant(address)]);
    let (answer,) = granted.call::<_, (Text,)>(DIAL, "udp", text()).await.expect("it returns");
    assert_eq!(answer, Ok("ping".into()));
    serving.await.expect("it served");
}

#[tokio::test]
async fn only_granted_names_are_looked_up() {
    let bench = dial(|component| component.grants.dns = vec!["localhost".into()]);
    let resolve = |name: &'static str| {
        let bench = &bench;
        async move {
            bench
                .call::<_, (Result<Vec<String>, String>,)>(DIAL, "resolve", (name.to_owned(),))
                .await
                .expect("it returns")
                .0
        }
    };
    assert!(resolve("localhost").await.is_ok_and(|found| !found.is_empty()));
    assert_eq!(resolve("192.0.2.1").await, Ok(vec!["192.0.2.1".into()]), "an address is no name");
    assert_eq!(resolve("example.com").await, Err("resolve: access-denied".into()));
    assert_eq!(bench.events.remedies(), [r#"component.web.grants.dns = ["localhost", "example.com"]"#]);
}

#[tokio::test]
async fn http_goes_to_granted_origins_only() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let url = || (format!("http://{address}/"),);

    let denied = dial(|_| {});
    let (answer,) = denied.call::<_, (Result<(u16, String), String>,)>(DIAL, "http", url()).await.expect("it returns");
    assert_eq!(answer, Err("http: ErrorCode::HttpRequestDenied".into()));
    assert_eq!(denied.events.remedies(), [format!("component.web.grants.http = [\"http://{address}\"]")]);

    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("somebody connects");
        let mut head = [0; 1024];
        let read = stream.read(&mut head).await.expect("a request");
        assert!(read > 0, "it sends a request");
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        stream.write_all(answer).await.expect("it is open");
    });
    let granted = dial(|component| {
        let grant = HttpGrant { scheme: HttpScheme::Http, host: "127.0.0.1".into(), port: address.port() };
        component.grants.http = vec![grant];
    });
    let (answer,) = granted.call::<_, (Result<(u16, String), String>,)>(DIAL, "http", url()).await.expect("it returns");
    assert_eq!(answer, Ok((200, "hello".into())));
    serving.await.expect("it served");
}

#[tokio::test]
async fn requests_are_counted() {
    let bench = dial(|component| {
        let grant = HttpGrant { scheme: HttpScheme::Http, host: "127.0.0.1".into(), port: 1 };
        component.grants.http = vec![grant];
        component.budget.requests = 0;
    });
    let url = ("http://127.0.0.1:1/".to_owned(),);
    let (answer,) = bench.call::<_, (Result<(u16, String), String>,)>(DIAL, "http", url).await.expect("it returns");
    assert_eq!(answer, Err("http: ErrorCode::ConnectionLimitReached".into()));
    assert_eq!(bench.events.remedies(), ["component.web.budget.requests = 8"]);
}

#[tokio::test]
async fn sockets_are_counted() {
    let bench = Plan::of("open-sockets", |component| component.budget.sockets = 3).start();
    let made = |n: u32| {
        let bench = &bench;
        async move {
            bench.call::<_, (Result<u32, String>,)>("watertight:test/behave", "run", (n,)).await.expect("it returns").0
        }
    };
    assert_eq!(made(3).await, Ok(3));
    assert_eq!(made(0).await, Err("3 made, then new-socket-limit".into()));
    assert_eq!(bench.events.remedies(), ["component.web.budget.sockets = 8"]);
}
