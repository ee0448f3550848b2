//! Makes `n` TCP sockets and keeps them (0: until it is refused); says how far it came.

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

use wasi::sockets::network::IpAddressFamily;
use wasi::sockets::tcp_create_socket::create_tcp_socket;

fn act(n: u32) -> Result<u32, String> {
    let mut kept = Vec::new();
    while n == 0 || kept.len() < n as usize {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => kept.push(socket),
            Err(code) => return Err(format!("{} made, then {}", kept.len(), code.name())),
        }
    }
    Ok(n)
}

doors::doors!(act);
