//! Replaying a recording: a new build of one component, alone, is called as the one before was, and its answers are compared.
//!
//! ```text
//!   recording ──▶ calls of the component ── each in a fresh cell ──▶ answer ── the same? ──▶ report
//!                 calls that it made itself ──▶ answer the new build's
//! ```
//!
//! The component is granted nothing but its output. What cannot be replayed is told and counted, and never taken for a difference: frames
//! with handles, calls whose own calls were not recorded, calls that never reached the component. A recording is hostile: its frames are
//! let in only as values of the types that this build has, and no value of it can do more than cost time.

mod prompter;
mod report;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use watertight_model::{
    app::{ComponentId, Sources},
    budget::ByteSize,
    check::{self, HostInterfaces},
    event::{Event, EventSink},
};
use watertight_runtime::{CompileCache, NoProgress, Part, PlayError, StandIns};

pub use self::report::{Difference, Report, Times};
use self::{
    prompter::{Child, Prompter, Trouble},
    report::{Reckoning, Skipped},
};
use crate::{
    inspect::inspect,
    node::{Node, NodeError},
    recording::{Call, Crossed, RecordedFunction, Recording, RecordingError},
    source::{CheckedApp, Rejected},
};

/// What a recording may have its component spend at most.
const MAX_MEMORY: u64 = 4 << 30;
const MAX_TIME: Duration = Duration::from_secs(600);

/// Kinds of failures that say nothing of the component: it was never entered, or something else was lost.
const NEVER_MADE: [&str; 9] =
    ["queue-full", "breaker-open", "no-capacity", "shed", "wall-lost", "down", "injected", "host", "host-panic"];

/// What is replayed, and how.
#[derive(Debug)]
pub struct Replay<'a> {
    /// The recording.
    pub recording: &'a Recording,
    /// The new build.
    pub component: &'a Path,
    /// The name of the component in the recording; found by the file's name if not given.
    pub of: Option<&'a str>,
    /// How many calls are made at most.
    pub limit: usize,
    /// How many differences are kept.
    pub shown: usize,
    /// Where compiled code goes.
    pub cache: CompileCache,
}

/// Why nothing was replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording is none.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The new build cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It has no calls.
    #[error("the recording has no calls")]
    Empty,
    /// It is not clear whose calls are meant.
    #[error(
        "the recording has calls of {}, and none of `{wanted}`: say which one this is a build of with --of",
        list(known)
    )]
    Which {
        /// What the file is called.
        wanted: String,
        /// Who was called.
        known: Vec<String>,
    },
    /// The new build is not sound.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// It does not run.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// Its functions are others.
    #[error("this build cannot be called as `{component}` was: {}", changes.join("; "))]
    Changed {
        /// The component.
        component: String,
        /// What is different.
        changes: Vec<String>,
    },
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl Replay<'_> {
    /// Replays.
    ///
    /// # Errors
    /// Why it could not begin; single calls that cannot be replayed are in the report.
    pub async fn run(self) -> Result<Report, ReplayError> {
        let of = self.of()?.to_owned();
        let file = self.component.to_owned();
        let bytes: Arc<[u8]> =
            std::fs::read(&file).map_err(|error| ReplayError::Unreadable { path: file, error })?.into();
        let digest = blake3::hash(&bytes).to_hex().to_string();
        let prompter = Arc::new(Prompter::new(self.recording, &of));
        let denied = Arc::new(Denied::default());
        let (node, id) = self.start(&of, bytes, &prompter, Arc::clone(&denied) as Arc<dyn EventSink>)?;
        let parts = self.parts(&of, &node, id)?;
        let mut reckoning = Reckoning::new(self.recording, &of, digest, self.shown);
        let children = children(self.recording, &of);
        let mut calls: Vec<_> = self.recording.calls.iter().filter(|call| self.function(call).to == of).collect();
        calls.sort_by_key(|call| call.began_ns);
        for call in calls {
            if reckoning.made() >= self.limit {
                reckoning.skip(Skipped::Limit);
                continue;
            }
            let arguments = match self.playable(call) {
                Ok(arguments) => arguments,
                Err(why) => {
                    reckoning.skip(why);
                    continue;
                }
            };
            let Some(part) = parts.get(&call.function) else {
                reckoning.skip(Skipped::Handles);
                continue;
            };
            prompter.begin(children.get(&call.span).map_or(&[][..], Vec::as_slice));
            let began = Instant::now();
            let played = node.running().play(part, arguments).await;
            let took = began.elapsed();
            let troubles = prompter.end();
            reckon(&mut reckoning, (call, self.function(call), part), played, took, troubles);
        }
        node.shutdown().await;
        Ok(reckoning.end(denied.0.lock().iter().cloned().collect()))
    }

    fn function(&self, call: &Call) -> &RecordedFunction {
        &self.recording.functions[call.function as usize]
    }

    /// The component that is meant.
    fn of(&self) -> Result<&str, ReplayError> {
        let called: HashSet<&str> = self.recording.calls.iter().map(|call| self.function(call).to.as_str()).collect();
        let stem = self.component.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let wanted = self.of.unwrap_or(&stem);
        // A folder of builds often has the name with another dash.
        let same = |name: &&str| *name == wanted || name.replace('_', "-") == wanted.replace('_', "-");
        if let Some(found) = called.iter().copied().find(same) {
            return Ok(found);
        }
        match called.iter().next() {
            None => Err(ReplayError::Empty),
            Some(only) if called.len() == 1 && self.of.is_none() => Ok(only),
            Some(_) => {
                let mut known: Vec<_> = called.into_iter().map(str::to_owned).collect();
                known.sort();
                Err(ReplayError::Which { wanted: wanted.to_owned(), known })
            }
        }
    }

    /// An app of the new build alone, whose imports the recording answers.
    fn start(
        &self,
        of: &str,
        bytes: Arc<[u8]>,
        prompter: &Arc<Prompter>,
        events: Arc<dyn EventSink>,
    ) -> Result<(Node, ComponentId), ReplayError> {
        let wasi = HostInterfaces::wasi();
        let recorded = self.recording.functions.iter().filter(|function| function.from == of);
        let mut imports: BTreeSet<String> = recorded.map(|function| function.import.clone()).collect();
        if let Ok(seen) = inspect(&bytes) {
            imports.extend(seen.imports.into_iter().filter(|import| !wasi.meets_import(import)));
        }
        let host = wasi.also(imports.iter().cloned());
        let (app, problems) = check::single(self.component, Ok(Arc::clone(&bytes)), None, &host);
        let Some(mut app) = app else { return Err(Rejected(problems).into()) };
        let Some(component) = app.components.first_mut() else { return Err(ReplayError::Empty) };
        let id = component.id;
        // It has what it had: a budget is no grant.
        if let Some(function) = self.recording.functions.iter().find(|function| function.to == of) {
            let time = |millis: u64| Some(Duration::from_millis(millis).min(MAX_TIME)).filter(|time| !time.is_zero());
            let budget = &mut component.budget;
            budget.memory = ByteSize(function.memory_bytes.clamp(budget.memory.0, MAX_MEMORY));
            budget.cpu = time(function.cpu_ms).unwrap_or(budget.cpu);
            budget.deadline = time(function.deadline_ms).unwrap_or(budget.deadline);
        }
        let checked = CheckedApp {
            app: Arc::new(app),
            sources: Sources::from([(id, bytes)]),
            base: PathBuf::from("."),
            warnings: Vec::new(),
            snapshots: false,
        };
        let answers = Arc::clone(prompter) as Arc<dyn watertight_runtime::Answers>;
        let compiled = checked.compile(self.cache.clone(), &[(id, 1)], &NoProgress)?;
        let node = compiled.with_stand_ins(StandIns { imports, answers }).start(None, events)?;
        Ok((node, id))
    }

    /// The functions that were called, in the new build.
    fn parts(&self, of: &str, node: &Node, id: ComponentId) -> Result<HashMap<u32, Part>, ReplayError> {
        let mut parts = HashMap::new();
        let mut changes = BTreeMap::new();
        let functions = (0_u32..).zip(&self.recording.functions);
        for (place, function) in functions.filter(|(_, function)| function.to == of && !function.handles) {
            let name = format!("{}#{}", function.export, function.function);
            let Some(part) = node.running().part(id, &function.export, &function.function) else {
                changes.insert(name.clone(), format!("it has no `{name}`"));
                continue;
            };
            let now = part.described();
            if (&now.parameters, &now.results) == (&function.parameters, &function.results) {
                parts.insert(place, part);
            } else {
                let change = format!(
                    "`{name}` was {} -> {}, and is {} -> {}",
                    function.parameters, function.results, now.parameters, now.results
                );
                changes.insert(name, change);
            }
        }
        if changes.is_empty() {
            Ok(parts)
        } else {
            Err(ReplayError::Changed { component: of.to_owned(), changes: changes.into_values().collect() })
        }
    }

    /// The arguments of a call that can be made again.
    fn playable<'c>(&self, call: &'c Call) -> Result<&'c [u8], Skipped> {
        if self.function(call).handles {
            return Err(Skipped::Handles);
        }
        if call.outcome == "cancelled" {
            return Err(Skipped::Cancelled);
        }
        if call.borrowed || NEVER_MADE.contains(&call.outcome.as_str()) {
            return Err(Skipped::NotItsOwn);
        }
        match (&call.arguments, &call.results) {
            (Crossed::Handles, _) | (_, Crossed::Handles) => Err(Skipped::Handles),
            (Crossed::TooLarge(_) | Crossed::None, _) | (_, Crossed::TooLarge(_)) => Err(Skipped::TooLarge),
            (Crossed::Bytes(arguments), _) => Ok(arguments),
        }
    }
}

/// The calls that the component made, by the call that they are part of.
fn children<'a>(recording: &'a Recording, of: &str) -> HashMap<u64, Vec<Child<'a>>> {
    let mut children: HashMap<u64, Vec<Child<'a>>> = HashMap::new();
    for call in &recording.calls {
        let function = &recording.functions[call.function as usize];
        if function.from == of && call.parent != 0 {
            children.entry(call.parent).or_default().push(Child { function, call });
        }
    }
    children
}

/// Compares how a call ended with how it did then.
fn reckon(
    reckoning: &mut Reckoning<'_>,
    (call, function, part): (&Call, &RecordedFunction, &Part),
    played: Result<Vec<u8>, PlayError>,
    took: Duration,
    troubles: Vec<Trouble>,
) {
    let mut unlike = None;
    for trouble in troubles {
        match trouble {
            Trouble::Unrecorded(what) => return reckoning.unrecorded(what),
            Trouble::Unplayable(_) => return reckoning.skip(Skipped::TooLarge),
            Trouble::Unlike(what) => unlike = unlike.or(Some(what)),
        }
    }
    let now = match played {
        Ok(results) => Ok(results),
        Err(PlayError::Arguments(_)) => return reckoning.skip(Skipped::Malformed),
        Err(PlayError::Call(error)) => Err(error),
    };
    let same = match (&now, call.outcome.as_str()) {
        (Ok(results), "ok") => match &call.results {
            Crossed::Bytes(recorded) => recorded == results || part.same_results(recorded, results),
            Crossed::None | Crossed::Handles | Crossed::TooLarge(_) => false,
        },
        (Err(error), outcome) => unlike.is_none() && error.kind.name() == outcome,
        (Ok(_), _) => false,
    };
    reckoning.compared(call.duration_ns, took);
    if !same {
        reckoning.differs((call, function, part), &now, unlike);
    }
}

/// What the component tried and was not granted.
#[derive(Debug, Default)]
struct Denied(Mutex<BTreeSet<String>>);

/// Kinds of denials that are kept.
const MAX_DENIED: usize = 16;

impl EventSink for Denied {
    fn emit(&self, event: Event) {
        if let Event::Denied { denial, .. } = event {
            let mut denied = self.0.lock();
            if denied.len() < MAX_DENIED {
                denied.insert(format!("{} ({})", denial.attempt, denial.remedy));
            }
        }
    }
}
