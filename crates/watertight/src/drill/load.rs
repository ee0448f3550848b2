//! Load from inside the process: so many requests in flight at once, each as soon as the one before is answered.

use std::{
    cell::RefCell,
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use http::{Method, Request, Uri, header::HOST, uri::PathAndQuery};
use http_body_util::Empty;
use watertight_model::{
    app::App,
    drill::{Histogram, Tally},
};

use super::Witness;
use crate::serve::{Answered, Site};

/// The host that requests name.
const HOST_NAME: &str = "drill.localhost";

/// One thing to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    method: Method,
    path: PathAndQuery,
}

/// A text that is no load.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a request: write a method and a path, as in 'GET /page?n=1'")]
pub struct LoadError(String);

impl std::str::FromStr for Load {
    type Err = LoadError;

    fn from_str(text: &str) -> Result<Self, LoadError> {
        let wrong = || LoadError(text.to_owned());
        let mut words = text.split_whitespace();
        let (first, second, rest) = (words.next().ok_or_else(wrong)?, words.next(), words.next());
        let (method, path) = match second {
            Some(path) => (Method::from_bytes(first.as_bytes()).map_err(|_| wrong())?, path),
            None => (Method::GET, first),
        };
        if rest.is_some() || !path.starts_with('/') || method == Method::CONNECT {
            return Err(wrong());
        }
        Ok(Self { method, path: PathAndQuery::try_from(path).map_err(|_| wrong())? })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

impl Load {
    pub(super) fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path.clone());
        request.headers_mut().insert(HOST, http::HeaderValue::from_static(HOST_NAME));
        request
    }
}

/// A `GET` for each route of an app: for who does not say what to ask for.
#[must_use]
pub fn default_loads(app: &App) -> Vec<Load> {
    // A route that calls functions has no page to ask for.
    let pages = app.http.iter().filter(|trigger| trigger.handler().is_some());
    let paths = pages.map(|trigger| trigger.route.strip_suffix("...").unwrap_or(&trigger.route));
    let loads = paths.filter_map(|path| Some(Load { method: Method::GET, path: PathAndQuery::try_from(path).ok()? }));
    loads.collect()
}

/// What makes load.
pub(super) struct Pull<'a> {
    pub(super) site: &'a Site,
    pub(super) witness: &'a Witness,
    pub(super) loads: &'a [Load],
    pub(super) concurrency: u32,
}

/// What was counted so far.
struct Counting {
    tallies: Vec<(Tally, Histogram)>,
    next: usize,
    requests: u64,
    failed: u64,
}

impl Pull<'_> {
    /// Makes load for some time, and waits for the last answers. `tell` is told every now and then how long it has been at it, how many
    /// requests were answered, and how many of those failed.
    pub(super) async fn run(
        &self,
        time: Duration,
        every: Duration,
        mut tell: impl FnMut(Duration, u64, u64),
    ) -> Vec<Tally> {
        let began = Instant::now();
        let counting = RefCell::new(Counting {
            tallies: self.loads.iter().map(|_| Default::default()).collect(),
            next: 0,
            requests: 0,
            failed: 0,
        });
        let mut clients: FuturesUnordered<_> =
            (0..self.concurrency).map(|_| self.client(&counting, began + time)).collect();
        let mut ticks = tokio::time::interval(every);
        loop {
            tokio::select! {
                ended = clients.next() => if ended.is_none() { break },
                _ = ticks.tick() => {
                    let now = counting.borrow();
                    tell(began.elapsed(), now.requests, now.failed);
                }
            }
        }
        drop(clients);
        let took = began.elapsed();
        let tallies = counting.into_inner().tallies.into_iter();
        tallies.map(|(tally, times)| Tally { latency: times.latency(), took, ..tally }).collect()
    }

    /// Asks again and again.
    async fn client(&self, counting: &RefCell<Counting>, until: Instant) {
        while Instant::now() < until {
            let index = {
                let mut counting = counting.borrow_mut();
                counting.next += 1;
                (counting.next - 1) % self.loads.len()
            };
            let began = Instant::now();
            let answered = self.site.answer(self.loads[index].request()).await;
            let took = began.elapsed();
            let failures = answered.tree.map_or(0, |tree| self.witness.failures(tree));
            counting.borrow_mut().count(index, answered, failures, took);
            // Answers that need no waiting would keep everybody else from theirs.
            tokio::task::yield_now().await;
        }
    }
}

impl Counting {
    fn count(&mut self, index: usize, answered: Answered, failures: u32, took: Duration) {
        let (tally, times) = &mut self.tallies[index];
        times.add(took);
        tally.requests += 1;
        self.requests += 1;
        let status = if answered.whole { answered.status.as_u16() } else { 0 };
        *tally.statuses.entry(status).or_default() += 1;
        if !(200..400).contains(&status) {
            tally.failed += 1;
            self.failed += 1;
        } else if failures > 0 {
            tally.degraded += 1;
        } else {
            tally.served += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_a_method_and_a_path() {
        for (text, load) in [
            ("GET /", "GET /"),
            ("/page", "GET /page"),
            (" POST   /a/b?c=d ", "POST /a/b?c=d"),
            ("PURGE /x", "PURGE /x"),
        ] {
            assert_eq!(text.parse::<Load>().map(|load| load.to_string()).as_deref(), Ok(load), "{text}");
        }
        for text in ["", "GET", "GET page", "GET /a b", "CONNECT /", "G(T /", "http://x/"] {
            assert_eq!(text.parse::<Load>(), Err(LoadError(text.to_owned())));
        }
        let request = "PUT /x?y".parse::<Load>().expect("it is one").request();
        assert_eq!((request.method().as_str(), request.uri().to_string().as_str()), ("PUT", "/x?y"));
    }
}
