//! Where admin sockets are: made with a name that tells app and process, found again by it, and cleared away when nobody listens.
//!
//! A socket only gets its name once it is listened on, so one that refuses connections belongs to a node that is dead.

use std::{
    fs::{self, DirBuilder},
    io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
            net::{UnixListener, UnixStream},
        },
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Mode, fchmod},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::geteuid,
};

/// The end of a socket's name.
const SUFFIX: &str = ".sock";

/// Requests that wait to be taken.
const BACKLOG: i32 = 16;

/// Nodes that a folder is searched for.
const MAX_NODES: usize = 4096;

/// An admin socket that takes connections, and that nobody serves yet. Dropping it takes its file away.
#[derive(Debug)]
pub struct AdminSocket {
    listener: UnixListener,
    file: SocketFile,
}

/// The file of a socket; dropping it takes it away, if it is still the same.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    inode: (u64, u64),
}

/// A node that was found by its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundNode {
    /// The app, by the socket's name.
    pub app: String,
    /// Its process, by the socket's name.
    pub pid: u32,
    /// The socket.
    pub socket: PathBuf,
}

/// Why there is no admin socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The folder must be the user's alone.
    #[error("{} is not a folder that only this user can use, so no socket is put there", .0.display())]
    NotPrivate(PathBuf),
    /// Another node listens there.
    #[error("another process listens on {}: choose another path", .0.display())]
    Taken(PathBuf),
    /// Something else is there.
    #[error("{} is there already, and is not a socket", .0.display())]
    InTheWay(PathBuf),
    /// The system refuses.
    #[error("cannot make the socket {}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why; a path of more than 107 bytes is an invalid argument.
        error: io::Error,
    },
}

/// The number of this process's user.
#[must_use]
pub fn user() -> u32 {
    geteuid().as_raw()
}

/// Makes a folder that only this user can use, if it is not there, and makes sure of it if it is.
///
/// # Errors
/// When it cannot be made, or others could put something there.
pub fn private_folder(folder: &Path) -> Result<(), SocketError> {
    let failed = |error| SocketError::Io { path: folder.to_owned(), error };
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    // Not followed: a link could be someone else's to turn around.
    let found = fs::symlink_metadata(folder).map_err(failed)?;
    let ours = found.is_dir() && found.uid() == geteuid().as_raw() && found.mode() & 0o077 == 0;
    if ours { Ok(()) } else { Err(SocketError::NotPrivate(folder.to_owned())) }
}

impl AdminSocket {
    /// Makes the socket of this process in a folder; two nodes of one app have two.
    ///
    /// # Errors
    /// As [`AdminSocket::bind`].
    pub fn in_folder(folder: &Path, app: &str) -> Result<Self, SocketError> {
        Self::bind(&folder.join(format!("{app}-{}{SUFFIX}", std::process::id())))
    }

    /// Makes a socket that its owner alone can use. One that a dead process left at `path` is replaced.
    ///
    /// # Errors
    /// When somebody listens there, something else is there, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |error: io::Error| SocketError::Io { path: path.to_owned(), error };
        match look(path) {
            Seen::Nothing => {}
            Seen::Dead => fs::remove_file(path).map_err(failed)?,
            Seen::Alive => return Err(SocketError::Taken(path.to_owned())),
            Seen::Other => return Err(SocketError::InTheWay(path.to_owned())),
        }
        let mut hidden = path.as_os_str().to_owned();
        hidden.push(format!(".{}", std::process::id()));
        let hidden = PathBuf::from(hidden);
        let _ = fs::remove_file(&hidden);
        let socket = open(&hidden).map_err(failed)?;
        let named = fs::symlink_metadata(&hidden).and_then(|made| fs::rename(&hidden, path).map(|()| made));
        let made = named.map_err(|error| {
            let _ = fs::remove_file(&hidden);
            failed(error)
        })?;
        let file = SocketFile { path: path.to_owned(), inode: (made.dev(), made.ino()) };
        Ok(Self { listener: UnixListener::from(socket), file })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Its parts, for a runtime: the socket, and what takes its file away at the end.
    pub(crate) fn listen(self) -> io::Result<(tokio::net::UnixListener, SocketFile)> {
        Ok((tokio::net::UnixListener::from_std(self.listener)?, self.file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let same = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.inode);
        if same {
            // Otherwise the next who looks clears it away.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// A listening socket whose file has the mode 0600 from its first moment.
fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// What is at a path.
enum Seen {
    Nothing,
    /// A socket that nobody listens on.
    Dead,
    Alive,
    Other,
}

fn look(path: &Path) -> Seen {
    match fs::symlink_metadata(path) {
        Err(_) => Seen::Nothing,
        Ok(found) if !found.file_type().is_socket() => Seen::Other,
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Seen::Dead,
            // It may be of another user, or busy: it is somebody's.
            Ok(_) | Err(_) => Seen::Alive,
        },
    }
}

/// The nodes whose sockets are in a folder, by their names. Sockets of the dead are cleared away.
#[must_use]
pub fn nodes(folder: &Path) -> Vec<FoundNode> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten().take(MAX_NODES) {
        let Some((app, pid)) = entry.file_name().to_str().and_then(parse) else { continue };
        let socket = entry.path();
        match look(&socket) {
            Seen::Alive => found.push(FoundNode { app, pid, socket }),
            Seen::Dead => drop(fs::remove_file(&socket)),
            Seen::Nothing | Seen::Other => {}
        }
    }
    found.sort_by(|a, b| (&a.app, a.pid).cmp(&(&b.app, b.pid)));
    found
}

/// The app and the process that a socket is named after.
fn parse(name: &str) -> Option<(String, u32)> {
    let (app, pid) = name.strip_suffix(SUFFIX)?.rsplit_once('-')?;
    Some((app.to_owned(), pid.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("the temporary folder is writable")
    }

    #[test]
    fn a_socket_is_the_owners_alone_and_goes_with_its_node() {
        let folder = folder();
        let socket = AdminSocket::in_folder(folder.path(), "press-2").expect("there is room");
        let mode = fs::symlink_metadata(socket.path()).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let pid = std::process::id();
        let path = socket.path().to_owned();
        assert_eq!(nodes(folder.path()), [FoundNode { app: "press-2".to_owned(), pid, socket: path.clone() }]);
        assert!(matches!(AdminSocket::bind(&path), Err(SocketError::Taken(_))), "somebody listens there");
        drop(socket);
        assert_eq!(fs::read_dir(folder.path()).expect("it is a folder").count(), 0);
    }

    #[test]
    fn what_the_dead_left_is_replaced_and_cleared_away() {
        let folder = folder();
        let path = folder.path().join("press-1.sock");
        drop(UnixListener::bind(&path).expect("there is room"));
        assert!(path.exists());
        let again = AdminSocket::bind(&path).expect("nobody listens there any more");
        assert!(UnixStream::connect(again.path()).is_ok());
        let dead = folder.path().join("press-2.sock");
        drop(UnixListener::bind(&dead).expect("there is room"));
        assert_eq!(nodes(folder.path()).len(), 1);
        assert!(!dead.exists());
    }

    #[test]
    fn nothing_else_is_touched() {
        let folder = folder();
        let file = folder.path().join("press-1.sock");
        fs::write(&file, "a diary").expect("the temporary folder is writable");
        assert!(matches!(AdminSocket::bind(&file), Err(SocketError::InTheWay(_))));
        assert_eq!(nodes(folder.path()), []);
        assert!(file.exists());
        let long = folder.path().join("x".repeat(200));
        assert!(matches!(AdminSocket::bind(&long), Err(SocketError::Io { .. })));
    }

    #[test]
    fn a_folder_that_others_can_use_is_refused() {
        let folder = folder();
        let private = folder.path().join("private");
        private_folder(&private).expect("it can be made");
        private_folder(&private).expect("it is private");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o770)).expect("it is ours");
        assert!(matches!(private_folder(&private), Err(SocketError::NotPrivate(_))));
        let link = folder.path().join("link");
        symlink(folder.path(), &link).expect("the temporary folder is writable");
        assert!(matches!(private_folder(&link), Err(SocketError::NotPrivate(_))));
    }
}
