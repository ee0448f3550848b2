//! One worker's process, from the supervisor's side: started, told where to listen, listened to, and signalled.
//!
//! The two talk over a Unix socket that is the worker's standard input, in the messages of `control`. One message of the supervisor
//! has the listening socket attached. When either end dies, the other reads the end of the stream. Standard output and error are
//! the supervisor's own.

use std::{
    collections::HashMap,
    ffi::OsString,
    io::{self, IoSlice, Read},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    process::Stdio,
    sync::Arc,
};

use parking_lot::Mutex;

use rustix::{
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::{
    process::{Child, Command},
    sync::{mpsc, oneshot},
    task::JoinSet,
};

use super::roster::{Happened, Who};
use crate::control::{self, Answer, Ask, Frames, MAX_TO_SUPERVISOR, MAX_TO_WORKER, ToSupervisor, ToWorker};
use crate::orders::PostedOrders;

/// How to start a worker.
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    path: PathBuf,
    args: Vec<OsString>,
    /// What the arguments name, and must be there for as long as workers start.
    _kept: Option<Arc<PostedOrders>>,
    /// Whether its app has components that the node has once.
    pub(super) for_the_node: bool,
}

impl WorkerProgram {
    /// This executable again, with other arguments: also after its file was replaced on disk.
    #[must_use]
    pub fn this_executable(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self {
            path: PathBuf::from("/proc/self/exe"),
            args: args.into_iter().map(Into::into).collect(),
            _kept: None,
            for_the_node: false,
        }
    }

    /// Its app has components that the node has once, or has none.
    pub(crate) fn for_the_node(self, for_the_node: bool) -> Self {
        Self { for_the_node, ..self }
    }

    /// Keeps orders that the arguments name.
    pub(crate) fn keeping(self, orders: PostedOrders) -> Self {
        Self { _kept: Some(Arc::new(orders)), ..self }
    }
}

/// A worker that runs.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// Signals go here, never to a number that another process may have got since.
    handle: OwnedFd,
    channel: UnixStream,
    questions: Arc<Mutex<Questions>>,
}

/// What a worker was asked and has not answered yet.
#[derive(Debug, Default)]
struct Questions {
    next: u64,
    open: HashMap<u64, oneshot::Sender<Answer>>,
}

/// Questions that one worker may leave unanswered; it is asked no more until somebody gives up on one.
const MAX_QUESTIONS: usize = 64;

impl Process {
    /// Starts a worker and watches it in a task of `watchers`. The last thing told about it is [`Happened::Ended`].
    pub(super) fn spawn(
        program: &WorkerProgram,
        who: Who,
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
                watchers.spawn(async move { watch(who, child, heard, tell).await });
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
            said: Frames::new(MAX_TO_SUPERVISOR),
            questions: Arc::default(),
            closed: false,
        };
        let questions = Arc::clone(&heard.questions);
        Ok((Self { pid, handle, channel, questions }, heard))
    }

    /// Hands the worker its number and its listening socket; the caller keeps the socket open, too.
    pub(super) fn seat(&self, who: Who, listener: &TcpListener) -> io::Result<()> {
        let worker = u32::try_from(who.slot).map_err(io::Error::other)?;
        self.send_with(&ToWorker::Seat { worker }, listener.as_fd())
    }

    /// Tells the worker that it has the components that the node has once.
    pub(super) fn keep(&self) -> io::Result<()> {
        self.send(&ToWorker::Keep, &mut SendAncillaryBuffer::default())
    }

    /// Connects the worker to the one that has them.
    pub(super) fn connect(&self, keeper: &Self) -> io::Result<()> {
        let (callers, keepers) = UnixStream::pair()?;
        keeper.send_with(&ToWorker::Caller, keepers.as_fd())?;
        self.send_with(&ToWorker::Keeper, callers.as_fd())
    }

    /// Tells the worker to drain without hurry: another has its place.
    pub(super) fn retire(&self) -> io::Result<()> {
        self.send(&ToWorker::Retire, &mut SendAncillaryBuffer::default())
    }

    /// Asks the worker something. The answer comes in its own time; where it never does, the sender of it is dropped with the process.
    pub(super) fn ask(&self, ask: Ask) -> io::Result<oneshot::Receiver<Answer>> {
        let (sender, answer) = oneshot::channel();
        let id = {
            let mut questions = self.questions.lock();
            questions.open.retain(|_, waiting| !waiting.is_closed());
            if questions.open.len() >= MAX_QUESTIONS {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            questions.next += 1;
            let id = questions.next;
            questions.open.insert(id, sender);
            id
        };
        self.send(&ToWorker::Ask { id, ask }, &mut SendAncillaryBuffer::default())?;
        Ok(answer)
    }

    /// Sends a message and a socket.
    fn send_with(&self, message: &ToWorker, socket: BorrowedFd<'_>) -> io::Result<()> {
        let sockets = [socket];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&sockets)) {
            return Err(io::Error::other("no room for one socket"));
        }
        self.send(message, &mut control)
    }

    /// Sends a message whole or not at all: one that is so short goes into the socket's buffer in one piece.
    fn send(&self, message: &ToWorker, control: &mut SendAncillaryBuffer<'_, '_, '_>) -> io::Result<()> {
        let bytes = control::frame(message, MAX_TO_WORKER)?;
        let sent = sendmsg(&self.channel, &[IoSlice::new(&bytes)], control, SendFlags::NOSIGNAL)?;
        if sent == bytes.len() {
            return Ok(());
        }
        // The worker waits for the rest of a message that will not come: it is of no use any more, and sees the end.
        self.channel.shutdown(std::net::Shutdown::Both)?;
        Err(io::ErrorKind::WriteZero.into())
    }

    pub(super) fn signal(&self, signal: Signal) {
        // Fails only where the process is gone, which its watcher tells.
        let _ = pidfd_send_signal(&self.handle, signal);
    }
}

/// What a worker says.
struct Heard {
    readable: tokio::net::UnixStream,
    /// The same socket without the runtime's idea of its readiness, for what was said right before the end.
    ear: UnixStream,
    said: Frames,
    questions: Arc<Mutex<Questions>>,
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
        let mut chunk = [0; 4096];
        match self.readable.try_read(&mut chunk) {
            Ok(read) => self.take(&chunk[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.closed = true,
        }
    }

    /// Reads what is there, without waiting.
    fn rest(&mut self) {
        let mut chunk = [0; 4096];
        while !self.closed {
            match self.ear.read(&mut chunk) {
                Ok(read) => self.take(&chunk[..read]),
                Err(_) => self.closed = true,
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.closed |= bytes.is_empty();
        self.said.push(bytes);
    }

    fn next(&mut self, who: Who) -> Option<Happened> {
        loop {
            match self.said.next() {
                Ok(Some(ToSupervisor::Ready)) => return Some(Happened::Prepared(who)),
                Ok(Some(ToSupervisor::Failed(why))) => return Some(Happened::Complained(who, why.replace('\n', " "))),
                Ok(Some(ToSupervisor::Answer { id, answer })) => {
                    if let Some(asked) = self.questions.lock().open.remove(&id) {
                        // Who asked may have given up.
                        let _ = asked.send(answer);
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(worker = who.slot, %error, "a worker talks nonsense, and is not listened to any more");
                    self.said = Frames::new(0);
                    self.closed = true;
                    return None;
                }
            }
        }
    }
}

async fn watch(who: Who, mut child: Child, mut heard: Heard, tell: mpsc::Sender<Happened>) {
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            () = heard.wait() => while let Some(said) = heard.next(who) {
                let _ = tell.send(said).await;
            },
        }
    };
    heard.rest();
    while let Some(said) = heard.next(who) {
        let _ = tell.send(said).await;
    }
    // Whatever it was asked, it will not answer.
    heard.questions.lock().open.clear();
    let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
    let _ = tell.send(Happened::Ended(who, how)).await;
}
