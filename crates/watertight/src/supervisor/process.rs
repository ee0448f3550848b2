//! One worker's process, from the supervisor's side: started, told where to listen, listened to, and signalled.
//!
//! The two talk over a Unix socket that is the worker's standard input. The worker writes lines (`ready`, `failed: why`);
//! the supervisor sends one message with the listening socket attached. When either end dies, the other reads
//! the end of the stream. Standard output and error are the supervisor's own.

use std::{
    ffi::OsString,
    io::{self, IoSlice, Read},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::Stdio,
};

use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::{
    process::{Child, Command},
    sync::mpsc,
    task::JoinSet,
};

use super::roster::{Happened, Slot};

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    path: PathBuf,
    args: Vec<OsString>,
}

impl WorkerProgram {
    /// This executable again, with other arguments: also after its file was replaced on disk.
    #[must_use]
    pub fn this_executable(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { path: PathBuf::from("/proc/self/exe"), args: args.into_iter().map(Into::into).collect() }
    }
}

/// A worker that runs.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Signals go here, never to a number that another process may have got since.
    handle: OwnedFd,
    channel: UnixStream,
}

/// Bytes that a worker may say; it has little to say, and nobody reads more.
const MOST_SAID: usize = 64 << 10;

impl Process {
    /// Starts a worker and watches it in a task of `watchers`. The last thing told about it is [`Happened::Ended`].
    pub(super) fn spawn(
        program: &WorkerProgram,
        slot: Slot,
        tell: mpsc::Sender<Happened>,
        watchers: &mut JoinSet<()>,
    ) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        let mut child = Command::new(&program.path)
            .arg0(std::env::args_os().next().unwrap_or_else(|| OsString::from("watertight")))
            .args(&program.args)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            // A Ctrl-C in the terminal is for the supervisor, which then drains its workers.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let started = Self::started(&child, ours);
        match started {
            Ok((process, heard)) => {
                watchers.spawn(async move { watch(slot, child, heard, tell).await });
                Ok(process)
            }
            Err(error) => {
                // Nobody would watch it.
                child.start_kill()?;
                Err(error)
            }
        }
    }

    fn started(child: &Child, channel: UnixStream) -> io::Result<(Self, Heard)> {
        let pid = child.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let handle = pidfd_open(raw.ok_or(io::ErrorKind::InvalidInput)?, PidfdFlags::empty())?;
        channel.set_nonblocking(true)?;
        let ear = channel.try_clone()?;
        let heard = Heard {
            readable: tokio::net::UnixStream::from_std(channel.try_clone()?)?,
            ear,
            said: Vec::new(),
            total: 0,
            closed: false,
        };
        Ok((Self { pid, handle, channel }, heard))
    }

    /// Hands the worker its number and its listening socket; the caller keeps the socket open, too.
    pub(super) fn seat(&self, slot: Slot, listener: &TcpListener) -> io::Result<()> {
        let number = u32::try_from(slot).map_err(io::Error::other)?.to_le_bytes();
        let sockets = [listener.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::other("no room for one socket"));
        }
        // A few bytes into an empty buffer: whole, or not at all.
        sendmsg(&self.channel, &[IoSlice::new(&number)], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    pub(super) fn signal(&self, signal: Signal) {
        // Fails only where the process is gone, which its watcher tells.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

/// What a worker says, line by line.
struct Heard {
    readable: tokio::net::UnixStream,
    /// The same socket without the runtime's idea of its readiness, for what was said right before the end.
    ear: UnixStream,
    said: Vec<u8>,
    total: usize,
    closed: bool,
}

impl Heard {
    /// Waits until there is something to hear.
    async fn wait(&mut self) {
        if self.closed || self.readable.readable().await.is_err() {
            self.closed = true;
            std::future::pending::<()>().await;
        }
        // Lets the runtime notice when there is no more.
        let mut chunk = [0; 1024];
        match self.readable.try_read(&mut chunk) {
            Ok(read) => self.take(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
    }

    /// Reads what is there, without waiting.
    fn rest(&mut self) {
        let mut chunk = [0; 1024];
        while !self.closed {
            match self.ear.read(&mut chunk) {
                Ok(read) => self.take(&chunk[..read]),
                Err(_) => self.closed = true,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.total += bytes.len();
        self.closed |= bytes.is_empty() || self.total > MOST_SAID;
        self.said.extend_from_slice(bytes);
    }

    fn next(&mut self, slot: Slot) -> Option<Happened> {
        loop {
            let end = self.said.iter().position(|byte| *byte == b'\n')?;
            let line = self.said.drain(..=end).collect::<Vec<_>>();
            let line = String::from_utf8_lossy(&line);
            if line == super::seat::READY {
                return Some(Happened::Prepared(slot));
            }
            if let Some(why) = line.strip_prefix(super::seat::FAILED) {
                return Some(Happened::Complained(slot, why.trim_end().to_owned()));
            }
        }
    }
}

async fn watch(slot: Slot, mut child: Child, mut heard: Heard, tell: mpsc::Sender<Happened>) {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = heard.wait() => while let Some(said) = heard.next(slot) {
                let _ = tell.send(said).await;
            },
        }
    };
    heard.rest();
    while let Some(said) = heard.next(slot) {
        let _ = tell.send(said).await;
    }
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let _ = tell.send(Happened::Ended(slot, how)).await;
}
