//! Faults of a node that runs: who has set which, until when, and that all processes of the node have them.
//!
//! ```text
//!  PUT /v1/faults ──▶ Board (checks, remembers, counts the time) ── Spread ──▶ every process, and each that starts later
//! ```
//!
//! Faults always end: a process counts their time by itself, too, so that no lost message makes them last. What is wrong with them is
//! told whole, and then none of them is set. A reload keeps them; those whose component the new version does not have lie idle.

use std::{
    future::{Future, pending},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use watertight_model::{
    app::App,
    event::{Event, EventSink, FaultsChange},
    fault::FaultPlan,
    problem::Problem,
};
use watertight_observe::Timestamp;

use crate::{reload::Rejection, status::About};

/// How long faults last if nobody says so.
pub const DEFAULT_FAULTS_TIME: Duration = Duration::from_mins(5);

/// How long they last at most.
pub const MAX_FAULTS_TIME: Duration = Duration::from_hours(24);

/// Bytes of the faults of a node, as they are written: they go to a worker in one message.
const MAX_FAULTS_BYTES: usize = 8 << 10;

/// What faults are called in problems.
const SOURCE: &str = "faults";

/// What tells, for people and machines, what is wrong with faults.
pub type RejectFaults = fn(Vec<Problem>) -> Rejection;

/// Faults to set: `PUT /v1/faults`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultsWanted {
    /// The faults, as `watertight drill` takes them.
    pub faults: Vec<String>,
    /// Chooses which calls fail; by chance if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// After how long they end by themselves; [`DEFAULT_FAULTS_TIME`] if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

/// The faults of a node: `GET /v1/faults`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultsStatus {
    /// What calls suffer, one target each; nothing where no faults are set.
    pub faults: Vec<String>,
    /// Those among them that mean nothing to the app as it is since its last reload.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub idle: Vec<String>,
    /// Chooses which calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// When they were set, in UTC, as in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How long they last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
    /// How much longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_ms: Option<u64>,
    /// The workers that did not say that they heard of it: they will, unless they end before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unanswered: Vec<u32>,
}

/// Why faults were not set.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FaultsError {
    /// They are none, or none of this app.
    #[error("no faults were set: {}", .0.message)]
    Rejected(Rejection),
    /// What was asked for cannot be.
    #[error("no faults were set: {0}")]
    Refused(String),
}

/// What a process is told: faults that were found sound, and how much longer they last.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaultOrders {
    rules: Vec<String>,
    seed: u64,
    left: Duration,
}

impl FaultOrders {
    /// The plan for an app, of those rules that mean something to it, and when it ends.
    pub(crate) fn plan(&self, app: &App) -> Option<(FaultPlan, Instant)> {
        let until = Instant::now().checked_add(self.left)?;
        let known = self.rules.iter().filter(|rule| means_something(app, rule));
        // Without any rule it is no plan.
        Some((FaultPlan::parse(app, SOURCE, known, self.seed).ok()?, until))
    }

    /// The same, a while later.
    pub(crate) fn after(&self, passed: Duration) -> Option<Self> {
        let left = self.left.checked_sub(passed).filter(|left| !left.is_zero())?;
        Some(Self { left, ..self.clone() })
    }
}

fn means_something(app: &App, rule: &str) -> bool {
    FaultPlan::parse(app, SOURCE, [rule], 0).is_ok()
}

/// What takes faults to the processes of a node.
pub(crate) trait Spread: Send + Sync {
    /// Has every process suffer these, or none; says which workers did not answer.
    fn spread(&self, orders: Option<FaultOrders>) -> impl Future<Output = Vec<u32>> + Send;
}

/// Where a node's faults are set. Clones are of the same one.
#[derive(Clone)]
pub(crate) struct FaultBoard<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    about: About,
    events: Arc<dyn EventSink>,
    reject: RejectFaults,
    spread: S,
    set: Mutex<Option<Set>>,
    /// One at a time: what was set last is what every process has.
    turn: tokio::sync::Mutex<()>,
    changed: Notify,
}

#[derive(Clone, Debug)]
struct Set {
    rules: Vec<String>,
    seed: u64,
    since: SystemTime,
    began: Instant,
    lasting: Duration,
}

impl Set {
    fn orders(&self) -> Option<FaultOrders> {
        let whole = FaultOrders { rules: self.rules.clone(), seed: self.seed, left: self.lasting };
        whole.after(self.began.elapsed())
    }
}

impl<S: Spread> FaultBoard<S> {
    /// None are set.
    pub(crate) fn new(about: About, events: Arc<dyn EventSink>, reject: RejectFaults, spread: S) -> Self {
        let (set, turn, changed) = (Mutex::default(), tokio::sync::Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { about, events, reject, spread, set, turn, changed }) }
    }

    /// What is set.
    pub(crate) fn status(&self) -> FaultsStatus {
        let set = self.shared.set.lock().clone();
        let Some((set, orders)) = set.and_then(|set| set.orders().map(|orders| (set, orders))) else {
            return FaultsStatus::default();
        };
        let app = self.shared.about.app();
        FaultsStatus {
            idle: set.rules.iter().filter(|rule| !means_something(&app, rule)).cloned().collect(),
            faults: set.rules,
            seed: Some(set.seed),
            since: Some(Timestamp(set.since).to_string()),
            for_ms: Some(millis(set.lasting)),
            left_ms: Some(millis(orders.left)),
            unanswered: Vec::new(),
        }
    }

    /// What processes that start now are to be told.
    pub(crate) fn orders(&self) -> Option<FaultOrders> {
        self.shared.set.lock().as_ref().and_then(Set::orders)
    }

    /// Sets these in place of those before.
    pub(crate) async fn set(&self, wanted: &FaultsWanted) -> Result<FaultsStatus, FaultsError> {
        let set = self.checked(wanted)?;
        let _turn = self.shared.turn.lock().await;
        let change = FaultsChange::Set { rules: set.rules.clone(), seed: set.seed, lasting: set.lasting };
        let unanswered = self.put(Some(set), change).await;
        Ok(FaultsStatus { unanswered, ..self.status() })
    }

    /// Takes away those that are set.
    pub(crate) async fn clear(&self) -> FaultsStatus {
        let _turn = self.shared.turn.lock().await;
        if self.shared.set.lock().is_none() {
            return FaultsStatus::default();
        }
        let unanswered = self.put(None, FaultsChange::Cleared).await;
        FaultsStatus { unanswered, ..FaultsStatus::default() }
    }

    /// Ends faults when their time is over, for as long as it is polled.
    pub(crate) async fn mind<N>(&self) -> N {
        loop {
            let over = self.shared.set.lock().as_ref().map(|set| set.began + set.lasting);
            let over = async {
                match over {
                    Some(over) => tokio::time::sleep_until(over.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                () = self.shared.changed.notified() => continue,
                () = over => {}
            }
            let _turn = self.shared.turn.lock().await;
            let over = self.shared.set.lock().as_ref().is_some_and(|set| set.orders().is_none());
            if over {
                self.put(None, FaultsChange::Over).await;
            }
        }
    }

    fn checked(&self, wanted: &FaultsWanted) -> Result<Set, FaultsError> {
        let lasting = wanted.for_ms.map_or(DEFAULT_FAULTS_TIME, Duration::from_millis);
        if lasting.is_zero() || lasting > MAX_FAULTS_TIME {
            return Err(FaultsError::Refused("they last from 1 ms to 24 h".to_owned()));
        }
        // A seed that is short enough to be typed again.
        let seed = wanted.seed.unwrap_or_else(|| RandomState::new().hash_one(()) % 1_000_000);
        let app = self.shared.about.app();
        let plan = FaultPlan::parse(&app, SOURCE, &wanted.faults, seed)
            .map_err(|problems| FaultsError::Rejected((self.shared.reject)(problems)))?;
        let rules = plan.rules(&app);
        if rules.iter().map(String::len).sum::<usize>() > MAX_FAULTS_BYTES {
            let message = format!("they are longer than {MAX_FAULTS_BYTES} bytes: leave some out");
            return Err(FaultsError::Refused(message));
        }
        Ok(Set { rules, seed, since: SystemTime::now(), began: Instant::now(), lasting })
    }

    async fn put(&self, set: Option<Set>, change: FaultsChange) -> Vec<u32> {
        let orders = set.as_ref().and_then(Set::orders);
        *self.shared.set.lock() = set;
        self.shared.changed.notify_one();
        self.shared.events.emit(Event::Faults(change));
        self.shared.spread.spread(orders).await
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
