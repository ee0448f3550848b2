//! The thread that gets what is left over: of lower OS priority than all others of the process, and busy only when they leave it time.
//!
//! There is one in a process, started when a run is first over its slice. Runs that are moved here take turns in the order in which they
//! yield. Where the system refuses the thread or the priority, guests go on as before; that is logged once.
//!
//! It has a scheduler, and neither timers nor sockets: what a run opens here belongs to the Tokio runtime that the run came from
//! ([`crate::demote`]), whose thread is not kept waiting.
//!
//! **Locks.** This thread may be stopped by the scheduler at any point, also while it holds a lock that others want. That is bounded: no
//! lock is held while guest code runs (a run is taken out of its seat to be polled), so what remains are the short critical
//! sections of the gate, the slots, the residents, the allocators, Tokio and the kernel. A thread that finds one of them taken
//! sleeps, and so leaves its core to this one. Cells are not such locks: who waits for a resident cell that a moved run has borrowed
//! waits within its own deadline, as it does for any slow one.

use std::{sync::LazyLock, thread};

use tokio::runtime::{Builder, Handle};

use crate::meter;

/// The weakest of the nice values.
const NICE: i32 = 19;

/// What `top -H` and `ps -L` show.
const NAME: &str = "watertight-low";

static THREAD: LazyLock<Option<Handle>> = LazyLock::new(|| match start() {
    Ok(handle) => Some(handle),
    Err(error) => {
        tracing::warn!(%error, "no thread for guests beyond their slice: they go on at the pace of the others");
        None
    }
});

/// Whether there is such a thread; starts it.
pub(crate) fn is_there() -> bool {
    THREAD.is_some()
}

/// Its scheduler.
pub(crate) fn handle() -> Option<&'static Handle> {
    THREAD.as_ref()
}

fn start() -> std::io::Result<Handle> {
    let runtime = Builder::new_current_thread().build()?;
    let handle = runtime.handle().clone();
    thread::Builder::new().name(NAME.into()).spawn(move || {
        // On Linux, this is the priority of the calling thread alone.
        if let Err(error) = rustix::process::setpriority_process(None, NICE) {
            tracing::warn!(%error, "guests beyond their slice cannot have a lower priority");
        }
        meter::charge_by_thread_clock();
        runtime.block_on(std::future::pending::<()>());
    })?;
    Ok(handle)
}
