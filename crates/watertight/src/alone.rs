//! Serving in this one process: for debuggers, and where there can be only one. It can be asked what a supervisor can be asked.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::signal::unix::{SignalKind, signal};
use watertight_ingress::{Drained, HttpConfig};
use watertight_model::event::EventSink;
use watertight_observe::Tally;

use crate::{
    CompiledNode,
    admin::{self, AdminSocket, Steward},
    node::NodeError,
    serve::{ServeError, TlsFiles},
    status::{About, ComponentsStatus, NodeStatus, Watch, WorkerState, WorkerStatus},
    supervisor::{Listeners, resident_bytes},
};

/// What one process serves, and how.
#[derive(Debug)]
pub struct Alone {
    /// The app.
    pub node: CompiledNode,
    /// Where; the first socket alone.
    pub listeners: Listeners,
    /// The limits of the HTTP server.
    pub http: HttpConfig,
    /// Certificate and key.
    pub tls: Option<TlsFiles>,
    /// Where to ask after the node, and what it is called there.
    pub admin: Option<(AdminSocket, About)>,
}

/// Why one process does not serve.
#[derive(Debug, thiserror::Error)]
pub enum AloneError {
    /// The app cannot be loaded.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The app cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system refuses.
    #[error("cannot serve: {0}")]
    Io(#[from] io::Error),
}

impl Alone {
    /// Serves until SIGTERM or SIGINT, then drains; a second SIGINT ends it at once. `ready` is called when requests are answered.
    ///
    /// # Errors
    /// Why it did not serve.
    pub async fn run(self, events: Arc<dyn EventSink>, ready: impl FnOnce()) -> Result<Drained, AloneError> {
        let Self { node, listeners, http, tls, admin } = self;
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let tls = tls.map(|tls| tls.load()).transpose().map_err(ServeError::from)?;
        let tally = Arc::new(Tally::new(node.app(), events));
        let node = node.start(None, Arc::clone(&tally) as Arc<dyn EventSink>)?;
        let desk = Desk { watch: node.watch(tally), since: Instant::now() };
        let server = node.site()?.server_on(listeners, http, tls.as_ref())?;
        ready();
        let asked = std::pin::pin!(answer(admin, desk));
        let drained = tokio::select! {
            never = asked => never,
            drained = async {
                tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
                // A second Ctrl-C wants it over.
                tokio::select! {
                    drained = server.stop() => drained,
                    _ = interrupt.recv() => Drained { cut: 0 },
                }
            } => drained,
        };
        node.shutdown().await;
        Ok(drained)
    }
}

/// Answers those who ask after the node, for as long as it is polled.
async fn answer<N>(admin: Option<(AdminSocket, About)>, desk: Desk) -> N {
    if let Some((socket, about)) = admin {
        admin::serve(socket, Office { about, desk }).await;
    }
    std::future::pending().await
}

/// What this process knows of itself.
#[derive(Clone)]
struct Desk {
    watch: Watch,
    since: Instant,
}

#[derive(Clone)]
struct Office {
    about: About,
    desk: Desk,
}

impl Steward for Office {
    async fn node(&self) -> NodeStatus {
        let itself = WorkerStatus {
            worker: 0,
            pid: Some(std::process::id()),
            state: WorkerState::Serving,
            state_ms: millis(self.desk.since.elapsed()),
            restarts: 0,
            generation: 1,
            answers: true,
            rss_bytes: resident_bytes(std::process::id()),
        };
        self.about.node(vec![itself])
    }

    async fn components(&self) -> ComponentsStatus {
        let mut sum = ComponentsStatus::default();
        sum.add(self.desk.watch.report());
        sum
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
