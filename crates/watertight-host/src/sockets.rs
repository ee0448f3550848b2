//! `grants.tcp`, `grants.udp`, `grants.dns`, `budget.sockets` and `budget.requests`.
//!
//! A guest may always make a socket, within its budget; the grant is asked when an address comes in. What an address is good for:
//!
//! | use                                            | allowed when                                   |
//! |------------------------------------------------|------------------------------------------------|
//! | connect to it, send a datagram to it           | it is granted                                  |
//! | bind it, listen on it                          | it is granted                                  |
//! | bind no address in particular, before another use | always: it reaches nobody                   |
//! | accept a connection from it                    | always, on an address that was granted         |
//! | receive a datagram from it                     | it is granted; else it is dropped, unreported  |
//!
//! A name is looked up when it is granted; an address written as a name needs no lookup and no grant. Refused uses return
//! `access-denied`. A lookup counts as a socket while it lasts: it occupies a thread. Over the budget no socket is made (`new-socket-limit`
//! in WASI 0.2) and no connection is accepted. Each counts as memory, for what is on its way through it: beyond that it is `out-of-memory`.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use parking_lot::Mutex;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{
    WasiCtxBuilder,
    p2::{TcpSocket as TcpSocket2, UdpSocket as UdpSocket2},
    sockets::{SocketAddrUse, TcpSocket as TcpSocket3, UdpSocket as UdpSocket3},
};
use watertight_model::{app::Component, budget::ByteSize, event::Denial, grant::SocketGrant};
use watertight_runtime::{Account, Charge};

use crate::{
    cell::HostCell,
    report::{Reporter, budget_of, list_with, quoted},
};

pub(crate) mod lookup;
mod p2;
mod p3;

/// Lets the guest use sockets, each address as far as it is granted.
pub(crate) fn from_grant(wasi: &mut WasiCtxBuilder, sockets: &Arc<Sockets>) {
    let sockets = Arc::clone(sockets);
    // Names are checked by the functions of this module, which wasmtime-wasi's stand behind.
    wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true);
    wasi.socket_addr_check(move |address, usage| {
        let allowed = sockets.allows(address, usage);
        Box::pin(std::future::ready(allowed))
    });
}

/// Puts the counting and reporting functions over those that [`crate::host`] linked before.
pub(crate) fn link(linker: &mut Linker<HostCell>, p3: bool) -> wasmtime::Result<()> {
    p2::link(linker)?;
    if p3 { p3::link(linker) } else { Ok(()) }
}

/// What a socket counts as memory: a write on its way. What the kernel buffers is the kernel's.
pub(crate) const SOCKET_BYTES: usize = 64 << 10;

/// Why there is no room for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spent {
    Sockets,
    Memory,
}

/// The sockets and outbound requests of one cell.
pub(crate) struct Sockets {
    reporter: Arc<Reporter>,
    account: Arc<Account>,
    /// For the sockets that there are.
    memory: Mutex<Option<Charge>>,
    /// Sockets in the cell's table when they were last counted, and those accepted since.
    in_table: AtomicUsize,
    /// One clone for each outbound request in flight.
    requests: Arc<()>,
    /// One clone for each lookup of a name that has not ended.
    lookups: Arc<()>,
    /// Streams that go on after their socket's handle is gone.
    streams: Mutex<Vec<Weak<()>>>,
}

/// A place for one outbound request, kept until its answer has been read.
#[derive(Debug)]
pub(crate) struct RequestSlot {
    _place: Arc<()>,
}

impl Sockets {
    pub(crate) fn new(reporter: Arc<Reporter>, account: Arc<Account>) -> Arc<Self> {
        Arc::new(Self {
            reporter,
            account,
            memory: Mutex::new(None),
            in_table: AtomicUsize::new(0),
            requests: Arc::new(()),
            lookups: Arc::new(()),
            streams: Mutex::new(Vec::new()),
        })
    }

    /// Counts the sockets that the guest holds handles to.
    pub(crate) fn recount(&self, table: &mut ResourceTable) {
        let sockets = table.iter_mut().filter(|entry| {
            entry.is::<TcpSocket2>() || entry.is::<UdpSocket2>() || entry.is::<TcpSocket3>() || entry.is::<UdpSocket3>()
        });
        self.in_table.store(sockets.count(), Relaxed);
        // One that another cell gave this one may be too much: then nothing is made until there is room again.
        let _ = self.charge(self.count().0 as usize);
    }

    /// Sockets that are open, and requests in flight.
    pub(crate) fn count(&self) -> (u32, u32) {
        let few = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let lookups = Arc::strong_count(&self.lookups) - 1;
        (few(self.in_table.load(Relaxed) + self.open_streams() + lookups), few(Arc::strong_count(&self.requests) - 1))
    }

    fn open_streams(&self) -> usize {
        let mut streams = self.streams.lock();
        streams.retain(|stream| stream.strong_count() > 0);
        streams.len()
    }

    /// Whether one more socket fits; reported when it does not.
    pub(crate) fn room(&self) -> Result<(), Spent> {
        let limit = self.reporter.component().budget.sockets;
        let open = self.count().0;
        if open >= limit {
            self.deny("sockets", limit, format!("hold more than {limit} sockets open"));
            return Err(Spent::Sockets);
        }
        if !self.charge(open as usize + 1) {
            let component = self.reporter.component();
            let memory = component.budget.memory;
            self.reporter.deny(Denial {
                grant: "memory",
                attempt: format!("open a socket, whose buffers do not fit into its {memory} of memory"),
                remedy: budget_of(component, "memory", format!("\"{}\"", ByteSize(memory.0.saturating_mul(2)))),
            });
            return Err(Spent::Memory);
        }
        Ok(())
    }

    /// Counts so many sockets as memory from now on; `false`, and nothing changes, where there is none.
    fn charge(&self, sockets: usize) -> bool {
        let bytes = sockets.saturating_mul(SOCKET_BYTES);
        let mut memory = self.memory.lock();
        match &mut *memory {
            Some(charge) => charge.resize(bytes),
            none => {
                *none = self.account.charge(bytes);
                none.is_some()
            }
        }
    }

    /// A place for one lookup, kept until it ends; reported when the budget is spent.
    pub(crate) fn lookup(&self) -> Result<Arc<()>, Spent> {
        self.room().map(|()| Arc::clone(&self.lookups))
    }

    /// A place for one outbound request; `None`, reported, when the budget is spent.
    pub(crate) fn request(&self) -> Option<RequestSlot> {
        let limit = self.reporter.component().budget.requests;
        if self.count().1 < limit {
            return Some(RequestSlot { _place: Arc::clone(&self.requests) });
        }
        self.deny("requests", limit, format!("have more than {limit} requests in flight"));
        None
    }

    fn deny(&self, grant: &'static str, limit: u32, attempt: String) {
        let remedy = budget_of(self.reporter.component(), grant, limit.saturating_mul(2).max(8));
        self.reporter.deny(Denial { grant, attempt, remedy });
    }

    /// Counts a stream on its own from here on: its socket's handle is gone.
    fn outlives(&self, stream: &Arc<()>) {
        self.streams.lock().push(Arc::downgrade(stream));
    }

    fn allows(&self, address: SocketAddr, usage: SocketAddrUse) -> bool {
        match decide(self.reporter.component(), address, usage) {
            Decision::Allowed => {
                let accepts = matches!(usage, SocketAddrUse::TcpAccept);
                if accepts && self.room().is_err() {
                    return false;
                }
                if accepts {
                    self.in_table.fetch_add(1, Relaxed);
                }
                true
            }
            Decision::Denied(denial) => {
                self.reporter.deny(denial);
                false
            }
            Decision::Dropped => false,
        }
    }

    /// Whether a name may be looked up; reported when not.
    fn allows_name(&self, name: &str) -> bool {
        match decide_name(self.reporter.component(), name) {
            Ok(()) => true,
            Err(denial) => {
                self.reporter.deny(denial);
                false
            }
        }
    }
}

#[derive(Debug, PartialEq)]
enum Decision {
    Allowed,
    Denied(Denial),
    /// Refused without a word: it is somebody else's doing and not the guest's.
    Dropped,
}

fn decide(component: &Component, address: SocketAddr, usage: SocketAddrUse) -> Decision {
    let grants = &component.grants;
    let nowhere = address.ip().is_unspecified() && address.port() == 0;
    let (grant, granted, attempt) = match usage {
        SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if nowhere => return Decision::Allowed,
        SocketAddrUse::TcpAccept => return Decision::Allowed,
        SocketAddrUse::TcpBind => ("tcp", &grants.tcp, "bind"),
        SocketAddrUse::TcpListen => ("tcp", &grants.tcp, "listen on"),
        SocketAddrUse::TcpConnect => ("tcp", &grants.tcp, "connect to"),
        SocketAddrUse::UdpBind => ("udp", &grants.udp, "bind"),
        SocketAddrUse::UdpSend => ("udp", &grants.udp, "send to"),
        SocketAddrUse::UdpReceive => ("udp", &grants.udp, "receive from"),
    };
    if granted.iter().any(|grant| grant.covers(address)) {
        return Decision::Allowed;
    }
    if matches!(usage, SocketAddrUse::UdpReceive) {
        return Decision::Dropped;
    }
    let port = (address.port() != 0).then(|| address.port());
    let wanted = SocketGrant { ip: address.ip(), port }.to_string();
    Decision::Denied(Denial {
        grant,
        attempt: format!("{attempt} {address} over {grant}"),
        remedy: list_with(component, grant, granted, &wanted),
    })
}

fn decide_name(component: &Component, name: &str) -> Result<(), Denial> {
    let granted = &component.grants.dns;
    let literal = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok();
    if literal || granted.iter().any(|grant| grant.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(Denial {
        grant: "dns",
        attempt: format!("look up {}", quoted(name)),
        remedy: list_with(component, "dns", granted, name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Recorder, app};
    use watertight_model::app::ComponentId;

    fn grant(text: &str) -> SocketGrant {
        let (ip, port) = text.rsplit_once(':').expect("an address and a port");
        SocketGrant { ip: ip.trim_matches(['[', ']']).parse().expect("an address"), port: port.parse().ok() }
    }

    #[test]
    fn an_address_is_good_for_what_it_is_granted_for() {
        use SocketAddrUse as U;
        let app = app(|component| {
            component.grants.tcp = vec![grant("127.0.0.1:5432"), grant("10.0.0.1:*"), grant("[::1]:80")];
            component.grants.udp = vec![grant("127.0.0.1:53")];
        });
        for (address, usage, allowed) in [
            ("127.0.0.1:5432", U::TcpConnect, true),
            ("127.0.0.1:5433", U::TcpConnect, false),
            ("127.0.0.2:5432", U::TcpConnect, false),
            ("10.0.0.1:1", U::TcpConnect, true),
            ("10.0.0.1:65535", U::TcpListen, true),
            ("[::1]:80", U::TcpConnect, true),
            ("[::1]:81", U::TcpConnect, false),
            ("127.0.0.1:5432", U::TcpBind, true),
            ("127.0.0.1:0", U::TcpBind, false),
            ("10.0.0.1:0", U::TcpBind, true),
            ("0.0.0.0:0", U::TcpBind, true),
            ("[::]:0", U::TcpBind, true),
            ("0.0.0.0:8080", U::TcpBind, false),
            ("0.0.0.0:40000", U::TcpListen, false),
            ("203.0.113.9:999", U::TcpAccept, true),
            ("127.0.0.1:53", U::TcpConnect, false),
            ("127.0.0.1:53", U::UdpSend, true),
            ("127.0.0.1:53", U::UdpReceive, true),
            ("127.0.0.1:54", U::UdpSend, false),
            ("127.0.0.1:54", U::UdpReceive, false),
            ("127.0.0.1:53", U::UdpBind, true),
            ("0.0.0.0:0", U::UdpBind, true),
            ("0.0.0.0:53", U::UdpBind, false),
            ("127.0.0.1:5432", U::UdpSend, false),
        ] {
            let parsed = address.parse().expect("an address");
            let decision = decide(&app.components[0], parsed, usage);
            assert_eq!(decision == Decision::Allowed, allowed, "{usage:?} {address}: {decision:?}");
        }
    }

    #[test]
    fn without_grants_no_address_is_good_for_anything() {
        use SocketAddrUse as U;
        let app = app(|_| {});
        for usage in [U::TcpBind, U::TcpListen, U::TcpConnect, U::UdpBind, U::UdpSend, U::UdpReceive] {
            let address = "127.0.0.1:1".parse().expect("an address");
            assert_ne!(decide(&app.components[0], address, usage), Decision::Allowed, "{usage:?}");
        }
    }

    #[test]
    fn a_refused_address_names_the_line_that_allows_it() {
        let app = app(|component| component.grants.tcp = vec![grant("127.0.0.1:5432")]);
        let address = "[::1]:22".parse().expect("an address");
        assert_eq!(
            decide(&app.components[0], address, SocketAddrUse::TcpConnect),
            Decision::Denied(Denial {
                grant: "tcp",
                attempt: "connect to [::1]:22 over tcp".into(),
                remedy: r#"component.web.grants.tcp = ["127.0.0.1:5432", "[::1]:22"]"#.into(),
            })
        );
    }

    #[test]
    fn only_granted_names_are_looked_up() {
        let app = app(|component| component.grants.dns = vec!["db.internal".into()]);
        for (name, allowed) in [
            ("db.internal", true),
            ("DB.Internal", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("[::1]", true),
            ("db.internal.", false),
            ("xdb.internal", false),
            ("db.internal.evil.test", false),
            ("db%2einternal", false),
            ("", false),
        ] {
            assert_eq!(decide_name(&app.components[0], name).is_ok(), allowed, "{name}");
        }
        let denial = decide_name(&app.components[0], "evil.test").expect_err("not granted");
        assert_eq!(denial.remedy, r#"component.web.grants.dns = ["db.internal", "evil.test"]"#);
    }

    #[test]
    fn sockets_and_streams_share_one_budget_and_requests_have_their_own() {
        let recorder = Arc::new(Recorder::default());
        let limits = app(|component| (component.budget.sockets, component.budget.requests) = (2, 1));
        let reporter = Reporter::new(limits, ComponentId(0), recorder.clone());
        let account = Account::new(reporter.component());
        let sockets = Sockets::new(reporter, account);
        let peer = "203.0.113.9:999".parse().expect("an address");

        let stream = Arc::new(());
        sockets.outlives(&stream);
        let request = sockets.request().expect("nothing is in flight");
        assert!(sockets.allows(peer, SocketAddrUse::TcpAccept), "one of two is taken");
        assert!(!sockets.allows(peer, SocketAddrUse::TcpAccept), "two of two are taken");
        assert!(sockets.request().is_none(), "one of one is in flight");
        assert_eq!(sockets.count(), (2, 1));
        assert_eq!(recorder.remedies(), ["component.web.budget.sockets = 8", "component.web.budget.requests = 8"]);

        drop(stream);
        assert!(sockets.allows(peer, SocketAddrUse::TcpAccept), "the stream is gone");
        drop(request);
        assert!(sockets.request().is_some(), "the request is gone");
        sockets.recount(&mut ResourceTable::new());
        assert_eq!(sockets.count(), (0, 0), "the accepted sockets are gone too");
    }

    #[test]
    fn sockets_and_lookups_count_as_memory_until_they_are_gone() {
        let recorder = Arc::new(Recorder::default());
        let limits = app(|component| component.budget.memory = ByteSize(3 * SOCKET_BYTES as u64));
        let reporter = Reporter::new(limits, ComponentId(0), recorder.clone());
        let account = Account::new(reporter.component());
        let sockets = Sockets::new(reporter, Arc::clone(&account));
        let stream = Arc::new(());
        sockets.outlives(&stream);
        let lookups: Vec<_> = std::iter::from_fn(|| sockets.lookup().ok()).collect();
        assert_eq!((lookups.len(), account.usage().memory_bytes), (2, 3 * SOCKET_BYTES as u64));
        assert_eq!(sockets.room(), Err(Spent::Memory));
        assert_eq!(recorder.remedies(), ["component.web.budget.memory = \"384KiB\""]);
        drop((lookups, stream));
        sockets.recount(&mut ResourceTable::new());
        assert_eq!(account.usage().memory_bytes, 0);
        drop(sockets);
        assert_eq!(account.usage().memory_bytes, 0, "nothing is given back twice");
    }
}
