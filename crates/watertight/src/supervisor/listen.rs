//! Listening sockets: one per worker on one address, so that the kernel spreads connections and no worker's end
//! closes the port.
//!
//! The first socket is bound alone, so that a port that another program uses is an error even where that program would
//! share it; only then is it opened to the others.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt},
};

/// Connections that the kernel may hold for one worker; the system's `net.core.somaxconn` may allow fewer.
const BACKLOG: i32 = 4096;

/// The sockets of one address.
#[derive(Debug)]
pub struct Listeners {
    address: SocketAddr,
    sockets: Vec<Option<TcpListener>>,
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The text is not an address.
    #[error("\"{text}\" is not an address to listen on: write IP:PORT, as in 127.0.0.1:8080, 0.0.0.0:80 or [::]:80")]
    BadAddress {
        /// What was given.
        text: String,
    },
    /// Something else has the port.
    #[error(
        "cannot listen on {0}: the address is in use; stop what uses it (ss -ltnp shows it) or choose another port"
    )]
    Taken(SocketAddr),
    /// The port needs rights that this process lacks.
    #[error(
        "cannot listen on {0}: no permission; ports below 1024 need root or CAP_NET_BIND_SERVICE, so choose a higher one, as 8080"
    )]
    Forbidden(SocketAddr),
    /// No interface of this machine has the address.
    #[error(
        "cannot listen on {0}: no network interface of this machine has that address; 0.0.0.0 or [::] listens on all"
    )]
    NotOurs(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {address}: {source}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

/// Reads `IP:PORT` or `localhost:PORT`.
///
/// # Errors
/// With the forms that are understood.
pub fn parse_address(text: &str) -> Result<SocketAddr, ListenError> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    numeric.parse().map_err(|_| ListenError::BadAddress { text: text.to_owned() })
}

impl Listeners {
    /// Binds `count` sockets (at least one) to one address. With port 0, the first one chooses the port.
    ///
    /// # Errors
    /// Why the address cannot be had.
    pub fn bind(address: SocketAddr, count: usize) -> Result<Self, ListenError> {
        let first = open(address, Sharing::AfterBind).map_err(|errno| ListenError::new(address, errno))?;
        let address = first.local_addr().map_err(|source| ListenError::Other { address, source })?;
        let mut listeners = Self { address, sockets: vec![Some(first)] };
        for slot in 1..count {
            listeners.sockets.push(None);
            listeners.ensure_open(slot)?;
        }
        Ok(listeners)
    }

    /// The address, with the port that was chosen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of sockets, open or closed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sockets.len()
    }

    /// The first socket alone, for serving in this process.
    #[must_use]
    pub fn into_first(self) -> Option<TcpListener> {
        self.sockets.into_iter().next().flatten()
    }

    /// The socket of one worker, bound anew if it was closed.
    pub(super) fn ensure_open(&mut self, slot: usize) -> Result<&TcpListener, ListenError> {
        let address = self.address;
        let socket = &mut self.sockets[slot];
        match socket {
            Some(socket) => Ok(socket),
            None => {
                let opened = open(address, Sharing::AtBind).map_err(|errno| ListenError::new(address, errno))?;
                Ok(socket.insert(opened))
            }
        }
    }

    /// Closes the socket of one worker: what queued on it is reset unless the worker holds it too.
    pub(super) fn close(&mut self, slot: usize) {
        self.sockets[slot] = None;
    }
}

/// When a socket is opened to others on the same address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    /// Joins sockets that are there: fails where nobody shares.
    AtBind,
    /// Fails where anybody has the address, then lets others join.
    AfterBind,
}

fn open(address: SocketAddr, sharing: Sharing) -> Result<TcpListener, Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    // A restart must not wait for the last connections of the process before it.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    sockopt::set_socket_reuseport(&socket, sharing == Sharing::AtBind)?;
    bind(&socket, &address)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

impl ListenError {
    fn new(address: SocketAddr, errno: Errno) -> Self {
        match errno {
            Errno::ADDRINUSE => Self::Taken(address),
            Errno::ACCESS | Errno::PERM => Self::Forbidden(address),
            Errno::ADDRNOTAVAIL => Self::NotOurs(address),
            errno => Self::Other { address, source: errno.into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpStream, time::Duration};

    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn sockets_share_the_port_that_the_first_one_chose() {
        let listeners = Listeners::bind(loopback(), 3).expect("loopback has a free port");
        assert_ne!(listeners.address().port(), 0);
        for socket in listeners.sockets.iter().flatten() {
            assert_eq!(socket.local_addr().expect("it is bound"), listeners.address());
        }
        assert_eq!(listeners.count(), 3);
    }

    #[test]
    fn a_port_that_others_listen_on_is_taken_even_if_they_would_share_it() {
        let ours = Listeners::bind(loopback(), 2).expect("loopback has a free port");
        let error = Listeners::bind(ours.address(), 2).expect_err("it is in use");
        assert!(matches!(error, ListenError::Taken(_)), "{error}");
        let plain = TcpListener::bind(loopback()).expect("loopback has a free port");
        let error = Listeners::bind(plain.local_addr().expect("it is bound"), 1).expect_err("it is in use");
        assert!(error.to_string().contains("the address is in use"), "{error}");
    }

    #[test]
    fn a_closed_socket_takes_no_connections_and_can_be_opened_again() {
        let mut listeners = Listeners::bind(loopback(), 2).expect("loopback has a free port");
        listeners.close(0);
        for _ in 0..20 {
            TcpStream::connect_timeout(&listeners.address(), Duration::from_secs(5)).expect("the other is open");
        }
        let mut taken = 0;
        while listeners.sockets[1].as_ref().expect("it is open").accept().is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 20);
        listeners.ensure_open(0).expect("the address is still ours");
    }

    #[test]
    fn each_refusal_names_the_address_and_the_next_step() {
        let cases = [
            ("80", "is not an address"),
            ("example.com:80", "write IP:PORT"),
            ("127.0.0.1", "write IP:PORT"),
            ("127.0.0.1:99999", "write IP:PORT"),
        ];
        for (text, part) in cases {
            let error = parse_address(text).expect_err("it is not an address").to_string();
            assert!(error.contains(part) && error.contains(text), "{error}");
        }
        // TEST-NET-3 belongs to nobody.
        let foreign = SocketAddr::from(([203, 0, 113, 1], 0));
        let error = Listeners::bind(foreign, 1).expect_err("not our address").to_string();
        assert!(error.contains("no network interface"), "{error}");
        let forbidden = ListenError::new(SocketAddr::from(([0, 0, 0, 0], 80)), Errno::ACCESS).to_string();
        assert!(forbidden.contains("ports below 1024"), "{forbidden}");
    }

    #[test]
    fn addresses_are_read_with_localhost_as_a_name() {
        for (text, address) in
            [("localhost:3000", "127.0.0.1:3000"), ("[::]:80", "[::]:80"), ("0.0.0.0:1", "0.0.0.0:1")]
        {
            assert_eq!(parse_address(text).expect("an address").to_string(), address);
        }
    }
}
