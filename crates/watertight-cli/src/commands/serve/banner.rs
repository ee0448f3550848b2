//! What is said at the start of a server, once it answers requests.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Once},
    time::SystemTime,
};

use watertight::CompiledNode;
use watertight_model::{
    event::{Event, EventSink, WorkerChange},
    trace::Sampling,
};
use watertight_observe::{Bus, Timestamp};

use crate::{args::Format, terminal};

/// What is said at the start.
pub(super) struct Banner {
    pub(super) address: SocketAddr,
    pub(super) secure: bool,
    pub(super) workers: usize,
    pub(super) compiled: usize,
    pub(super) cached: usize,
    pub(super) cache: PathBuf,
    pub(super) admin: Option<PathBuf>,
    pub(super) admin_url: Option<String>,
    pub(super) format: Format,
}

pub(super) fn say(format: Format, text: &str) {
    match format {
        Format::Text => terminal::tell(text),
        // A reader that is gone already reads no events either; the server serves.
        Format::Json => drop(terminal::print(text)),
    }
}

impl Banner {
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.secure { "https" } else { "http" }, self.address)
    }

    pub(super) fn text(&self, node: &CompiledNode) -> String {
        let app = node.app();
        let url = self.url();
        let components: Vec<_> = app.components.iter().map(|component| component.name.as_str()).collect();
        let Self { workers, compiled, cached, .. } = self;
        let cache = self.cache.display();
        if self.format == Format::Json {
            let line = serde_json::json!({
                "time": Timestamp(SystemTime::now()).to_string(), "pid": std::process::id(), "event": "serving",
                "url": url, "address": self.address, "workers": workers, "app": app.name, "version": app.version,
                "components": components, "pools": node.pools(), "admin": self.admin, "admin_url": self.admin_url,
                "cache": { "dir": self.cache, "compiled": compiled, "cached": cached },
            });
            return format!("{line}\n");
        }
        let mut text = format!("{} {} serves on {url}\n", app.name, app.version);
        // A `String` takes all it is given.
        let _ = match workers {
            0 => writeln!(text, "  workers     none: in this process ({})", std::process::id()),
            1 => writeln!(text, "  workers     1 process"),
            n => writeln!(text, "  workers     {n} processes"),
        };
        let _ = writeln!(text, "  components  {}", components.join(", "));
        for (index, pool) in node.pools().iter().enumerate() {
            let head = if index == 0 { "pools" } else { "" };
            let each = if *workers == 0 { "" } else { ", in each worker" };
            let _ = writeln!(text, "  {head:<11} {pool}{each}");
        }
        let _ = writeln!(text, "  cache       {compiled} compiled now, {cached} there already, in {cache}");
        if let Some(socket) = &self.admin {
            let _ = writeln!(text, "  admin       {}", socket.display());
        }
        if let Some(url) = &self.admin_url {
            let head = if self.admin.is_some() { "" } else { "admin" };
            let _ = writeln!(text, "  {head:<11} {url}");
        }
        text
    }
}

/// Says that requests are answered when the first worker serves, and passes events on.
pub(super) struct Announcing {
    said: Once,
    format: Format,
    text: String,
    bus: Arc<Bus>,
}

impl Announcing {
    pub(super) fn new(format: Format, text: String, bus: Arc<Bus>) -> Self {
        Self { said: Once::new(), format, text, bus }
    }
}

impl EventSink for Announcing {
    fn emit(&self, event: Event) {
        if matches!(event, Event::Worker { change: WorkerChange::Started { .. }, .. }) {
            self.said.call_once(|| say(self.format, &self.text));
        }
        self.bus.emit(event);
    }

    fn sampling(&self) -> Option<Sampling> {
        self.bus.sampling()
    }
}
