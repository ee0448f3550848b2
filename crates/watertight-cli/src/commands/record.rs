//! `watertight record`: the calls that cross edges of a running node, in a file.
//!
//! ```text
//!   node ◀── asks, again and again ── this task ── bounded queue ──▶ a thread that writes
//! ```
//!
//! A disk that is slow fills the queue; then calls are left out and counted, and the node is asked on. One that is full, or breaks, ends the
//! recording: what was written whole is kept, and the file ends there.

use std::{
    fs::{File, OpenOptions},
    hash::{BuildHasher as _, RandomState},
    io,
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use watertight::{
    Signals,
    admin::AdminClient,
    record::{RecordTaken, RecordWanted},
    recording::{Call, Crossed, End, Header, RecordedFunction, Writer},
};

use crate::{
    args::{Format, Record},
    exit::Exit,
    failure::Failure,
    nodes, terminal,
};

/// How often a node is asked that has nothing new.
const EVERY: Duration = Duration::from_millis(50);

/// What waits for the disk: answers of the node, and bytes in them.
const MAX_QUEUED: usize = 256;
const MAX_QUEUED_BYTES: usize = 64 << 20;

/// What was recorded.
#[derive(Debug, Serialize)]
struct Told<'a> {
    file: &'a Path,
    app: String,
    calls: u64,
    dropped: u64,
    bytes: u64,
}

pub(crate) fn record(args: &Record) -> Result<(), Failure> {
    let help = "say which: watertight record APP, or its process id";
    let node = nodes::meant_to_act(args.node.as_deref(), help)?.into_iter().next();
    let Some(node) = node else { return Err(Failure::new(Exit::NoNode, "no node runs")) };
    let client = nodes::client(&node);
    let wanted = RecordWanted {
        id: RandomState::new().hash_one(std::process::id()),
        edges: args.edges.clone(),
        function: args.function.clone(),
        redacted: args.with_redacted,
        close: false,
    };
    super::runtime()?.block_on(async {
        let about = client.node().await?;
        // What cannot be recorded is told before there is a file.
        let first = client.record(&wanted).await?;
        if let Some(why) = first.refused {
            return Err(Failure::new(Exit::Usage, why));
        }
        let recorded = write(&client, &wanted, args, &about.app, &about.version).await;
        // Best effort: what nobody takes goes by itself.
        let _ = client.record(&RecordWanted { close: true, ..wanted }).await;
        recorded
    })
}

async fn write(
    client: &AdminClient,
    wanted: &RecordWanted,
    args: &Record,
    app: &str,
    version: &str,
) -> Result<(), Failure> {
    let file = open(&args.output)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let header = Header {
        app: app.to_owned(),
        version: version.to_owned(),
        watertight: env!("CARGO_PKG_VERSION").to_owned(),
        began_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
    };
    let mut disk = Disk::start(file, header, args.count)?;
    let mut signals = Signals::mind()?;
    let asked = tokio::select! {
        asked = ask(client, wanted, args, &disk) => asked,
        () = signals.stopped() => Ok(()),
    };
    let written = disk.finish();
    let shown = args.output.display();
    let (end, bytes, broken) = written;
    let told = Told { file: &args.output, app: app.to_owned(), calls: end.calls, dropped: end.dropped, bytes };
    match args.format {
        Format::Json => terminal::print_json(&told)?,
        Format::Text => {
            let missing = match end.dropped {
                0 => String::new(),
                missing => format!("; {missing} are missing: more came than could be written"),
            };
            terminal::tell(&format!("{} calls in {shown} ({bytes} bytes){missing}\n", end.calls));
        }
    }
    if let Some(error) = broken {
        let why = format!("cannot write {shown} any further: {error}; it is good as far as it goes");
        return Err(Failure::new(Exit::NoOutput, why));
    }
    asked
}

/// Asks the node until the time is over, there are as many calls as wanted, or the file takes no more.
async fn ask(client: &AdminClient, wanted: &RecordWanted, args: &Record, disk: &Disk) -> Result<(), Failure> {
    let began = Instant::now();
    loop {
        let over = args.time.is_some_and(|time| began.elapsed() >= time);
        let taken = client.record(wanted).await?;
        if let Some(why) = &taken.refused {
            return Err(Failure::new(Exit::Usage, why.clone()));
        }
        let idle = taken.calls.is_empty();
        disk.put(taken);
        // What was there when the time was over is still taken.
        if (over && idle) || disk.is_done() || args.time.is_some_and(|time| began.elapsed() >= time + GRACE) {
            return Ok(());
        }
        if idle {
            tokio::time::sleep(EVERY).await;
        }
    }
}

/// How long after its end a recording takes what still waits.
const GRACE: Duration = Duration::from_secs(2);

/// The file: a new one that its owner alone can read, or a device.
fn open(path: &Path) -> Result<File, Failure> {
    let mut options = OpenOptions::new();
    options.write(true);
    let there = std::fs::metadata(path);
    let special = there.is_ok_and(|found| {
        let kind = found.file_type();
        kind.is_char_device() || kind.is_fifo()
    });
    if !special {
        options.create_new(true).mode(0o600);
    }
    options.open(path).map_err(|error| {
        let failure = Failure::new(Exit::NoOutput, format!("cannot write {}: {error}", path.display()));
        if error.kind() == io::ErrorKind::AlreadyExists {
            failure.help("choose another name: nothing is written over")
        } else {
            failure
        }
    })
}

/// What writes, and its queue.
struct Disk {
    queue: Option<SyncSender<Batch>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<(End, u64, Option<io::Error>)>>,
}

#[derive(Debug, Default)]
struct Shared {
    queued: AtomicUsize,
    /// Calls that there was no room for in the queue.
    dropped: AtomicUsize,
    /// It takes no more: there are enough, or it is broken.
    done: AtomicBool,
}

struct Batch {
    calls: Vec<(RecordedFunction, Call)>,
    dropped: u64,
    bytes: usize,
}

impl Disk {
    fn start(file: File, header: Header, count: Option<u64>) -> Result<Self, Failure> {
        let (queue, batches) = sync_channel(MAX_QUEUED);
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || keep(file, &header, &batches, &seen, count))?;
        Ok(Self { queue: Some(queue), shared, thread: Some(thread) })
    }

    fn is_done(&self) -> bool {
        self.shared.done.load(Relaxed)
    }

    /// Queues what was taken, if there is room.
    fn put(&self, taken: RecordTaken) {
        let dropped = taken.dropped;
        let calls: Vec<_> = taken.into_calls().collect();
        if calls.is_empty() && dropped == 0 {
            return;
        }
        let bytes = calls.iter().map(|(_, call)| held(&call.arguments) + held(&call.results)).sum();
        let count = calls.len();
        let room = self.shared.queued.load(Relaxed).saturating_add(bytes) <= MAX_QUEUED_BYTES;
        let batch = Batch { calls: if room { calls } else { Vec::new() }, dropped, bytes };
        let Some(queue) = &self.queue else { return };
        self.shared.queued.fetch_add(bytes, Relaxed);
        let queued = queue.try_send(batch).is_ok();
        if !queued || !room {
            let lost = count + if queued { 0 } else { usize::try_from(dropped).unwrap_or(usize::MAX) };
            self.shared.dropped.fetch_add(lost, Relaxed);
        }
        if !queued {
            self.shared.queued.fetch_sub(bytes, Relaxed);
        }
    }

    /// Ends the file: what is in it, how long it is, and why it ended early.
    fn finish(&mut self) -> (End, u64, Option<io::Error>) {
        self.queue = None;
        let ended = self.thread.take().map(JoinHandle::join);
        let broken = || (End::default(), 0, Some(io::Error::other("what writes it has failed")));
        ended.and_then(Result::ok).unwrap_or_else(broken)
    }
}

fn held(crossed: &Crossed) -> usize {
    match crossed {
        Crossed::Bytes(bytes) => bytes.len(),
        Crossed::None | Crossed::Handles | Crossed::TooLarge(_) => 0,
    }
}

/// The thread: writes what comes until nothing more does, or it breaks. Each part is one write, so that what is in the file is whole.
fn keep(
    file: File,
    header: &Header,
    batches: &Receiver<Batch>,
    shared: &Shared,
    count: Option<u64>,
) -> (End, u64, Option<io::Error>) {
    let copy = file.try_clone();
    let mut writer = Writer::new(file);
    let enough = |writer: &Writer<File>| count.is_some_and(|count| writer.so_far().calls >= count);
    let mut write = || {
        writer.begin(header)?;
        for batch in batches {
            shared.queued.fetch_sub(batch.bytes, Relaxed);
            writer.dropped(batch.dropped);
            for (function, call) in batch.calls {
                if !enough(&writer) {
                    writer.call(&function, &call)?;
                }
            }
            if enough(&writer) {
                shared.done.store(true, Relaxed);
            }
        }
        writer.dropped(shared.dropped.load(Relaxed) as u64);
        writer.end()
    };
    let error = write().err();
    shared.done.store(true, Relaxed);
    if let (Some(_), Ok(file)) = (&error, copy) {
        // What was written of the next part would look like damage. A device has no length, and needs none.
        let _ = file.set_len(writer.whole());
    }
    (writer.so_far().clone(), writer.whole(), error)
}
