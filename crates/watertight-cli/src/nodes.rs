//! Where the admin sockets of this user's nodes are, and which of them a person means.
//!
//! `$XDG_RUNTIME_DIR/watertight`, or `/tmp/watertight-UID` where there is no such place.

use std::{
    env,
    path::{Path, PathBuf},
};

use watertight::admin::{self, AddressError, AdminClient, AdminError, AdminSocket, FoundNode, SocketError};

use crate::{exit::Exit, failure::Failure};

/// The folder of the sockets.
pub(crate) fn folder() -> PathBuf {
    let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute() && path.is_dir());
    match runtime {
        Some(runtime) => runtime.join("watertight"),
        None => PathBuf::from(format!("/tmp/watertight-{}", admin::user())),
    }
}

/// The socket of a node that starts. Without one it serves all the same, unless one was asked for.
pub(crate) fn socket(given: Option<&Path>, app: &str) -> Result<Option<AdminSocket>, Failure> {
    if let Some(path) = given {
        return Ok(Some(AdminSocket::bind(path)?));
    }
    let folder = folder();
    let made = admin::private_folder(&folder).and_then(|()| {
        // What nodes that were killed have left there.
        drop(admin::nodes(&folder));
        AdminSocket::in_folder(&folder, app)
    });
    Ok(made.inspect_err(|error| tracing::warn!("nobody can ask after this node: {error}")).ok())
}

/// The nodes that a person means: all, those of an app, the one of a process, or the one at a socket.
pub(crate) fn meant(by: Option<&str>) -> Result<Vec<FoundNode>, Failure> {
    let folder = folder();
    let none = |what: String| Failure::new(Exit::NoNode, what).help("start one with: watertight serve APP");
    let Some(by) = by else {
        let all = admin::nodes(&folder);
        return if all.is_empty() {
            Err(none(format!("no node runs; looked in {}", folder.display())))
        } else {
            Ok(all)
        };
    };
    if by.contains('/') {
        return Ok(vec![FoundNode { app: String::new(), pid: 0, socket: by.into() }]);
    }
    let is_meant = |node: &FoundNode| node.app == by || by.parse().is_ok_and(|pid: u32| pid == node.pid);
    let found: Vec<_> = admin::nodes(&folder).into_iter().filter(is_meant).collect();
    if found.is_empty() {
        let what = if by.parse::<u32>().is_ok() { "is process" } else { "runs an app called" };
        return Err(none(format!("no node {what} {by}; looked in {}", folder.display())));
    }
    Ok(found)
}

/// The nodes that a person means who wants something done to them: where several run, `help` tells how to say which.
pub(crate) fn meant_to_act(by: Option<&str>, help: &str) -> Result<Vec<FoundNode>, Failure> {
    let found = meant(by)?;
    if by.is_none() && found.len() > 1 {
        let names: Vec<_> = found.iter().map(|node| format!("{} ({})", node.app, node.pid)).collect();
        let which = format!("several nodes run: {}", names.join(", "));
        return Err(Failure::new(Exit::Usage, which).help(help));
    }
    Ok(found)
}

/// Asks after a node.
pub(crate) fn client(node: &FoundNode) -> AdminClient {
    AdminClient::new(&node.socket)
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        Self::new(Exit::NoListen, error.to_string()).help("choose another place with --admin-socket")
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        let exit = match error {
            AddressError::Open(_) | AddressError::Token => Exit::Usage,
            AddressError::Io { .. } => Exit::NoListen,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        Self::new(Exit::NoNode, error.to_string())
    }
}
