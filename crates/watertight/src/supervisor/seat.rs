//! The worker's side of the supervisor: says that it is ready, gets its listening socket, and learns when to leave.
//!
//! A thread listens to the supervisor for as long as the worker lives, and it alone: it needs neither the runtime nor the
//! guests to cooperate, so a worker whose supervisor is gone is gone soon after, whatever it is doing.

use std::{
    io::{self, IoSliceMut, Write},
    mem::MaybeUninit,
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

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
use tokio_util::sync::CancellationToken;

/// What a worker says when it can serve.
pub(super) const READY: &str = "ready\n";
/// What precedes the reason why it cannot.
pub(super) const FAILED: &str = "failed: ";

/// A worker's place at the supervisor, before it is ready.
#[derive(Debug)]
pub struct WorkerSeat {
    channel: UnixStream,
    post: oneshot::Receiver<(u32, TcpListener)>,
    dismissed: CancellationToken,
}

/// What a worker serves on, and until when.
#[derive(Debug)]
pub struct WorkerPost {
    /// The worker's number, from 0.
    pub worker: u32,
    /// Its own listening socket, in non-blocking mode.
    pub listener: TcpListener,
    /// Cancelled when the worker shall drain and end: on SIGTERM, SIGINT, or when the supervisor is gone.
    pub dismissed: CancellationToken,
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
        let dismissed = CancellationToken::new();
        let (ear, dismiss) = (channel.try_clone()?, dismissed.clone());
        std::thread::Builder::new()
            .name("supervisor".to_owned())
            .stack_size(64 << 10)
            .spawn(move || listen_to_supervisor(&ear, give, &dismiss, drain_limit))?;
        Ok(Self { channel, post, dismissed })
    }

    /// Says that this worker will not serve, and why. The caller ends the process.
    pub fn decline(mut self, why: &str) {
        let line = format!("{FAILED}{}\n", why.replace('\n', " "));
        // Best effort: the supervisor sees the process end in any case.
        let _ = self.channel.write_all(line.as_bytes());
    }

    /// Says that this worker can serve, and waits for its listening socket. Until then, SIGTERM ends the process.
    ///
    /// # Errors
    /// [`SeatError::Gone`] where the supervisor wants it no more.
    pub async fn ready(mut self) -> Result<WorkerPost, SeatError> {
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        self.channel.write_all(READY.as_bytes())?;
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
            dismiss.cancel();
        });
        Ok(WorkerPost { worker, listener, dismissed })
    }
}

/// The thread: the socket comes once, the end of the stream comes when the supervisor is gone.
fn listen_to_supervisor(
    channel: &UnixStream,
    give: oneshot::Sender<(u32, TcpListener)>,
    dismiss: &CancellationToken,
    drain_limit: Duration,
) {
    if let Ok(Some(post)) = receive_post(channel) {
        if give.send(post).is_ok() {
            // Nothing else is ever sent: this returns at the end.
            let _ = receive_post(channel);
            dismiss.cancel();
            std::thread::sleep(drain_limit);
        }
    } else {
        // There is nothing to drain. The receiver learns it, if the process is past loading.
        drop(give);
    }
    let _ = kill_process(getpid(), Signal::KILL);
}

/// The next message: `None` at the end of the stream.
fn receive_post(channel: &UnixStream) -> io::Result<Option<(u32, TcpListener)>> {
    let mut number = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(channel, &mut [IoSliceMut::new(&mut number)], &mut control, flags) {
            Err(rustix::io::Errno::INTR) => {}
            received => break received?,
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    if received.bytes != number.len() || received.flags.contains(ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let socket = control.drain().find_map(|message| {
        let RecvAncillaryMessage::ScmRights(mut sockets) = message else { return None };
        sockets.next()
    });
    let socket = socket.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Some((u32::from_le_bytes(number), TcpListener::from(socket))))
}
