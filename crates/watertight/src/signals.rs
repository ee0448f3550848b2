//! The signals that a node minds, from the moment on that it asks for them: also as process 1 of a container, where the kernel keeps
//! from a process what it has not asked for.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that came and were not looked at yet are kept, one of each kind.
#[derive(Debug)]
pub struct Signals {
    pub(crate) stop: StopSignals,
    pub(crate) hangup: Signal,
}

/// SIGTERM and SIGINT.
#[derive(Debug)]
pub(crate) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

/// Which one came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopSignal {
    Terminate,
    Interrupt,
}

impl Signals {
    /// Minds them from now on. Needs a Tokio runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn mind() -> io::Result<Self> {
        let stop =
            StopSignals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
        Ok(Self { stop, hangup: signal(SignalKind::hangup())? })
    }

    /// Waits until it is to end: SIGTERM or SIGINT.
    pub async fn stopped(&mut self) {
        self.stop.next().await;
    }
}

impl StopSignals {
    pub(crate) async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}
