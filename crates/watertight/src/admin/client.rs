//! Asking a node over its admin socket: what `watertight ps` and its like do.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use watertight_ingress::local::{self, Following, LocalError};

use super::{PostmortemsStatus, Refused, Why};
use crate::{
    faults::{FaultsStatus, FaultsWanted},
    operate::{CellsStatus, EjectWanted, Operated},
    record::{RecordTaken, RecordWanted},
    reload::{Rejection, Reloaded},
    status::{ComponentsStatus, EdgesStatus, NodeStatus},
    tap::{TapTaken, TapWanted},
};

/// How long a node may take to say how it is.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to compile an app and to replace every worker, after others who asked for the same.
const RELOAD_PATIENCE: Duration = Duration::from_hours(1);

/// A node's admin socket, from outside.
#[derive(Clone, Debug)]
pub struct AdminClient {
    socket: PathBuf,
}

/// Why a node did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There was no answer.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// It will not.
    #[error("{message}")]
    Refused {
        /// How it says so.
        status: u16,
        /// Why.
        message: String,
        /// What is wrong with the app, where that is why.
        rejection: Option<Box<Rejection>>,
    },
    /// It speaks another language.
    #[error("the node answers what this version does not understand: {0}")]
    Foreign(#[from] serde_json::Error),
}

impl AdminClient {
    /// Nothing happens yet.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into() }
    }

    /// The socket's path.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// What the node is.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn node(&self) -> Result<NodeStatus, AdminError> {
        self.ask(Method::GET, "/v1/node", Bytes::new(), PATIENCE).await
    }

    /// What its components do.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn components(&self) -> Result<ComponentsStatus, AdminError> {
        self.ask(Method::GET, "/v1/components", Bytes::new(), PATIENCE).await
    }

    /// Has it put the app in place as it is in its files now, and waits until it serves.
    ///
    /// # Errors
    /// When the one before serves on, and why.
    pub async fn reload(&self) -> Result<Reloaded, AdminError> {
        self.ask(Method::POST, "/v1/reload", Bytes::new(), RELOAD_PATIENCE).await
    }

    /// What a tap has seen since it was asked last; the first time makes it.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn tap(&self, wanted: &TapWanted) -> Result<TapTaken, AdminError> {
        let body = serde_json::to_vec(wanted)?;
        self.ask(Method::POST, "/v1/tap", body.into(), PATIENCE).await
    }

    /// What was recorded since it was asked last; the first time begins.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn record(&self, wanted: &RecordWanted) -> Result<RecordTaken, AdminError> {
        let body = serde_json::to_vec(wanted)?;
        self.ask(Method::POST, "/v1/record", body.into(), PATIENCE).await
    }

    /// The faults that its calls suffer.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn faults(&self) -> Result<FaultsStatus, AdminError> {
        self.ask(Method::GET, "/v1/faults", Bytes::new(), PATIENCE).await
    }

    /// Has its calls suffer these faults, in place of those before.
    ///
    /// # Errors
    /// When they are not set, and why.
    pub async fn set_faults(&self, wanted: &FaultsWanted) -> Result<FaultsStatus, AdminError> {
        let body = serde_json::to_vec(wanted)?;
        self.ask(Method::PUT, "/v1/faults", body.into(), PATIENCE).await
    }

    /// Takes away the faults that are set.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn clear_faults(&self) -> Result<FaultsStatus, AdminError> {
        self.ask(Method::DELETE, "/v1/faults", Bytes::new(), PATIENCE).await
    }

    /// The cells that live, of one component or of all.
    ///
    /// # Errors
    /// Without an answer, or such a component.
    pub async fn cells(&self, component: Option<&str>) -> Result<CellsStatus, AdminError> {
        let query = component.map(|component| format!("?component={component}")).unwrap_or_default();
        self.ask(Method::GET, &format!("/v1/cells{query}"), Bytes::new(), PATIENCE).await
    }

    /// Throws out the cells of a component, or one of them.
    ///
    /// # Errors
    /// Without such a component, or cell.
    pub async fn eject(&self, component: &str, wanted: &EjectWanted) -> Result<Operated, AdminError> {
        let body = serde_json::to_vec(wanted)?;
        self.ask(Method::POST, &format!("/v1/components/{component}/eject"), body.into(), PATIENCE).await
    }

    /// Has the residents of a component replaced.
    ///
    /// # Errors
    /// Without such a component.
    pub async fn restart(&self, component: &str) -> Result<Operated, AdminError> {
        self.ask(Method::POST, &format!("/v1/components/{component}/restart"), Bytes::new(), PATIENCE).await
    }

    /// The edges, and what the manifest says of them.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn edges(&self) -> Result<EdgesStatus, AdminError> {
        self.ask(Method::GET, "/v1/edges", Bytes::new(), PATIENCE).await
    }

    /// What failed cells have left behind, of one component or of all.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn postmortems(&self, component: Option<&str>) -> Result<PostmortemsStatus, AdminError> {
        let query = component.map(|component| format!("?component={component}")).unwrap_or_default();
        self.ask(Method::GET, &format!("/v1/postmortems{query}"), Bytes::new(), PATIENCE).await
    }

    /// Follows what happens, from now on: events of these kinds, by their names.
    ///
    /// # Errors
    /// Without an answer.
    pub async fn events(&self, kinds: &str) -> Result<EventStream, AdminError> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = http::Uri::try_from(format!("/v1/events?kinds={kinds}")).unwrap_or_default();
        let (head, mut following) = local::follow(&self.socket, request, PATIENCE).await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(refusal(head.status, &following.rest().await?));
        }
        Ok(EventStream { following, waiting: Vec::new() })
    }

    /// Sends a request and reads the document that it is answered with.
    async fn ask<D: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<D, AdminError> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = http::Uri::try_from(path).unwrap_or_default();
        let answer = local::ask(&self.socket, request, within).await?;
        if answer.status() == StatusCode::OK {
            return Ok(serde_json::from_slice(answer.body())?);
        }
        Err(refusal(answer.status(), answer.body()))
    }
}

fn refusal(status: StatusCode, body: &[u8]) -> AdminError {
    let status = status.as_u16();
    match serde_json::from_slice(body) {
        Ok(Refused { error: Why { message, rejection } }) => {
            AdminError::Refused { status, message, rejection: rejection.map(Box::new) }
        }
        Err(_) => {
            let message = format!("the node refuses without a reason (status {status})");
            AdminError::Refused { status, message, rejection: None }
        }
    }
}

/// What happens on a node, as it happens.
#[derive(Debug)]
pub struct EventStream {
    following: Following,
    waiting: Vec<u8>,
}

/// Bytes of one event.
const MAX_EVENT: usize = 4 << 20;

impl EventStream {
    /// The next event, as `docs/events.md` has it; `None` when the node has stopped.
    ///
    /// # Errors
    /// When the stream breaks off.
    pub async fn next(&mut self) -> Result<Option<serde_json::Value>, AdminError> {
        loop {
            if let Some(end) = self.waiting.windows(2).position(|pair| pair == b"\n\n") {
                let whole: Vec<u8> = self.waiting.drain(..end + 2).collect();
                let whole = String::from_utf8_lossy(&whole);
                // Comments keep the connection alive, and are no events.
                let Some(data) = whole.lines().find_map(|line| line.strip_prefix("data: ")) else { continue };
                let event: serde_json::Value = serde_json::from_str(data)?;
                return Ok(Some(event).filter(|event| event["event"] != "end"));
            }
            match self.following.next().await? {
                Some(more) if self.waiting.len() + more.len() <= MAX_EVENT => self.waiting.extend_from_slice(&more),
                Some(_) | None => return Ok(None),
            }
        }
    }
}
