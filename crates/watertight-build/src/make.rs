//! Making the components of an app: what is stale, several at once, each put in place whole.
//!
//! ```text
//!  fingerprint ── as before? ──▶ unchanged
//!       │
//!       ▼
//!     tools ── missing? ──▶ all that is missing is told, and nothing is made
//!       │
//!       ▼
//!     tools run ── in a scratch folder beside the target ──▶ rename ──▶ record
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use watertight_model::manifest::{BuildSpec, Maker, Manifest};

use crate::{
    cancel::Cancel,
    encode::{self, Kind},
    fingerprint::{Fingerprint, InputError},
    recipe::{Kit, Site},
    record::{Record, hash},
    tools::{Missing, quoted},
};

/// What a command's arguments name its output by, and the variable that says the same.
const OUTPUT: &str = "{output}";
const OUTPUT_VARIABLE: &str = "WATERTIGHT_OUTPUT";

/// Where and how components are made.
#[derive(Clone, Debug)]
pub struct Workshop {
    /// The manifest's folder.
    pub base: PathBuf,
    /// The folder of records.
    pub records: PathBuf,
    /// How many are made at once.
    pub parallel: usize,
    /// Make also what has not changed.
    pub anew: bool,
}

/// A component that is to be made.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its name in the manifest.
    pub component: String,
    /// Its place.
    pub source: PathBuf,
    /// Where it is made.
    pub folder: PathBuf,
    spec: BuildSpec,
}

/// What became of a job.
#[derive(Debug)]
pub struct Made {
    /// The component's name.
    pub component: String,
    /// Its place.
    pub source: PathBuf,
    /// How it went.
    pub outcome: Outcome,
}

/// How a job went.
#[derive(Debug)]
pub enum Outcome {
    /// It is as it would be.
    Unchanged {
        /// Its size.
        bytes: u64,
    },
    /// It is new.
    Built {
        /// Its size.
        bytes: u64,
        /// How long that took.
        took: Duration,
    },
    /// It could not be made.
    Failed(BuildError),
    /// It was not tried: something else was missing, or the user wants no more.
    Left,
}

/// Why a component could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Tools are not there.
    #[error("{}", .0.iter().map(|missing| format!("{}: {}", missing.tool, missing.why)).collect::<Vec<_>>().join("; "))]
    Missing(Vec<Missing>),
    /// It is not known what it is made from.
    #[error(transparent)]
    Inputs(#[from] InputError),
    /// A tool could not be run.
    #[error("cannot run `{program}`: {error}")]
    Start {
        /// Which.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// A tool failed.
    #[error("`{command}` {how}{}", indented(output))]
    Tool {
        /// What was run.
        command: String,
        /// How it ended.
        how: String,
        /// What it said.
        output: String,
    },
    /// The tools were content, and yet there is nothing.
    #[error("`{command}` ended well, and there is no {}", place.display())]
    Nothing {
        /// What was run.
        command: String,
        /// Where the component should be.
        place: PathBuf,
    },
    /// What they left is something else.
    #[error("{} is not WebAssembly: what makes the component must write one", .0.display())]
    NotWasm(PathBuf),
    /// The WIT, or what fits it not.
    #[error("{0}")]
    Wit(String),
    /// The system would not let it be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The user wants no more.
    #[error("it was interrupted")]
    Cancelled,
}

fn indented(output: &str) -> String {
    let lines = output.trim_end().lines().map(|line| format!("\n  {line}"));
    let text: String = lines.collect();
    if text.is_empty() { " and said nothing".to_owned() } else { format!(":{text}") }
}

/// Who is told what goes on; from several threads.
pub trait Watch: Sync {
    /// A component is being made.
    fn started(&self, component: &str);
    /// A component is done with, however it went.
    fn ended(&self, made: &Made);
}

/// A job that has something to do.
struct Task<'a> {
    index: usize,
    job: &'a Job,
    inputs: Fingerprint,
    kit: Option<Kit>,
}

impl Workshop {
    /// The jobs of a manifest, in its order.
    #[must_use]
    pub fn jobs(&self, manifest: &Manifest) -> Vec<Job> {
        let job = |(component, source, spec): (&str, &Path, &BuildSpec)| Job {
            component: component.to_owned(),
            source: self.base.join(source),
            folder: self.base.join(&spec.folder),
            spec: spec.clone(),
        };
        manifest.builds().map(job).collect()
    }

    /// Something that differs after any input of the jobs, or any of these files, was written. It looks at sizes and times only.
    #[must_use]
    pub fn stamp(&self, jobs: &[Job], files: &[PathBuf]) -> String {
        let mut sum = Fingerprint::of_times();
        for job in jobs {
            for input in job.inputs() {
                // What is not there now may be later.
                let there = sum.input(&job.folder, &input).is_ok();
                sum.word(if there { "there" } else { "not there" });
            }
        }
        for file in files {
            let there = sum.input(&self.base, file).is_ok();
            sum.word(if there { "there" } else { "not there" });
        }
        sum.finish()
    }

    /// Makes what has changed, and says of each job what became of it, in their order. If a tool is missing nothing is made.
    #[must_use]
    pub fn make(&self, jobs: &[Job], cancel: &Cancel, watch: &dyn Watch) -> Vec<Made> {
        let mut made: BTreeMap<usize, Made> = BTreeMap::new();
        let mut tasks = Vec::new();
        for (index, job) in jobs.iter().enumerate() {
            match self.task(index, job) {
                Ok(Ok(task)) => tasks.push(task),
                Ok(Err(bytes)) => drop(made.insert(index, job.ended(Outcome::Unchanged { bytes }))),
                Err(error) => drop(made.insert(index, job.ended(Outcome::Failed(error)))),
            }
        }
        made.values().for_each(|made| watch.ended(made));
        let missing = |made: &Made| matches!(made.outcome, Outcome::Failed(BuildError::Missing(_)));
        if made.values().any(missing) {
            made.extend(tasks.iter().map(|task| (task.index, task.job.ended(Outcome::Left))));
            return made.into_values().collect();
        }
        let next = AtomicUsize::new(0);
        let ended = Mutex::new(made);
        std::thread::scope(|scope| {
            for _ in 0..self.parallel.clamp(1, tasks.len().max(1)) {
                scope.spawn(|| {
                    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let made = self.work(task, cancel, watch);
                        ended.lock().unwrap_or_else(PoisonError::into_inner).insert(task.index, made);
                    }
                });
            }
        });
        ended.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
    }

    /// What there is to do, or the size of what need not be made.
    fn task<'a>(&self, index: usize, job: &'a Job) -> Result<Result<Task<'a>, u64>, BuildError> {
        let inputs = job.fingerprint()?;
        let now = inputs.finish();
        let record = Record::read(&self.records, &job.source).filter(|record| record.inputs == now);
        if !self.anew
            && let Some(record) = record.filter(|record| record.describes(&job.source))
        {
            return Ok(Err(record.bytes));
        }
        let kit = match &job.spec.maker {
            Maker::Recipe { recipe, wit, world, .. } => {
                Some(Kit::find(*recipe, &self.base, &job.folder, &job.folder.join(wit), world.as_deref())?)
            }
            Maker::Command { .. } => None,
        };
        Ok(Ok(Task { index, job, inputs, kit }))
    }

    fn work(&self, task: &Task<'_>, cancel: &Cancel, watch: &dyn Watch) -> Made {
        let began = Instant::now();
        if cancel.is_cancelled() {
            return task.job.ended(Outcome::Left);
        }
        watch.started(&task.job.component);
        let outcome = match self.made(task, cancel) {
            Ok(bytes) => Outcome::Built { bytes, took: began.elapsed() },
            Err(BuildError::Cancelled) => Outcome::Left,
            Err(error) => Outcome::Failed(error),
        };
        let made = task.job.ended(outcome);
        watch.ended(&made);
        made
    }

    /// Makes one component and puts it in place; gives its size.
    fn made(&self, task: &Task<'_>, cancel: &Cancel) -> Result<u64, BuildError> {
        let Task { job, kit, .. } = task;
        let place = job.source.parent().unwrap_or(Path::new("."));
        let writing = |error| BuildError::Write { path: job.source.clone(), error };
        fs::create_dir_all(place).map_err(writing)?;
        // In the same folder, so that the rename is one.
        let scratch = tempfile::Builder::new().prefix(".watertight-").tempdir_in(place).map_err(writing)?;
        let scratch_path = scratch.path().canonicalize().map_err(writing)?;
        let output = scratch_path.join(job.source.file_name().unwrap_or("component.wasm".as_ref()));
        match (&job.spec.maker, kit) {
            (Maker::Command { command, output: written }, _) => {
                let said = run_command(job, command, &output, cancel)?;
                let written = written.as_ref().map_or_else(|| output.clone(), |written| job.folder.join(written));
                if !written.is_file() {
                    return Err(BuildError::Nothing { command: said, place: written });
                }
                if written != output {
                    fs::copy(&written, &output).map_err(writing)?;
                }
            }
            (Maker::Recipe { main, wit, world, .. }, Some(kit)) => {
                let site = Site {
                    folder: &job.folder,
                    main: main.as_deref(),
                    wit: &job.folder.join(wit),
                    world: world.as_deref(),
                    output: &output,
                    scratch: &scratch_path,
                    cancel,
                };
                kit.make(&site)?;
            }
            (Maker::Recipe { .. }, None) => return Err(BuildError::Wit("its recipe was not found".to_owned())),
        }
        let bytes = fs::read(&output).map_err(writing)?;
        if encode::kind(&bytes) == Kind::NotWasm {
            return Err(BuildError::NotWasm(output.file_name().map_or(output.clone(), PathBuf::from)));
        }
        fs::rename(&output, &job.source).map_err(writing)?;
        let size = bytes.len() as u64;
        // A lock that the build wrote is what it was made from. If anything else has changed meanwhile, it was made from what was there before.
        let after = job.fingerprint().ok().filter(|now| now.finish_but_locks() == task.inputs.finish_but_locks());
        let inputs = after.as_ref().unwrap_or(&task.inputs).finish();
        let record = Record { inputs, output: hash(&bytes), bytes: size };
        // Without it the next build makes the same again.
        let _ = record.write(&self.records, &job.source);
        Ok(size)
    }
}

impl Job {
    /// Something that this command makes, in this folder: all that is in it is what it is made from.
    #[must_use]
    pub fn of_command(name: &str, source: PathBuf, folder: PathBuf, command: Vec<String>) -> Self {
        let maker = Maker::Command { command, output: None };
        let spec = BuildSpec { maker, folder: PathBuf::new(), inputs: Vec::new() };
        Self { component: name.to_owned(), source, folder, spec }
    }

    /// What makes it.
    pub(crate) const fn maker(&self) -> &Maker {
        &self.spec.maker
    }

    fn ended(&self, outcome: Outcome) -> Made {
        Made { component: self.component.clone(), source: self.source.clone(), outcome }
    }

    /// Files and folders that it is made from; those that are not there among them only if the manifest names them.
    #[must_use]
    pub fn inputs(&self) -> Vec<PathBuf> {
        let mut inputs = self.spec.inputs.clone();
        if inputs.is_empty() {
            inputs.push(PathBuf::from("."));
        }
        if let Maker::Recipe { main, wit, .. } = &self.spec.maker {
            inputs.extend(main.clone());
            inputs.extend(Some(wit.clone()).filter(|wit| self.folder.join(wit).exists()));
        }
        inputs
    }

    fn fingerprint(&self) -> Result<Fingerprint, BuildError> {
        if !self.folder.is_dir() {
            return Err(InputError::Missing(self.folder.clone()).into());
        }
        let mut sum = Fingerprint::new();
        match &self.spec.maker {
            Maker::Command { command, output } => {
                sum.word("command");
                command.iter().for_each(|word| sum.word(word));
                sum.word(&output.as_ref().map_or_else(String::new, |output| output.display().to_string()));
            }
            Maker::Recipe { recipe, main, wit, world } => {
                sum.word(recipe.name());
                sum.word(&main.as_ref().map_or_else(String::new, |main| main.display().to_string()));
                sum.word(&wit.display().to_string());
                sum.word(world.as_deref().unwrap_or_default());
            }
        }
        for input in self.inputs() {
            sum.input(&self.folder, &input)?;
        }
        Ok(sum)
    }
}

/// Runs the command of a manifest, and gives it as a line of a shell.
fn run_command(job: &Job, words: &[String], output: &Path, cancel: &Cancel) -> Result<String, BuildError> {
    let words: Vec<String> = words.iter().map(|word| word.replace(OUTPUT, &output.to_string_lossy())).collect();
    let Some((program, arguments)) = words.split_first() else { return Err(BuildError::Cancelled) };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(&job.folder).env(OUTPUT_VARIABLE, output);
    run(&mut command, cancel)?;
    Ok(line(&command))
}

/// Runs a tool, which must end well; gives what it said.
pub(crate) fn run(command: &mut Command, cancel: &Cancel) -> Result<String, BuildError> {
    let ran = cancel.run(command).map_err(|error| {
        let program = command.get_program().to_string_lossy().into_owned();
        if error.kind() == io::ErrorKind::NotFound {
            let why = "the command of the build is not on the PATH".to_owned();
            return BuildError::Missing(vec![Missing { tool: program, why, get: Vec::new() }]);
        }
        BuildError::Start { program, error }
    })?;
    let Some(ran) = ran else { return Err(BuildError::Cancelled) };
    if ran.status.success() {
        return Ok(ran.output);
    }
    Err(BuildError::Tool { command: line(command), how: ran.how(), output: ran.output })
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(quoted).collect::<Vec<_>>().join(" ")
}
