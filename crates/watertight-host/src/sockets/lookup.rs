//! Lookups of names. One that nobody waits for any more goes on in its thread, and keeps its places until it ends: in the cell's budget of
//! sockets, and among all lookups of the process, which cells that are gone cannot crowd out either.

use std::{
    future::Future as _,
    net::{IpAddr, Ipv6Addr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    vec,
};

use tokio::{sync::Semaphore, task::spawn_blocking};
use wasmtime_wasi::{
    async_trait,
    p2::Pollable,
    runtime::{AbortOnDropJoinHandle, spawn},
};

/// Lookups at once, of all cells: each occupies one of the threads that wait for disks, too. Further ones wait.
const MAX_LOOKUPS: usize = 64;

static PLACES: Semaphore = Semaphore::const_new(MAX_LOOKUPS);

/// Why there are no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// It is no name.
    Invalid,
    /// It has no address, or nobody answers.
    Unresolvable,
}

/// The addresses of a name.
pub(super) async fn lookup(name: String, place: Arc<()>) -> Result<Vec<IpAddr>, Failed> {
    let domain = match url::Host::parse(&name) {
        Ok(url::Host::Domain(domain)) => domain,
        Ok(url::Host::Ipv4(address)) => return Ok(vec![address.into()]),
        Ok(url::Host::Ipv6(address)) => return Ok(vec![address.into()]),
        // It knows these in brackets only.
        Err(_) => return name.parse::<Ipv6Addr>().map(|address| vec![address.into()]).map_err(|_| Failed::Invalid),
    };
    let permit = PLACES.acquire().await.map_err(|_| Failed::Unresolvable)?;
    let task = spawn_blocking(move || {
        let _places = (permit, place);
        (domain.as_str(), 0).to_socket_addrs().map(|found| found.map(|address| address.ip().to_canonical()).collect())
    });
    match task.await {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(_)) | Err(_) => Err(Failed::Unresolvable),
    }
}

/// What a guest of WASI 0.2 holds a `resolve-address-stream` of.
pub(crate) struct Lookup(State);

enum State {
    Waiting(AbortOnDropJoinHandle<Result<Vec<IpAddr>, Failed>>),
    Done(Result<vec::IntoIter<IpAddr>, Failed>),
}

impl Lookup {
    pub(super) fn begin(name: String, place: Arc<()>) -> Self {
        Self(State::Waiting(spawn(lookup(name, place))))
    }

    /// The next address; pending while there is no answer.
    pub(super) fn next(&mut self) -> Poll<Result<Option<IpAddr>, Failed>> {
        if self.poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(match &mut self.0 {
            State::Done(Ok(addresses)) => Ok(addresses.next()),
            State::Done(Err(failed)) => Err(*failed),
            State::Waiting(_) => return Poll::Pending,
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let State::Waiting(task) = &mut self.0 {
            let answer = std::task::ready!(Pin::new(task).poll(cx));
            self.0 = State::Done(answer.map(Vec::into_iter));
        }
        Poll::Ready(())
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_need_no_lookup_and_names_get_theirs() {
        let place = Arc::new(());
        for (name, found) in [
            ("127.0.0.1", Ok("127.0.0.1")),
            ("[::1]", Ok("::1")),
            ("::1", Ok("::1")),
            ("localhost", Ok("127.0.0.1")),
            ("no name", Err(Failed::Invalid)),
            ("", Err(Failed::Invalid)),
        ] {
            let answer = lookup(name.to_owned(), Arc::clone(&place)).await;
            let expected = found.map(|address| address.parse::<IpAddr>().expect("an address"));
            match expected {
                Ok(address) => assert!(answer.is_ok_and(|answer| answer.contains(&address)), "{name}"),
                Err(failed) => assert_eq!(answer, Err(failed), "{name}"),
            }
        }
    }

    #[tokio::test]
    async fn a_lookup_that_was_dropped_keeps_its_place_until_it_ends() {
        let all = u32::try_from(MAX_LOOKUPS).expect("a few");
        let places = PLACES.acquire_many(all).await.expect("it is never closed");
        let place = Arc::new(());
        let mut waiting = Box::pin(lookup("localhost".to_owned(), Arc::clone(&place)));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending(), "all places are taken");
        drop(places);
        // From here on it is in a thread.
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(waiting);
        while Arc::strong_count(&place) > 1 {
            tokio::task::yield_now().await;
        }
    }
}
