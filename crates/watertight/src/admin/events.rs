//! `GET /v1/events`: what happens on a node, as it happens, as Server-Sent Events.
//!
//! The workers are asked several times a second for as long as the reader takes what comes. One that does not is not waited for: what
//! does not fit its queues in the workers is dropped there and counted, and it is told how much when it reads again. A comment keeps the connection
//! alive while nothing happens. When the node stops, the last event says so.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use watertight_ingress::local::LocalBody;
use watertight_observe::{Interest, Kind};

use super::{Steward, refused};
use crate::ears::{EventTaken, EventsTaken, EventsWanted};

/// How often workers are asked.
const EVERY: Duration = Duration::from_millis(100);

/// After so long without anything, a comment goes out.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What is not told unless it is asked for: what there is one of for every call, or every cell.
const BUSY: [Kind; 7] =
    [Kind::Call, Kind::Root, Kind::CellStarted, Kind::CellEnded, Kind::Trace, Kind::CallFailed, Kind::RootFailed];

/// What guests wrote, and clients asked for: not for everybody.
const SECRET: [Kind; 3] = [Kind::Log, Kind::Request, Kind::Trace];

/// Which events a query asks for.
pub(super) struct Query {
    kinds: Interest,
    component: Option<String>,
}

impl Query {
    /// Reads `kinds=failure,breaker&component=NAME`. Who does not hold the token is not told everything.
    pub(super) fn read(query: Option<&str>, holds: bool) -> Result<Self, (StatusCode, String)> {
        let (mut kinds, mut component) = (None, None);
        for (key, value) in super::pairs(query) {
            match key.as_str() {
                "kinds" if value == "all" => kinds = Some(Interest::all()),
                "kinds" => kinds = Some(read_kinds(&value)?),
                "component" => component = Some(value),
                _ => return Err((StatusCode::BAD_REQUEST, format!("there is no `{key}` here: kinds, component"))),
            }
        }
        let secret = Interest::in_kinds(&SECRET);
        let asked = kinds.unwrap_or_else(|| Interest::all().without(Interest::in_kinds(&BUSY)));
        if !holds && kinds.is_some_and(|kinds| kinds != Interest::all()) && asked.without(secret) != asked {
            let why = "what guests write and clients ask for is told to who holds the token only: leave out log, request and trace";
            return Err((StatusCode::FORBIDDEN, why.to_owned()));
        }
        Ok(Self { kinds: if holds { asked } else { asked.without(secret) }, component })
    }

    /// The component that it is about.
    pub(super) fn component(&self) -> Option<&str> {
        self.component.as_deref()
    }

    fn wants(&self, event: &EventTaken) -> bool {
        let Some(wanted) = &self.component else { return true };
        let Ok(told) = serde_json::from_str::<serde_json::Value>(&event.line) else { return false };
        let of_edge = told["edge"].as_str().and_then(|edge| edge.split_once("->"));
        told["component"] == wanted.as_str() || of_edge.is_some_and(|(from, to)| from == wanted || to == wanted)
    }
}

fn read_kinds(text: &str) -> Result<Interest, (StatusCode, String)> {
    let mut kinds = Vec::new();
    for name in text.split(',').filter(|name| !name.is_empty()) {
        let Some(kind) = Kind::named(name) else {
            let known = Kind::ALL.map(Kind::name).join(", ");
            return Err((StatusCode::BAD_REQUEST, format!("there is no kind `{name}`: all, or {known}")));
        };
        kinds.push(kind);
    }
    Ok(Interest::in_kinds(&kinds))
}

/// Who follows now.
#[derive(Clone)]
pub(super) struct Followers {
    room: Arc<Semaphore>,
    closing: CancellationToken,
}

impl Followers {
    pub(super) fn new(closing: CancellationToken) -> Self {
        Self { room: Arc::new(Semaphore::new(crate::ears::MAX_EARS)), closing }
    }

    /// Begins to tell of what happens.
    pub(super) async fn follow(&self, steward: impl Steward, query: Query) -> Response<LocalBody> {
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            let why = format!("{} follow the events of this node already", crate::ears::MAX_EARS);
            return refused(StatusCode::SERVICE_UNAVAILABLE, &why);
        };
        let wanted = EventsWanted { id: RandomState::new().hash_one(0), kinds: query.kinds, close: false };
        // From here on: what happens before the first turn waits for it.
        steward.events(&wanted).await;
        let feed = Feed {
            steward,
            wanted,
            query,
            closing: self.closing.clone(),
            waiting: VecDeque::from([Bytes::from_static(b": what happens from now on\n\n")]),
            told: Instant::now(),
            over: false,
            _place: place,
        };
        let chunks = stream::unfold(feed, |mut feed| async { feed.next().await.map(|chunk| (chunk, feed)) });
        let mut response = Response::new(LocalBody::Stream(Box::pin(chunks)));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// One reader's events.
struct Feed<S> {
    steward: S,
    wanted: EventsWanted,
    query: Query,
    closing: CancellationToken,
    waiting: VecDeque<Bytes>,
    told: Instant,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl<S: Steward> Feed<S> {
    /// What to send next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(chunk) = self.waiting.pop_front() {
                self.told = Instant::now();
                return Some(chunk);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => self.ask().await,
                () = self.closing.cancelled() => {
                    // What the supervisor itself told last is still there.
                    self.ask().await;
                    self.waiting.push_back(Bytes::from_static(b"event: end\ndata: {\"event\":\"end\"}\n\n"));
                    self.over = true;
                }
            }
            if self.waiting.is_empty() && self.told.elapsed() >= KEEP_ALIVE {
                self.waiting.push_back(Bytes::from_static(b":\n\n"));
            }
        }
    }

    async fn ask(&mut self) {
        let EventsTaken { events, dropped, .. } = self.steward.events(&self.wanted).await.sorted();
        let mut text = String::new();
        // A `String` takes all it is given.
        for event in events.iter().filter(|event| self.query.wants(event)) {
            let _ = write!(text, "event: {}\ndata: {}\n\n", event.kind, event.line);
        }
        if dropped > 0 {
            let _ = write!(text, "event: dropped\ndata: {{\"event\":\"dropped\",\"count\":{dropped}}}\n\n");
        }
        if !text.is_empty() {
            self.waiting.push_back(text.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_chooses_kinds_and_what_guests_wrote_is_for_who_holds_the_token() {
        let read = |query: &str, holds| Query::read(Some(query), holds);
        assert!(read("kinds=failure,breaker&component=web", false).is_ok_and(|query| {
            query.kinds.has(Kind::Breaker) && !query.kinds.has(Kind::Log) && query.component() == Some("web")
        }));
        assert!(read("kinds=log", false).is_err_and(|(status, _)| status == StatusCode::FORBIDDEN));
        assert!(read("kinds=log", true).is_ok_and(|query| query.kinds.has(Kind::Log)));
        assert!(read("", false).is_ok_and(|query| !query.kinds.has(Kind::Log) && !query.kinds.has(Kind::Call)));
        assert!(read("kinds=all", false).is_ok_and(|query| query.kinds.has(Kind::Call) && !query.kinds.has(Kind::Log)));
        assert!(
            read("kinds=falure", true)
                .is_err_and(|(status, why)| status == StatusCode::BAD_REQUEST && why.contains("failure"))
        );
        assert!(read("kind=log", true).is_err_and(|(status, _)| status == StatusCode::BAD_REQUEST));
    }

    #[test]
    fn events_of_a_component_are_those_of_its_cells_and_its_edges() {
        let query = Query { kinds: Interest::all(), component: Some("web".to_owned()) };
        let event = |line: &str| EventTaken { at_ns: 0, kind: String::new(), line: line.to_owned() };
        for (line, wanted) in [
            ("{\"component\":\"web\"}", true),
            ("{\"edge\":\"web->db\"}", true),
            ("{\"edge\":\"a->web\"}", true),
            ("{\"component\":\"webs\"}", false),
            ("{}", false),
        ] {
            assert_eq!(query.wants(&event(line)), wanted, "{line}");
        }
    }
}
