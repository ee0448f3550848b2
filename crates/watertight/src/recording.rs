//! Recordings: a file of calls with the frames that crossed. `docs/recording.md` has its format.
//!
//! ```text
//!   magic · version │ header │ function │ call │ call │ function │ call │ … │ end
//!                     each: length · kind · body · digest
//! ```
//!
//! A file is guest data and may be damaged or made by an enemy: every length has a bound, every part a digest, and what stands before the
//! damage is read all the same. Nothing here knows types: what a frame means is for [`replay`](crate::replay) to find out.

use std::{
    fmt,
    io::{self, Read, Write},
};

use serde::{Deserialize, Serialize};

/// How a recording begins. The first byte is no text, and the line ends tell of a transfer that changed them.
pub const MAGIC: [u8; 8] = *b"\x89WTREC\r\n";

/// The version of the format. A reader refuses those that it does not know.
pub const VERSION: u16 = 1;

/// Bytes of a part, its kind included: a call with its two frames, and what is known of it.
pub const MAX_PART: usize = 2 * watertight_runtime::MAX_RECORDED_FRAME + (64 << 10);

/// Functions in one recording.
pub const MAX_FUNCTIONS: usize = 1 << 16;

/// Bytes of calls that a reader keeps.
pub const MAX_READ: usize = 2 << 30;

/// Bytes of a digest: the start of BLAKE3's of all that stands before it in its part.
const DIGEST: usize = 8;

/// Bytes of a length.
const LENGTH: usize = 4;

/// What recorded, and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// The app's name.
    pub app: String,
    /// Its version.
    pub version: String,
    /// The version of what recorded.
    pub watertight: String,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
}

/// A function over an edge, as it was when it was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordedFunction {
    /// The caller.
    pub from: String,
    /// The callee.
    pub to: String,
    /// The import's full name in the caller.
    pub import: String,
    /// The export's full name in the callee.
    pub export: String,
    /// Its name.
    pub function: String,
    /// As WIT has it, for people.
    pub signature: String,
    /// The types of its parameters, written out.
    pub parameters: String,
    /// That of its result.
    pub results: String,
    /// Its values hold handles, streams or futures.
    pub handles: bool,
    /// The manifest keeps its values to itself.
    pub redacted: bool,
    /// How long a cell of the callee lives.
    pub lifetime: String,
    /// BLAKE3 of the callee's bytes.
    pub digest: String,
    /// What the callee could spend.
    pub memory_bytes: u64,
    /// Cpu, in milliseconds.
    pub cpu_ms: u64,
    /// Time, in milliseconds.
    pub deadline_ms: u64,
}

/// A call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Which of the functions that came before.
    pub function: u32,
    /// The process that it was made in.
    pub pid: u32,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// Itself and what it is part of; 0 where that is not known.
    pub span: u64,
    /// What it is part of.
    pub parent: u64,
    /// How it ended: `ok`, `cancelled`, or how it failed.
    pub outcome: String,
    /// Its answer is not the callee's own: another was called instead, or a drill had it fail.
    pub borrowed: bool,
    /// What went in.
    pub arguments: Crossed,
    /// What its caller got.
    pub results: Crossed,
}

/// What is known of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Crossed {
    /// There was none.
    #[default]
    None,
    /// Its bytes.
    Bytes(Vec<u8>),
    /// It held handles.
    Handles,
    /// It was larger than may be recorded.
    TooLarge(u64),
}

/// How a recording ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// Calls in it.
    pub calls: u64,
    /// Calls that there was no room for: on the node, or on the way to the disk.
    pub dropped: u64,
}

/// A part of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Header = 1,
    Function = 2,
    Call = 3,
    End = 4,
}

/// Writes a recording, each part of it at once.
pub struct Writer<W> {
    to: W,
    functions: Vec<RecordedFunction>,
    whole: u64,
    end: End,
}

impl<W: Write> Writer<W> {
    /// Nothing is written yet.
    pub const fn new(to: W) -> Self {
        Self { to, functions: Vec::new(), whole: 0, end: End { calls: 0, dropped: 0 } }
    }

    /// Begins the recording.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&mut self, header: &Header) -> io::Result<()> {
        let mut start = MAGIC.to_vec();
        start.extend_from_slice(&VERSION.to_le_bytes());
        start.extend_from_slice(&[0; 2]);
        self.put(&start)?;
        self.part(Kind::Header, &json(header)?)
    }

    /// Adds a call of a function, which is told of before its first call.
    ///
    /// # Errors
    /// When it cannot be written: the file is good up to [`Writer::whole`].
    pub fn call(&mut self, function: &RecordedFunction, call: &Call) -> io::Result<()> {
        let place = match self.functions.iter().position(|known| known == function) {
            Some(place) => place,
            None if self.functions.len() >= MAX_FUNCTIONS => {
                self.end.dropped += 1;
                return Ok(());
            }
            None => {
                self.part(Kind::Function, &json(function)?)?;
                self.functions.push(function.clone());
                self.functions.len() - 1
            }
        };
        let body = body(u32::try_from(place).unwrap_or(u32::MAX), call);
        self.part(Kind::Call, &body)?;
        self.end.calls += 1;
        Ok(())
    }

    /// Counts calls that are missing.
    pub fn dropped(&mut self, count: u64) {
        self.end.dropped += count;
    }

    /// What there is so far.
    #[must_use]
    pub fn so_far(&self) -> &End {
        &self.end
    }

    /// Bytes of the parts that were written whole.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it cannot be written: it is as one that was broken off, and can be read.
    pub fn end(&mut self) -> io::Result<()> {
        self.part(Kind::End, &json(&self.end)?)?;
        self.to.flush()
    }

    fn part(&mut self, kind: Kind, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 1).ok().filter(|length| *length as usize <= MAX_PART);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a part is too long"))?;
        let mut part = Vec::with_capacity(LENGTH + body.len() + 1 + DIGEST);
        part.extend_from_slice(&length.to_le_bytes());
        part.push(kind as u8);
        part.extend_from_slice(body);
        let digest = digest(&part);
        part.extend_from_slice(&digest);
        self.put(&part)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.whole += bytes.len() as u64;
        Ok(())
    }
}

impl<W> fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("end", &self.end).field("whole", &self.whole).finish_non_exhaustive()
    }
}

fn json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::other)
}

fn digest(bytes: &[u8]) -> [u8; DIGEST] {
    let mut start = [0; DIGEST];
    start.copy_from_slice(&blake3::hash(bytes).as_bytes()[..DIGEST]);
    start
}

fn body(function: u32, call: &Call) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend_from_slice(&function.to_le_bytes());
    body.extend_from_slice(&call.pid.to_le_bytes());
    for number in [call.began_ns, call.duration_ns, call.span, call.parent] {
        body.extend_from_slice(&number.to_le_bytes());
    }
    body.push(u8::from(call.borrowed));
    // Names of failures are short.
    let outcome = &call.outcome.as_bytes()[..call.outcome.len().min(usize::from(u8::MAX))];
    body.push(u8::try_from(outcome.len()).unwrap_or(u8::MAX));
    body.extend_from_slice(outcome);
    for crossed in [&call.arguments, &call.results] {
        let (kind, number, bytes): (u8, u64, &[u8]) = match crossed {
            Crossed::None => (0, 0, &[]),
            Crossed::Bytes(bytes) => (1, bytes.len() as u64, bytes),
            Crossed::Handles => (2, 0, &[]),
            Crossed::TooLarge(bytes) => (3, *bytes, &[]),
        };
        body.push(kind);
        body.extend_from_slice(&number.to_le_bytes());
        body.extend_from_slice(bytes);
    }
    body
}

/// A recording that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// What recorded, and what.
    pub header: Header,
    /// The functions that calls name by their place.
    pub functions: Vec<RecordedFunction>,
    /// The calls, in the order in which they ended in each process.
    pub calls: Vec<Call>,
    /// How it ended; none where it was broken off.
    pub end: Option<End>,
    /// What is wrong with it, from where on it was not read.
    pub damage: Option<Damage>,
}

/// What is wrong with a recording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("from byte {at} on: {what}")]
pub struct Damage {
    /// Where.
    pub at: u64,
    /// What.
    pub what: &'static str,
}

/// What is no recording that could be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// Something else.
    #[error("this is no recording of `watertight record`")]
    NotOne,
    /// Of another version.
    #[error("this recording has the format {0}, and this version of watertight reads {VERSION}")]
    Version(u16),
    /// Its start is damaged.
    #[error("this recording's header is damaged: {0}")]
    Header(Damage),
    /// The system refuses.
    #[error("cannot read the recording: {0}")]
    Io(#[from] io::Error),
}

impl Recording {
    /// Reads one, up to its end or to what is damaged.
    ///
    /// # Errors
    /// When it is none, or its header cannot be read.
    pub fn read(from: impl Read) -> Result<Self, RecordingError> {
        let mut parts = Parts { from, at: 0 };
        let mut start = [0; 12];
        let got = parts.fill(&mut start)?;
        if got < MAGIC.len() || start[..MAGIC.len()] != MAGIC {
            return Err(RecordingError::NotOne);
        }
        let version = u16::from_le_bytes([start[8], start[9]]);
        if got < start.len() || version != VERSION {
            return Err(RecordingError::Version(version));
        }
        let mut found = Self::default();
        let header = |what| RecordingError::Header(Damage { at: 12, what });
        match parts.next()? {
            Ok(Some((kind, body))) if kind == Kind::Header as u8 => {
                found.header = serde_json::from_slice(&body).map_err(|_| header("it is none"))?;
            }
            Ok(_) => return Err(header("there is none")),
            Err(damage) => return Err(RecordingError::Header(damage)),
        }
        let mut kept = 0;
        loop {
            let at = parts.at;
            match parts.next()? {
                Ok(None) => return Ok(found),
                Err(damage) => found.damage = Some(damage),
                Ok(Some((kind, body))) => match found.take(kind, &body, &mut kept) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(what) => found.damage = Some(Damage { at, what }),
                },
            }
            return Ok(found);
        }
    }

    /// Takes a part in, and says whether more may come.
    fn take(&mut self, kind: u8, body: &[u8], kept: &mut usize) -> Result<bool, &'static str> {
        if kind == Kind::Function as u8 {
            if self.functions.len() >= MAX_FUNCTIONS {
                return Err("there are more functions than there may be");
            }
            self.functions.push(serde_json::from_slice(body).map_err(|_| "a function that is none")?);
        } else if kind == Kind::Call as u8 {
            let call = read_call(body).ok_or("a call that is none")?;
            if call.function as usize >= self.functions.len() {
                return Err("a call of a function that there is not");
            }
            *kept += body.len();
            if *kept > MAX_READ {
                return Err("there is more than is read at once");
            }
            self.calls.push(call);
        } else if kind == Kind::End as u8 {
            self.end = Some(serde_json::from_slice(body).map_err(|_| "an end that is none")?);
            return Ok(false);
        } else {
            return Err("a part of a kind that there is not");
        }
        Ok(true)
    }
}

/// The parts of a file, one after the other.
struct Parts<R> {
    from: R,
    at: u64,
}

type Part = Result<Option<(u8, Vec<u8>)>, Damage>;

impl<R: Read> Parts<R> {
    /// Reads as much as there is, and says how much that was.
    fn fill(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut got = 0;
        while got < to.len() {
            match self.from.read(&mut to[got..]) {
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.at += got as u64;
        Ok(got)
    }

    fn next(&mut self) -> io::Result<Part> {
        let at = self.at;
        let damaged = |what| Ok(Err(Damage { at, what }));
        let mut length = [0; LENGTH];
        match self.fill(&mut length)? {
            0 => return Ok(Ok(None)),
            LENGTH => {}
            _ => return damaged("it is cut off"),
        }
        let bytes = u32::from_le_bytes(length) as usize;
        if bytes == 0 || bytes > MAX_PART {
            return damaged("a part has a length that it cannot have");
        }
        let mut part = vec![0; LENGTH + bytes + DIGEST];
        part[..LENGTH].copy_from_slice(&length);
        if self.fill(&mut part[LENGTH..])? < bytes + DIGEST {
            return damaged("it is cut off");
        }
        let stated = part.split_off(LENGTH + bytes);
        if stated != digest(&part) {
            return damaged("a part is not as it was written");
        }
        let kind = part[LENGTH];
        Ok(Ok(Some((kind, part.split_off(LENGTH + 1)))))
    }
}

fn read_call(mut body: &[u8]) -> Option<Call> {
    let from = &mut body;
    let call = Call {
        function: u32::from_le_bytes(fixed(from)?),
        pid: u32::from_le_bytes(fixed(from)?),
        began_ns: u64::from_le_bytes(fixed(from)?),
        duration_ns: u64::from_le_bytes(fixed(from)?),
        span: u64::from_le_bytes(fixed(from)?),
        parent: u64::from_le_bytes(fixed(from)?),
        borrowed: fixed::<1>(from)? != [0],
        outcome: {
            let [length] = fixed(from)?;
            String::from_utf8(from.split_off(..usize::from(length))?.to_vec()).ok()?
        },
        arguments: read_crossed(from)?,
        results: read_crossed(from)?,
    };
    body.is_empty().then_some(call)
}

fn read_crossed(from: &mut &[u8]) -> Option<Crossed> {
    let [kind] = fixed(from)?;
    let number = u64::from_le_bytes(fixed(from)?);
    match kind {
        0 => Some(Crossed::None),
        1 => Some(Crossed::Bytes(from.split_off(..usize::try_from(number).ok()?)?.to_vec())),
        2 => Some(Crossed::Handles),
        3 => Some(Crossed::TooLarge(number)),
        _ => None,
    }
}

fn fixed<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    from.split_off(..N)?.try_into().ok()
}

#[cfg(test)]
mod tests;
