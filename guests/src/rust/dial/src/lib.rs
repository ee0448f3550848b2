//! Tries what a guest may do with the network, and reports the answer or the error's own name.

wit_bindgen::generate!({ path: "../../../wit", world: "dial-guest", generate_all });

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use exports::watertight::test::dial::Guest;
use wasi::http::types::{ErrorCode as HttpError, Fields, IncomingBody, Method, OutgoingRequest, Scheme};
use wasi::io::streams::{InputStream, StreamError};
use wasi::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
};
use wasi::sockets::tcp::ShutdownType;
use wasi::sockets::udp::OutgoingDatagram;
use wasi::sockets::{instance_network, ip_name_lookup, tcp_create_socket, udp_create_socket};

struct Dial;

fn family(address: IpSocketAddress) -> IpAddressFamily {
    match address {
        IpSocketAddress::Ipv4(_) => IpAddressFamily::Ipv4,
        IpSocketAddress::Ipv6(_) => IpAddressFamily::Ipv6,
    }
}

fn parse(text: &str) -> Result<IpSocketAddress, String> {
    Ok(match text.parse().map_err(|_| format!("{text} is no address"))? {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            let address = (a, b, c, d, e, f, g, h);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port: v6.port(), flow_info: 0, address, scope_id: 0 })
        }
    })
}

fn port(address: IpSocketAddress) -> u16 {
    match address {
        IpSocketAddress::Ipv4(v4) => v4.port,
        IpSocketAddress::Ipv6(v6) => v6.port,
    }
}

fn any(family: IpAddressFamily) -> IpSocketAddress {
    match family {
        IpAddressFamily::Ipv4 => IpSocketAddress::Ipv4(Ipv4SocketAddress { port: 0, address: (0, 0, 0, 0) }),
        IpAddressFamily::Ipv6 => {
            let address = (0, 0, 0, 0, 0, 0, 0, 0);
            IpSocketAddress::Ipv6(Ipv6SocketAddress { port: 0, flow_info: 0, address, scope_id: 0 })
        }
    }
}

fn at(step: &'static str) -> impl Fn(ErrorCode) -> String {
    move |code| format!("{step}: {}", code.name())
}

fn drain(stream: &InputStream) -> Result<String, String> {
    let mut all = Vec::new();
    loop {
        match stream.blocking_read(4096) {
            Ok(part) => all.extend(part),
            Err(StreamError::Closed) => return Ok(String::from_utf8_lossy(&all).into_owned()),
            Err(StreamError::LastOperationFailed(error)) => return Err(format!("read: {}", error.to_debug_string())),
        }
    }
}

impl Guest for Dial {
    fn tcp(address: String, text: String) -> Result<String, String> {
        let address = parse(&address)?;
        let socket = tcp_create_socket::create_tcp_socket(family(address)).map_err(at("create"))?;
        socket.start_connect(&instance_network::instance_network(), address).map_err(at("connect"))?;
        socket.subscribe().block();
        let (input, output) = socket.finish_connect().map_err(at("connect"))?;
        output.blocking_write_and_flush(text.as_bytes()).map_err(|error| format!("write: {error:?}"))?;
        socket.shutdown(ShutdownType::Send).map_err(at("shutdown"))?;
        drain(&input)
    }

    fn tcp_listen(address: String) -> Result<u16, String> {
        let address = parse(&address)?;
        let socket = tcp_create_socket::create_tcp_socket(family(address)).map_err(at("create"))?;
        socket.start_bind(&instance_network::instance_network(), address).map_err(at("bind"))?;
        socket.subscribe().block();
        socket.finish_bind().map_err(at("bind"))?;
        socket.start_listen().map_err(at("listen"))?;
        socket.subscribe().block();
        socket.finish_listen().map_err(at("listen"))?;
        Ok(port(socket.local_address().map_err(at("address"))?))
    }

    fn udp(address: String, text: String) -> Result<String, String> {
        let address = parse(&address)?;
        let socket = udp_create_socket::create_udp_socket(family(address)).map_err(at("create"))?;
        socket.start_bind(&instance_network::instance_network(), any(family(address))).map_err(at("bind"))?;
        socket.subscribe().block();
        socket.finish_bind().map_err(at("bind"))?;
        let (input, output) = socket.stream(Some(address)).map_err(at("stream"))?;
        output.subscribe().block();
        output.check_send().map_err(at("send"))?;
        let datagram = OutgoingDatagram { data: text.into_bytes(), remote_address: None };
        output.send(&[datagram]).map_err(at("send"))?;
        loop {
            if let Some(answer) = input.receive(1).map_err(at("receive"))?.pop() {
                return Ok(String::from_utf8_lossy(&answer.data).into_owned());
            }
            input.subscribe().block();
        }
    }

    fn resolve(name: String) -> Result<Vec<String>, String> {
        let found =
            ip_name_lookup::resolve_addresses(&instance_network::instance_network(), &name).map_err(at("resolve"))?;
        let mut all = Vec::new();
        loop {
            match found.resolve_next_address() {
                Ok(Some(IpAddress::Ipv4((a, b, c, d)))) => all.push(IpAddr::V4(Ipv4Addr::new(a, b, c, d)).to_string()),
                Ok(Some(IpAddress::Ipv6((a, b, c, d, e, f, g, h)))) => {
                    all.push(IpAddr::V6(Ipv6Addr::new(a, b, c, d, e, f, g, h)).to_string());
                }
                Ok(None) => return Ok(all),
                Err(ErrorCode::WouldBlock) => found.subscribe().block(),
                Err(code) => return Err(at("resolve")(code)),
            }
        }
    }

    fn http(url: String) -> Result<(u16, String), String> {
        let (scheme, rest) = match url.split_once("://") {
            Some(("http", rest)) => (Scheme::Http, rest),
            Some(("https", rest)) => (Scheme::Https, rest),
            _ => return Err(format!("{url} is no URL")),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let request = OutgoingRequest::new(Fields::new());
        let set = request.set_method(&Method::Get).is_ok()
            && request.set_scheme(Some(&scheme)).is_ok()
            && request.set_authority(Some(authority)).is_ok()
            && request.set_path_with_query(Some(if path.is_empty() { "/" } else { path })).is_ok();
        if !set {
            return Err(format!("{url} is no URL"));
        }
        let failed = |error: HttpError| format!("http: {error:?}");
        let coming = wasi::http::outgoing_handler::handle(request, None).map_err(failed)?;
        coming.subscribe().block();
        let response = coming.get().expect("it is ready").expect("it is taken once").map_err(failed)?;
        let status = response.status();
        let body: IncomingBody = response.consume().expect("the body is taken once");
        let text = drain(&body.stream().expect("the stream is taken once"))?;
        Ok((status, text))
    }
}

export!(Dial);
