//! Connects to 127.0.0.1 at port `n` and hangs up; answers `n`, or which step was refused and how.

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

use wasi::sockets::instance_network::instance_network;
use wasi::sockets::network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress};
use wasi::sockets::tcp_create_socket::create_tcp_socket;

fn at(step: &'static str) -> impl Fn(ErrorCode) -> String {
    move |code| format!("{step}: {}", code.name())
}

fn act(n: u32) -> Result<u32, String> {
    let port = u16::try_from(n).map_err(|_| format!("{n} is no port"))?;
    let address = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (127, 0, 0, 1) });
    let socket = create_tcp_socket(IpAddressFamily::Ipv4).map_err(at("create"))?;
    socket.start_connect(&instance_network(), address).map_err(at("connect"))?;
    socket.subscribe().block();
    let _streams = socket.finish_connect().map_err(at("connect"))?;
    Ok(n)
}

doors::doors!(act);
