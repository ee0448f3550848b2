//! Taps on a node that runs: which calls somebody wants to see, and what of them is told.
//!
//! Who looks asks again and again, under a number of its own; the first time makes the tap, in every worker. A worker that comes later
//! has it from the next time on, and a tap that nobody asks for is gone after some seconds. So nobody keeps a list of who looks.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use watertight_host::HostCell;
use watertight_model::{
    app::{App, Edge, EdgeId, FunctionId},
    event::{Outcome, Seen},
};
use watertight_runtime::{Catch, RunningApp, TapFilter, Tapped, TappedCall};

/// Calls that somebody wants to see: `POST /v1/tap`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TapWanted {
    /// Its number: chance enough not to meet another's.
    pub id: u64,
    /// Those of this edge: `web->markdown`; a side that is left out may be any component.
    pub edge: Option<String>,
    /// Those of this function.
    pub function: Option<String>,
    /// Those that fail.
    pub failed: bool,
    /// Those that take so long, in nanoseconds.
    pub slow_ns: Option<u64>,
    /// With arguments and results.
    pub values: bool,
    /// Nobody wants to see any more of them.
    pub close: bool,
}

/// What a tap has seen since it was asked last.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TapTaken {
    /// The calls, in the order in which they ended in each worker.
    pub calls: Vec<TapCall>,
    /// Calls that there was no room for.
    pub dropped: u64,
    /// Workers that did not answer.
    pub unanswered: Vec<u32>,
    /// Why there is nothing to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// A call, or what came from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TapCall {
    /// The process it was made in.
    pub pid: u32,
    /// Its call tree there.
    pub tree: u64,
    /// Itself and what it is part of, where that is known.
    pub span: String,
    /// What it is part of.
    pub parent: String,
    /// Who called; nobody where it came from outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who was called.
    pub to: String,
    /// The interface, and the function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub import: Option<String>,
    /// Its function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// Bytes of its arguments.
    pub bytes_in: u64,
    /// Bytes of its results.
    pub bytes_out: u64,
    /// `ok`, `cancelled`, or how it failed.
    pub outcome: String,
    /// What the caller got, where that is not what the callee returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// The arguments in WAVE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
    /// The results.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub results: Option<String>,
    /// The manifest keeps its values to itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub redacted: bool,
}

impl TapTaken {
    /// Adds what another worker has seen.
    pub(crate) fn add(&mut self, other: Self) {
        self.calls.extend(other.calls);
        self.dropped += other.dropped;
        self.refused = self.refused.take().or(other.refused);
    }

    fn refused(why: String) -> Self {
        Self { refused: Some(why), ..Self::default() }
    }
}

impl TapWanted {
    /// What it is in terms of an app.
    fn filter(&self, app: &App) -> Result<TapFilter, String> {
        let functions = meant(app, self.edge.as_deref(), self.function.as_deref())?;
        let all = self.edge.is_none() && self.function.is_none();
        Ok(TapFilter {
            functions: (!all).then_some(functions),
            failed: self.failed,
            slow: self.slow_ns.map(Duration::from_nanos),
            values: self.values,
            whole: false,
        })
    }
}

/// The functions of the edges that a person means: `caller->callee`, where a side that is left out may be any component.
pub(crate) fn meant(
    app: &App,
    edge: Option<&str>,
    function: Option<&str>,
) -> Result<Vec<(EdgeId, FunctionId)>, String> {
    let (from, to) = match edge {
        None => (None, None),
        Some(edge) => {
            let (from, to) = edge.split_once("->").ok_or_else(|| format!("`{edge}` is no edge: `caller->callee`"))?;
            let side = |name: &str| Some(name.trim().to_owned()).filter(|name| !name.is_empty());
            (side(from), side(to))
        }
    };
    if let Some(name) = from.iter().chain(&to).find(|name| app.find(name).is_none()) {
        return Err(format!("the app has no component `{name}`"));
    }
    let is = |wanted: &Option<String>, id| wanted.as_ref().is_none_or(|name| app.component(id).name == *name);
    let matching = |edge: &&Edge| is(&from, edge.importer) && is(&to, edge.exporter);
    let mut functions = Vec::new();
    for edge in app.edges.iter().filter(matching) {
        for (place, known) in edge.functions.iter().enumerate() {
            if function.is_none_or(|wanted| known.name == wanted) {
                functions.push((edge.id, FunctionId(u32::try_from(place).unwrap_or(u32::MAX))));
            }
        }
    }
    if functions.is_empty() {
        let edge = edge.unwrap_or("any edge");
        let function = function.map(|name| format!(" with a function `{name}`")).unwrap_or_default();
        return Err(format!("the app has no edge `{edge}`{function}: `watertight check` shows those that it has"));
    }
    Ok(functions)
}

/// What a worker answers.
pub(crate) fn look(running: &RunningApp<HostCell>, wanted: &TapWanted) -> TapTaken {
    if wanted.close {
        running.close_tap(wanted.id);
        return TapTaken::default();
    }
    let filter = match wanted.filter(running.app()) {
        Ok(filter) => filter,
        Err(why) => return TapTaken::refused(why),
    };
    match running.tap(wanted.id, || filter) {
        Err(error) => TapTaken::refused(error.to_string()),
        Ok(Catch { calls, dropped }) => {
            let calls = calls.into_iter().map(|call| told(running.app(), call)).collect();
            TapTaken { calls, dropped, ..TapTaken::default() }
        }
    }
}

fn told(app: &App, call: TappedCall) -> TapCall {
    let TappedCall { about, arguments, results } = call;
    let id = |span: watertight_model::trace::SpanId| if span.0 == 0 { String::new() } else { span.to_string() };
    let told = TapCall {
        pid: std::process::id(),
        tree: about.of.tree().0,
        span: id(about.span),
        parent: id(about.parent),
        began_ns: about.began_ns,
        arguments,
        results,
        redacted: about.redacted,
        ..TapCall::default()
    };
    match about.of {
        Tapped::Root(root) => TapCall {
            to: app.component(root.component).name.clone(),
            duration_ns: nanos(root.duration),
            outcome: outcome(root.outcome),
            ..told
        },
        Tapped::Call(call) => {
            let edge = app.edges.get(call.edge.0 as usize);
            let name = |component| app.component(component).name.clone();
            let function = edge.and_then(|edge| edge.functions.get(call.function.0 as usize));
            TapCall {
                from: edge.map(|edge| name(edge.importer)),
                to: edge.map(|edge| name(edge.exporter)).unwrap_or_default(),
                import: edge.map(|edge| edge.import.clone()),
                function: function.map(|function| function.name.clone()),
                duration_ns: nanos(call.duration),
                bytes_in: call.bytes_in,
                bytes_out: call.bytes_out,
                outcome: outcome(call.outcome),
                seen: seen(call.seen),
                ..told
            }
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn outcome(outcome: Outcome) -> String {
    match outcome {
        Outcome::Ok => "ok".to_owned(),
        Outcome::Cancelled => "cancelled".to_owned(),
        Outcome::Failed(kind) => kind.name().to_owned(),
    }
}

fn seen(seen: Seen) -> Option<String> {
    let seen = match seen {
        Seen::Results => return None,
        Seen::Fallback => "fallback",
        Seen::Value => "value",
        Seen::Error => "error",
        Seen::Trap => "trap",
    };
    Some(seen.to_owned())
}
