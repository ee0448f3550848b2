//! Asking a node over its admin socket: what `watertight ps` and its like do.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde::de::DeserializeOwned;
use watertight_ingress::local::{self, LocalError};

use super::{Refused, Why};
use crate::{
    faults::{FaultsStatus, FaultsWanted},
    reload::{Rejection, Reloaded},
    status::{ComponentsStatus, NodeStatus},
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
        let status = answer.status().as_u16();
        Err(match serde_json::from_slice(answer.body()) {
            Ok(Refused { error: Why { message, rejection } }) => {
                AdminError::Refused { status, message, rejection: rejection.map(Box::new) }
            }
            Err(_) => {
                let message = format!("the node refuses without a reason (status {status})");
                AdminError::Refused { status, message, rejection: None }
            }
        })
    }
}
