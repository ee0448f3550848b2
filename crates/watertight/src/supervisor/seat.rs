//! The worker's side of the supervisor: says that it is ready, gets its listening socket, and learns when to leave.
//!
//! A thread listens to the supervisor for as long as the worker lives, and it alone: it needs neither the runtime nor the
//! guests to cooperate, so a worker whose supervisor is gone is gone soon after, whatever it is doing, and one that is asked for its state
//! answers, however busy it is.

use std::{
    collections::VecDeque,
    io::{self, IoSliceMut, Write},
    mem::MaybeUninit,
    net::TcpListener,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;

use rustix::{
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg,
        sockopt::socket_domain,
    },
    process::{Signal, getpid, kill_process},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use watertight_ingress::Drain;

use crate::control::{self, Answer, Desk, Frames, MAX_TO_SUPERVISOR, MAX_TO_WORKER, ToSupervisor, ToWorker};
use crate::ferry::Placement;

/// The most of a reason that a supervisor is told.
const MAX_REASON: usize = 16 << 10;

/// The stack of the thread that listens: it writes answers.
const LISTENER_STACK: usize = 512 << 10;

/// How long a worker whose place another has waits for the next request of a connection that is idle: it is answered, and told that it
/// was the last one there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// A worker's place at the supervisor, before it is ready.
#[derive(Debug)]
pub struct WorkerSeat {
    line: Arc<Line>,
    post: oneshot::Receiver<(u32, TcpListener)>,
    dismissed: Drain,
}

/// The worker's end of the stream.
struct Line {
    channel: UnixStream,
    /// One message at a time.
    speaking: Mutex<()>,
    desk: OnceLock<Arc<dyn Desk>>,
}

/// What a worker serves on, and until when.
#[derive(Debug)]
pub struct WorkerPost {
    /// The worker's number, from 0.
    pub worker: u32,
    /// Its own listening socket, in non-blocking mode.
    pub listener: TcpListener,
    /// Cancelled when the worker shall drain and end: on SIGTERM, SIGINT, when another has its place, or when the supervisor is gone.
    pub dismissed: Drain,
}

/// Why a worker has no place.
#[derive(Debug, thiserror::Error)]
pub enum SeatError {
    /// A person started it.
    #[error("this command is for the supervisor to start; use `watertight serve`")]
    NotSupervised,
    /// The supervisor is gone, or wants no more workers.
    #[error("the supervisor is gone")]
    Gone,
    /// The system refuses.
    #[error("cannot talk to the supervisor: {0}")]
    Io(#[from] io::Error),
}

impl WorkerSeat {
    /// Takes the place that the supervisor offers on standard input, which reads as empty from then on. After the
    /// supervisor's death the worker may drain for `drain_limit`; then it kills itself.
    ///
    /// # Errors
    /// Where no supervisor started this process.
    pub fn take(drain_limit: Duration) -> Result<Self, SeatError> {
        let stdin = io::stdin();
        if socket_domain(&stdin).ok() != Some(AddressFamily::UNIX) {
            return Err(SeatError::NotSupervised);
        }
        let channel = UnixStream::from(stdin.as_fd().try_clone_to_owned()?);
        channel.set_nonblocking(false)?;
        rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?).map_err(io::Error::from)?;
        let (give, post) = oneshot::channel();
        let dismissed = Drain::new();
        let line = Arc::new(Line { channel, speaking: Mutex::new(()), desk: OnceLock::new() });
        let (ear, dismiss) = (Arc::clone(&line), dismissed.clone());
        std::thread::Builder::new()
            .name("supervisor".to_owned())
            .stack_size(LISTENER_STACK)
            .spawn(move || listen_to_supervisor(&ear, give, &dismiss, drain_limit))?;
        Ok(Self { line, post, dismissed })
    }

    /// Who answers the supervisor from now on; before, it is told that the worker is still loading.
    pub(crate) fn open_desk(&self, desk: Arc<dyn Desk>) {
        // There is one desk: a second one would have nothing to do.
        let _ = self.line.desk.set(desk);
    }

    /// Says that this worker will not serve, and why. The caller ends the process.
    pub fn decline(self, why: &str) {
        let end = why.floor_char_boundary(MAX_REASON);
        // Best effort: the supervisor sees the process end in any case.
        let _ = self.line.say(&ToSupervisor::Failed(why[..end].to_owned()));
    }

    /// Says that this worker can serve, and waits for its listening socket. Until then, SIGTERM ends the process.
    ///
    /// # Errors
    /// [`SeatError::Gone`] where the supervisor wants it no more.
    pub async fn ready(mut self) -> Result<WorkerPost, SeatError> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        self.line.say(&ToSupervisor::Ready)?;
        let (worker, listener) = tokio::select! {
            post = &mut self.post => post.map_err(|_| SeatError::Gone)?,
            _ = terminate.recv() => return Err(SeatError::Gone),
            _ = interrupt.recv() => return Err(SeatError::Gone),
        };
        listener.set_nonblocking(true)?;
        let dismissed = self.dismissed.clone();
        let dismiss = self.dismissed;
        tokio::spawn(async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            dismiss.now();
        });
        Ok(WorkerPost { worker, listener, dismissed })
    }
}

impl Line {
    fn say(&self, message: &ToSupervisor) -> io::Result<()> {
        let bytes = control::frame(message, MAX_TO_SUPERVISOR)?;
        let _turn = self.speaking.lock();
        (&self.channel).write_all(&bytes)
    }

    /// Passes on who has the components that the node has once. Nobody says so before the worker is ready, and has a desk.
    fn place(&self, placement: Placement) -> Result<(), ()> {
        self.desk.get().map(|desk| desk.place(placement)).ok_or(())
    }

    fn answer(&self, id: u64, ask: control::Ask) -> io::Result<()> {
        let answer = match self.desk.get() {
            Some(desk) => desk.answer(ask),
            None => Answer::Refused("the worker is loading the app".to_owned()),
        };
        match self.say(&ToSupervisor::Answer { id, answer }) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.say(&ToSupervisor::Answer { id, answer: Answer::Refused(error.to_string()) })
            }
            said => said,
        }
    }
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Line").field("channel", &self.channel).finish_non_exhaustive()
    }
}

/// The thread: the socket comes once, questions come at any time, and the end of the stream comes when the supervisor is gone.
fn listen_to_supervisor(
    line: &Line,
    give: oneshot::Sender<(u32, TcpListener)>,
    dismiss: &Drain,
    drain_limit: Duration,
) {
    let mut give = Some(give);
    let mut ear = Ear { frames: Frames::new(MAX_TO_WORKER), sockets: VecDeque::new() };
    // What breaks the conversation is as good as its end.
    while let Ok(Some(message)) = ear.next(&line.channel) {
        let heard = match message {
            ToWorker::Seat { worker } => match (ear.sockets.pop_front(), give.take()) {
                (Some(socket), Some(give)) => give.send((worker, TcpListener::from(socket))).map_err(|_| ()),
                (None, _) | (_, None) => Err(()),
            },
            ToWorker::Keep => line.place(Placement::Keep),
            ToWorker::Caller => ear.sockets.pop_front().map_or(Err(()), |socket| line.place(Placement::Caller(socket))),
            ToWorker::Keeper => ear.sockets.pop_front().map_or(Err(()), |socket| line.place(Placement::Keeper(socket))),
            // One that does not serve yet has nothing to drain.
            ToWorker::Retire if give.is_some() => Err(()),
            ToWorker::Retire => {
                dismiss.patiently(PATIENCE.min(drain_limit / 2));
                Ok(())
            }
            ToWorker::Ask { id, ask } => line.answer(id, ask).map_err(|_| ()),
        };
        if heard.is_err() {
            break;
        }
    }
    if give.is_none() {
        dismiss.now();
        std::thread::sleep(drain_limit);
    } else {
        // There is nothing to drain. The receiver learns it, if the process is past loading.
        drop(give);
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

/// What came, and was not looked at yet.
struct Ear {
    frames: Frames,
    sockets: VecDeque<OwnedFd>,
}

/// Sockets that may have come before the messages that they belong to.
const MAX_SOCKETS: usize = 16;

impl Ear {
    /// The next message: `None` at the end of the stream.
    fn next(&mut self, channel: &UnixStream) -> io::Result<Option<ToWorker>> {
        loop {
            if let Some(message) = self.frames.next()? {
                return Ok(Some(message));
            }
            if !self.receive(channel)? {
                return Ok(None);
            }
        }
    }

    fn receive(&mut self, channel: &UnixStream) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            match recvmsg(channel, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags) {
                Err(rustix::io::Errno::INTR) => {}
                received => break received?,
            }
        };
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.frames.push(&bytes[..received.bytes]);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(sockets) = message {
                self.sockets.extend(sockets);
            }
        }
        if self.sockets.len() > MAX_SOCKETS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(received.bytes > 0)
    }
}
