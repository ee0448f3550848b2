//! The order to drain, and how much hurry there is.
//!
//! A server that ends says goodbye to idle connections at once. One whose place another server has can wait for the next request on
//! each: that one is answered and told to be the last, so that no client finds a connection closed that it has just used.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

/// Tells a server to drain. Clones tell the same one.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    hurried: CancellationToken,
    patience: Arc<OnceLock<Duration>>,
}

impl Drain {
    /// Nobody is to drain yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Drains: no further connections, and no further request on those there are. Hurries what drains with patience already.
    pub fn now(&self) {
        self.hurried.cancel();
        self.begun.cancel();
    }

    /// Drains, but waits so long for one more request on each connection that is idle.
    pub fn patiently(&self, patience: Duration) {
        // The first word counts; only hurry is added to it.
        let _ = self.patience.set(patience);
        self.begun.cancel();
    }

    /// Waits until it begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until there is hurry.
    pub(crate) async fn hurried(&self) {
        self.hurried.cancelled().await;
    }

    /// How long to wait for one more request.
    pub(crate) fn patience(&self) -> Duration {
        if self.hurried.is_cancelled() { Duration::ZERO } else { self.patience.get().copied().unwrap_or_default() }
    }
}
