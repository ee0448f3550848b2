//! Recording on a node that runs: which edges somebody records, and the calls that crossed them since the last look.
//!
//! It is a tap that keeps whole frames: made by the first look, in every worker, and gone when nobody looks. No worker writes a file; who
//! looks does. Calls name their functions by the list that comes with them, so that a reload in between changes nothing of what was
//! recorded.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use watertight_host::HostCell;
use watertight_model::{
    app::{App, EdgeId, FunctionId},
    event::Outcome,
    fault::FaultKind,
};
use watertight_runtime::{Recorded, RecordedCall, RecordedFrame, RunningApp, TapFilter};

use crate::{
    recording::{Call, Crossed, RecordedFunction},
    tap,
};

/// Bytes of frames that a worker gives at once, but for a single call that is larger.
const MAX_TAKEN_BYTES: usize = 2 << 20;

/// Bytes of frames that are summed up for one answer; what is more is dropped and counted.
const MAX_SUMMED_BYTES: usize = 32 << 20;

/// Edges that a recording is of.
const MAX_EDGES: usize = 64;

/// Calls that somebody records: `POST /v1/record`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordWanted {
    /// Its number: chance enough not to meet another's.
    pub id: u64,
    /// Of these edges: `web->markdown`; a side that is left out may be any component.
    pub edges: Vec<String>,
    /// Of this function of theirs.
    pub function: Option<String>,
    /// Of components, too, whose values the manifest keeps to itself.
    pub redacted: bool,
    /// Nobody records any more.
    pub close: bool,
}

/// What was recorded since it was asked last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecordTaken {
    /// The functions that the calls name by their place.
    pub functions: Vec<RecordedFunction>,
    /// The calls, in the order in which they ended in each worker.
    pub calls: Vec<WireCall>,
    /// Calls that there was no room for.
    pub dropped: u64,
    /// Workers that did not answer.
    pub unanswered: Vec<u32>,
    /// Why nothing is recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A call on its way to who records it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WireCall {
    /// Its function, among those that came with it.
    pub function: u32,
    /// When it began, in nanoseconds since 1970, and how long it took.
    pub time: (u64, u64),
    /// Its process, itself and what it is part of.
    pub place: (u32, u64, u64),
    /// How it ended.
    pub outcome: String,
    /// Its answer is not the callee's own.
    pub borrowed: bool,
    /// What went in.
    pub arguments: WireFrame,
    /// What its caller got.
    pub results: WireFrame,
}

/// A frame on its way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WireFrame {
    /// There was none.
    #[default]
    None,
    /// In Base64.
    Bytes(#[serde(serialize_with = "encoded", deserialize_with = "decoded")] Vec<u8>),
    /// It held handles.
    Handles,
    /// It was too large.
    TooLarge(u64),
}

fn encoded<S: Serializer>(bytes: &Vec<u8>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&STANDARD.encode(bytes))
}

fn decoded<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
}

impl RecordTaken {
    /// Adds what another worker has recorded, as far as there is room.
    pub(crate) fn add(&mut self, other: Self) {
        let first = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        let held = |calls: &[WireCall]| calls.iter().map(WireCall::bytes).sum::<usize>();
        self.dropped += other.dropped;
        self.refused = self.refused.take().or(other.refused);
        if held(&self.calls).saturating_add(held(&other.calls)) > MAX_SUMMED_BYTES {
            self.dropped += other.calls.len() as u64;
            return;
        }
        self.functions.extend(other.functions);
        self.calls.extend(other.calls.into_iter().map(|call| WireCall { function: first + call.function, ..call }));
    }

    fn refused(why: String) -> Self {
        Self { refused: Some(why), ..Self::default() }
    }

    /// The calls, each with its function, for a file.
    pub fn into_calls(self) -> impl Iterator<Item = (RecordedFunction, Call)> {
        let functions = self.functions;
        self.calls.into_iter().filter_map(move |call| {
            let function = functions.get(call.function as usize)?.clone();
            Some((function, call.into()))
        })
    }
}

impl WireCall {
    fn bytes(&self) -> usize {
        let of = |frame: &WireFrame| match frame {
            WireFrame::Bytes(bytes) => bytes.len(),
            WireFrame::None | WireFrame::Handles | WireFrame::TooLarge(_) => 0,
        };
        of(&self.arguments) + of(&self.results)
    }
}

impl From<WireCall> for Call {
    fn from(call: WireCall) -> Self {
        let crossed = |frame| match frame {
            WireFrame::None => Crossed::None,
            WireFrame::Bytes(bytes) => Crossed::Bytes(bytes),
            WireFrame::Handles => Crossed::Handles,
            WireFrame::TooLarge(bytes) => Crossed::TooLarge(bytes),
        };
        let ((began_ns, duration_ns), (pid, span, parent)) = (call.time, call.place);
        Self {
            function: 0,
            pid,
            began_ns,
            duration_ns,
            span,
            parent,
            outcome: call.outcome,
            borrowed: call.borrowed,
            arguments: crossed(call.arguments),
            results: crossed(call.results),
        }
    }
}

impl RecordWanted {
    /// The functions that it means in an app.
    fn functions(&self, app: &App) -> Result<Vec<(EdgeId, FunctionId)>, String> {
        if self.edges.len() > MAX_EDGES {
            return Err(format!("more than {MAX_EDGES} edges: leave out a side to mean several, as in `->markdown`"));
        }
        let mut functions = Vec::new();
        for edge in &self.edges {
            for found in tap::meant(app, Some(edge), self.function.as_deref())? {
                if !functions.contains(&found) {
                    functions.push(found);
                }
            }
        }
        let secret = |edge: EdgeId| app.redacts(app.edge(edge));
        if let Some((edge, _)) = functions.iter().find(|(edge, _)| !self.redacted && secret(*edge)) {
            let edge = app.edge(*edge);
            let (from, to) = (&app.component(edge.importer).name, &app.component(edge.exporter).name);
            return Err(format!(
                "`{from}->{to}` carries values that the manifest keeps to itself with `redact`; \
                 --with-redacted writes them to the file all the same, and shows them nowhere"
            ));
        }
        Ok(functions)
    }
}

/// What a worker answers.
pub(crate) fn look(running: &RunningApp<HostCell>, wanted: &RecordWanted) -> RecordTaken {
    if wanted.close {
        running.close_tap(wanted.id);
        return RecordTaken::default();
    }
    let functions = match wanted.functions(running.app()) {
        Ok(functions) => functions,
        Err(why) => return RecordTaken::refused(why),
    };
    let filter = || TapFilter { functions: Some(functions), ..TapFilter::default() };
    match running.record_calls(wanted.id, MAX_TAKEN_BYTES, filter) {
        Err(error) => RecordTaken::refused(error.to_string()),
        Ok(Recorded { calls, dropped }) => told(running, calls, dropped),
    }
}

fn told(running: &RunningApp<HostCell>, calls: Vec<RecordedCall>, dropped: u64) -> RecordTaken {
    let mut taken = RecordTaken { dropped, ..RecordTaken::default() };
    let mut known: Vec<(EdgeId, FunctionId)> = Vec::new();
    for recorded in calls {
        let call = recorded.call;
        let key = (call.edge, call.function);
        let place = match known.iter().position(|known| *known == key) {
            Some(place) => place,
            None => {
                let Some(about) = about(running, key) else { continue };
                taken.functions.push(about);
                known.push(key);
                known.len() - 1
            }
        };
        let frame = |frame| match frame {
            RecordedFrame::None => WireFrame::None,
            RecordedFrame::Bytes(bytes) => WireFrame::Bytes(bytes),
            RecordedFrame::Handles => WireFrame::Handles,
            RecordedFrame::TooLarge(bytes) => WireFrame::TooLarge(bytes),
        };
        taken.calls.push(WireCall {
            function: u32::try_from(place).unwrap_or(u32::MAX),
            time: (recorded.began_ns, u64::try_from(call.duration.as_nanos()).unwrap_or(u64::MAX)),
            place: (std::process::id(), recorded.span.0, recorded.parent.0),
            outcome: match call.outcome {
                Outcome::Ok => "ok".to_owned(),
                Outcome::Cancelled => "cancelled".to_owned(),
                Outcome::Failed(kind) => kind.name().to_owned(),
            },
            // One that only began later answers for itself.
            borrowed: call.fallback.is_some() || call.injected.is_some_and(|fault| fault != FaultKind::Delay),
            arguments: frame(recorded.arguments),
            results: frame(recorded.results),
        });
    }
    taken
}

/// A function as a recording tells of it.
fn about(running: &RunningApp<HostCell>, (edge, function): (EdgeId, FunctionId)) -> Option<RecordedFunction> {
    let app = running.app();
    let described = running.described(edge, function)?;
    let edge = app.edge(edge);
    let (importer, exporter) = (app.component(edge.importer), app.component(edge.exporter));
    let function = edge.functions.get(function.0 as usize)?;
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Some(RecordedFunction {
        from: importer.name.clone(),
        to: exporter.name.clone(),
        import: edge.import.clone(),
        export: edge.export.clone(),
        function: function.name.clone(),
        signature: function.signature.clone(),
        parameters: described.parameters,
        results: described.results,
        handles: described.handles,
        redacted: app.redacts(edge),
        lifetime: exporter.lifetime.to_string(),
        digest: running.digest(edge.exporter).map(|digest| digest.to_hex().to_string()).unwrap_or_default(),
        memory_bytes: exporter.budget.memory.0,
        cpu_ms: millis(exporter.budget.cpu),
        deadline_ms: millis(exporter.budget.deadline),
    })
}
