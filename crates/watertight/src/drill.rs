//! A drill: an app under load in this process, first without faults, then with them; and what became of its requests.
//!
//! ```text
//! rehearse ──▶ baseline ──▶ drill ──▶ settle ──▶ report
//!  every load   no faults    faults    quiet again
//! ```
//!
//! The load goes through the app's routes but over no connection: what is measured is the app. Who answers is the same as in
//! `watertight serve`, and so is how.

mod load;
mod witness;

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use http::StatusCode;
use tokio::runtime::{Builder, Runtime};
use watertight_model::{
    app::{App, Lifetime, Wall},
    drill::{Expectation, Held as Growth, Report, Route},
    fault::FaultPlan,
    usage::ComponentUsage,
};

use self::load::Pull;
pub use self::{
    load::{Load, LoadError, default_loads},
    witness::Witness,
};
use crate::{Node, held::Held, serve::ServeError};

/// What to do.
#[derive(Clone, Debug)]
pub struct Drill {
    /// What is asked for, in turn.
    pub loads: Vec<Load>,
    /// The faults.
    pub plan: FaultPlan,
    /// Requests in flight at once.
    pub concurrency: u32,
    /// How long, each time: once without faults, once with them.
    pub time: Duration,
    /// What the report is held against.
    pub expectations: Vec<Expectation>,
}

/// A part of a drill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Everything happens once.
    Rehearsal,
    /// Without faults.
    Baseline,
    /// With faults.
    Drill,
    /// Until all is quiet.
    Settling,
}

/// How far a drill is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is going on.
    pub phase: Phase,
    /// For how long already.
    pub elapsed: Duration,
    /// How long it will take.
    pub total: Duration,
    /// Requests that were answered in this phase, in whatever way.
    pub requests: u64,
    /// Those of them that failed.
    pub failed: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The app has nothing to ask for.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// It fails already.
    #[error("`{load}` fails without any fault: it is answered with {status}")]
    Unsound {
        /// Which load.
        load: String,
        /// What it is answered with.
        status: StatusCode,
    },
    /// The system does not say what this process holds.
    #[error("cannot read what this process holds from /proc: {0}")]
    Held(#[from] io::Error),
}

/// The longest part of a drill that rehearses faults, so that what is made when it is first needed is there before it is counted.
const REHEARSAL: Duration = Duration::from_secs(1);

/// How long all may take to be quiet again.
const SETTLE: Duration = Duration::from_secs(3);

/// How long a thread of [`runtime`] that has nothing to do stays for more.
const IDLE: Duration = Duration::from_millis(50);

/// How long the number of threads must have stood still before it is taken for what there is without load: idle ones have ended by then.
const STILL: Duration = Duration::from_millis(250);

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What may grow without having leaked: what allocators and pools keep, and threads that start when they are first needed.
const RSS_SLACK_KIB: u64 = 16 << 10;
const MAPPINGS_SLACK: u64 = 128;
const THREADS_SLACK: u64 = 2;

impl Drill {
    /// Carries the drill out on a node that does nothing else, and whose events go to `witness`. It ends without faults. On another
    /// runtime than [`runtime`], threads that the runtime keeps for later count as leaked.
    ///
    /// # Errors
    /// When there is nothing to drill.
    pub async fn run(
        &self,
        node: &Node,
        witness: &Witness,
        mut tell: impl FnMut(Progress),
    ) -> Result<Report, DrillError> {
        let site = node.site()?;
        node.warm().await;
        let pull = Pull { site: &site, witness, loads: &self.loads, concurrency: self.concurrency };
        for load in &self.loads {
            let answered = site.answer(load.request()).await;
            if answered.status.is_client_error() || answered.status.is_server_error() {
                return Err(DrillError::Unsound { load: load.to_string(), status: answered.status });
            }
        }
        let mut phase = async |phase, time, faults: Option<&FaultPlan>| {
            node.set_faults(faults.cloned());
            witness.begin();
            let pulled = pull.run(time, TELL_EVERY, |elapsed, requests, failed| {
                tell(Progress { phase, elapsed, total: time, requests, failed });
            });
            let tallies = pulled.await;
            node.set_faults(None);
            tallies
        };
        phase(Phase::Rehearsal, REHEARSAL.min(self.time / 10), Some(&self.plan)).await;
        let baseline = phase(Phase::Baseline, self.time, None).await;
        let before = Count::settled(node, None).await?;
        let drilled = phase(Phase::Drill, self.time, Some(&self.plan)).await;
        let parts = witness.parts();
        tell(Progress { phase: Phase::Settling, elapsed: Duration::ZERO, total: SETTLE, requests: 0, failed: 0 });
        let after = Count::settled(node, Some(before)).await?;

        let routes = self.loads.iter().zip(baseline).zip(drilled);
        let routes = routes.map(|((load, baseline), drill)| Route { load: load.to_string(), baseline, drill });
        let app = node.app();
        let cells = app.components.iter().filter(|component| component.wall == Wall::Cell);
        let mut report = Report {
            app: app.name.clone(),
            version: app.version.clone(),
            faults: self.plan.rules(app),
            seed: self.plan.seed(),
            concurrency: self.concurrency,
            routes: routes.collect(),
            components: cells.map(|component| parts[component.id.0 as usize].clone()).collect(),
            held: after.growth(before),
            expectations: Vec::new(),
        };
        report.expectations = self.expectations.iter().map(|expected| expected.verdict(&report)).collect();
        Ok(report)
    }
}

/// What there is of everything that could leak.
#[derive(Clone, Copy, Debug)]
struct Count {
    /// Cells, but for residents: those live on.
    cells: u64,
    held: Held,
}

impl Count {
    fn now(node: &Node) -> io::Result<Self> {
        let app = node.app();
        let transient = |used: &&ComponentUsage| app.component(used.component).lifetime != Lifetime::Resident;
        let usage = node.usage();
        let cells = usage.components.iter().filter(transient).map(|used| u64::from(used.cells)).sum();
        Ok(Self { cells, held: Held::now()? })
    }

    /// The count once nothing is on its way out any more, or after a while whatever it is. With a count from before, it is waited until
    /// there is as little again; without one, until no thread has ended for a while: what idles must not hide what leaks later.
    async fn settled(node: &Node, before: Option<Self>) -> io::Result<Self> {
        let until = Instant::now() + SETTLE;
        let (mut threads, mut since) = (0, Instant::now());
        loop {
            let now = Self::now(node)?;
            if now.held.threads != threads {
                (threads, since) = (now.held.threads, Instant::now());
            }
            let busy = match before {
                Some(before) => now.growth(before).iter().any(Growth::leaked),
                None => now.cells > 0 || since.elapsed() < STILL,
            };
            if !busy || Instant::now() >= until {
                return Ok(now);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn growth(self, before: Self) -> Vec<Growth> {
        let growth = |what, before, after, slack| Growth { what, before, after, slack };
        let (then, now) = (before.held, self.held);
        vec![
            growth("cells", before.cells, self.cells, 0),
            growth("files", then.files, now.files, 0),
            growth("threads", then.threads, now.threads, THREADS_SLACK),
            growth("mappings", then.mappings, now.mappings, MAPPINGS_SLACK),
            growth("rss-kib", then.rss_kib, now.rss_kib, RSS_SLACK_KIB),
        ]
    }
}

/// A runtime for a drill: of one thread, with others for files that end as soon as they idle, so that those which do not end are seen.
///
/// # Errors
/// When the system refuses.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().thread_keep_alive(IDLE).build()
}

/// A witness for an app's node, as the sink of its events.
#[must_use]
pub fn witness(app: &Arc<App>) -> Arc<Witness> {
    Arc::new(Witness::new(app))
}
