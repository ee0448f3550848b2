//! Postmortems on disk: who writes them, and who reads them again.
//!
//! ```text
//! DIR/APP/COMPONENT/20260203T040506.007Z-4242/report.json      everything that is known: watertight_model::postmortem
//!                                             backtrace.txt    the stack
//!                                             core.wasm        the cell's memory, if it was small enough
//! ```
//!
//! A folder is written under another name and renamed, so whoever sees it sees all of it. Failing cells are asked here for their turn
//! ([`turns`]); writing is done by a thread of low priority. A disk that is full costs postmortems and a line in the log, and nothing else.

mod shelf;
mod turns;

use std::{
    fmt,
    panic::AssertUnwindSafe,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use watertight_model::{
    app::ComponentId,
    event::{Event, EventSink, Postmortem as Written},
    failure::FailureKind,
};
use watertight_runtime::{Morgue, Remains};

pub use self::shelf::{Kept, Shelf, ShelfError};
use self::turns::Turns;

/// Failed cells that wait while one is written.
const MAX_WAITING: usize = 1;

/// The nice value of the thread that writes: requests go first.
const NICE: i32 = 10;

/// How long the end of a node waits for what is being written.
const FINISH: Duration = Duration::from_secs(5);

/// Keeps postmortems in a folder. When it goes, it waits for the one that is being written.
pub(crate) struct Postmortems(Arc<Keeper>);

struct Keeper {
    began: Instant,
    turns: Mutex<Turns>,
    thread: Mutex<Option<Thread>>,
}

struct Thread {
    remains: mpsc::SyncSender<Remains>,
    /// Hangs up when the thread is done.
    done: mpsc::Receiver<()>,
}

impl Postmortems {
    /// Starts the thread that writes into `folder`, which is made when there is something to write. A node does without if there can be
    /// no thread.
    pub(crate) fn start(folder: PathBuf, events: Arc<dyn EventSink>) -> Option<Self> {
        let (remains, queue) = mpsc::sync_channel(MAX_WAITING);
        let (done, hangs_up) = mpsc::channel();
        let writer = Writer { shelf: Shelf::new(folder), events, failed: AtomicBool::new(false) };
        let started = std::thread::Builder::new().name("watertight-postmortem".into()).spawn(move || {
            // At the same priority it writes as well.
            let _ = rustix::process::setpriority_process(None, NICE);
            for remains in queue {
                writer.keep(remains);
            }
            drop(done);
        });
        if let Err(error) = started {
            tracing::warn!("no postmortems: {error}");
            return None;
        }
        let thread = Mutex::new(Some(Thread { remains, done: hangs_up }));
        Some(Self(Arc::new(Keeper { began: Instant::now(), turns: Mutex::default(), thread })))
    }

    pub(crate) fn morgue(&self) -> Arc<dyn Morgue> {
        Arc::clone(&self.0) as Arc<dyn Morgue>
    }
}

impl Morgue for Keeper {
    fn admits(&self, component: ComponentId, kind: FailureKind) -> bool {
        self.turns.lock().admits(component, kind, self.began.elapsed())
    }

    fn take(&self, remains: Remains) {
        if let Some(thread) = &*self.thread.lock() {
            // While the disk is slow, failures go by without a postmortem.
            let _ = thread.remains.try_send(remains);
        }
    }
}

impl Drop for Postmortems {
    fn drop(&mut self) {
        let thread = self.0.thread.lock().take();
        if let Some(Thread { remains, done }) = thread {
            drop(remains);
            let _ = done.recv_timeout(FINISH);
        }
    }
}

impl fmt::Debug for Postmortems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postmortems").finish_non_exhaustive()
    }
}

struct Writer {
    shelf: Shelf,
    events: Arc<dyn EventSink>,
    /// It was said that nothing can be written.
    failed: AtomicBool,
}

impl Writer {
    fn keep(&self, remains: Remains) {
        let (component, kind, at) = (remains.component(), remains.kind(), remains.at());
        // What a component's debug information does to its reader must not end the thread.
        let Ok(postmortem) = std::panic::catch_unwind(AssertUnwindSafe(|| remains.examine())) else { return };
        let line = postmortem.report.at().map(ToString::to_string);
        match self.shelf.put(postmortem, at) {
            Ok(folder) => {
                self.failed.store(false, Ordering::Relaxed);
                self.events.emit(Event::Postmortem(Written { component, kind, folder, at: line }));
            }
            Err(error) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    tracing::warn!("no postmortem: {error}");
                }
            }
        }
    }
}
