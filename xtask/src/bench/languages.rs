//! Scripts: each request in an interpreter of its own, beside the same language's interpreter starting as a process.
//!
//! The runtimes are those of `cargo xtask runtimes`; a language without one is named and passed over, and so is an interpreter that this
//! machine has not. One client asks one worker, one request after the other. Then as many requests as there may be wait at once, each
//! in the middle of its body, and are let go. What was compiled is kept in the build's folder for the next run.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::timeout;

use super::{
    Place,
    load::Client,
    note,
    server::Server,
    table::{Row, Table, Target, median},
};

const BENCH: &str = "languages";

/// Before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long one client asks.
const ASKED: Duration = Duration::from_secs(3);

/// Interpreters that wait at once.
const WAITING: u32 = 1000;

/// How long all of them may take to wait, and to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Processes of a native interpreter, and first answers.
const STARTS: usize = 21;
const FIRST_ANSWERS: usize = 5;

/// Every path answers; `/wait` reads its body first.
struct Language {
    name: &'static str,
    file: &'static str,
    script: &'static str,
    /// Milliseconds that the median may take.
    target: Option<f64>,
    native: Native,
    /// What part of the native interpreter's start the median may take.
    part: f64,
}

/// An interpreter that starts as a process.
struct Native {
    program: &'static str,
    /// Has it print where it is: what is on PATH may be a script that looks for it.
    whereabouts: &'static [&'static str],
}

const LANGUAGES: [Language; 5] = [
    Language {
        name: "Python",
        file: "hello.py",
        script: "def app(environ, start_response):\n    if environ['PATH_INFO'] == '/wait':\n        environ['wsgi.input'].read()\n    \
                 start_response('200 OK', [('content-type', 'text/plain')])\n    return [b'hello\\n']\n",
        target: Some(1.0),
        native: Native { program: "python3", whereabouts: &["-c", "import sys; print(sys.executable)"] },
        part: 0.2,
    },
    Language {
        name: "JavaScript",
        file: "hello.mjs",
        script: "export default {\n  async fetch(request) {\n    if (new URL(request.url).pathname === '/wait') await request.text();\n    \
                 return new Response('hello\\n');\n  },\n};\n",
        target: Some(0.4),
        native: Native { program: "node", whereabouts: &["-p", "process.execPath"] },
        part: 0.2,
    },
    Language {
        name: "Ruby",
        file: "hello.rb",
        script: "run lambda { |env|\n  env['rack.input'].read if env['PATH_INFO'] == '/wait'\n  \
                 [200, { 'content-type' => 'text/plain' }, [\"hello\\n\"]]\n}\n",
        target: Some(5.0),
        native: Native { program: "ruby", whereabouts: &["-e", "print RbConfig.ruby"] },
        part: 0.5,
    },
    Language {
        name: "PHP",
        file: "hello.php",
        script: "<?php\nif ($_SERVER['REQUEST_URI'] === '/wait') file_get_contents('php://input');\necho \"hello\\n\";\n",
        target: Some(3.0),
        native: Native { program: "php", whereabouts: &["-r", "echo PHP_BINARY;"] },
        part: 0.2,
    },
    Language {
        name: "Lua",
        file: "hello.lua",
        script: "return function(request)\n  if request.path == '/wait' then request.body() end\n  \
                 return 200, { ['content-type'] = 'text/plain' }, 'hello\\n'\nend\n",
        target: None,
        native: Native { program: "lua5.4", whereabouts: &["-e", "print(arg[-2])"] },
        part: 0.2,
    },
];

pub(super) fn run(place: &Place, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let installed = installed(place)?;
    let (there, missing): (Vec<_>, Vec<_>) =
        LANGUAGES.iter().partition(|language| installed.contains(ending(language.file)));
    for language in missing {
        note(&format!("languages: {} is missing: `cargo xtask runtimes` builds it", language.name));
    }
    for language in &there {
        note(&format!("languages: {}", language.name));
        let app = app(place, language.name, &[language])?;
        let native = language.native.starts(place)?;
        runtime.block_on(measure(place, language, &app, native, table)).with_context(|| language.name)?;
    }
    let all = app(place, "all", &there)?;
    note("languages: first answers");
    let first = runtime.block_on(first_answer(place, &all, there.len()))?;
    let case = format!("first answer of an app with {} languages", there.len());
    table.add(Row::new(BENCH, case, first, "ms").target(Target::AtMost(300.0)));
    Ok(())
}

/// The endings of files that there are runtimes for.
fn installed(place: &Place) -> Result<BTreeSet<String>> {
    #[derive(serde::Deserialize)]
    struct Listed {
        runtimes: Vec<Runtime>,
    }
    #[derive(serde::Deserialize)]
    struct Runtime {
        extensions: Vec<String>,
    }
    let mut command = Command::new(place.target.join("release/watertight"));
    let output = command.args(["runtime", "list", "--format", "json"]).output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let listed: Listed = serde_json::from_slice(&output.stdout)?;
    Ok(listed.runtimes.into_iter().flat_map(|runtime| runtime.extensions).collect())
}

fn ending(file: &str) -> &str {
    file.rsplit_once('.').map_or("", |(_, ending)| ending)
}

/// Writes an app with these scripts, each at a path of its own, and compiles it.
fn app(place: &Place, name: &str, languages: &[&Language]) -> Result<PathBuf> {
    let folder = place.scratch.path().join(format!("languages-{name}"));
    fs::create_dir_all(&folder)?;
    let mut manifest = "[app]\nname = \"bench\"\nversion = \"0.0.0\"\n".to_owned();
    for language in languages {
        let (component, file) = (ending(language.file), language.file);
        let route = if languages.len() == 1 { "/...".to_owned() } else { format!("/{component}/...") };
        // A folder each: what else lies there belongs to the script.
        let source = folder.join(component);
        fs::create_dir_all(&source)?;
        fs::write(source.join(file), language.script)?;
        manifest += &format!(
            "\n[[trigger.http]]\nroute = \"{route}\"\ncomponent = \"{component}\"\n\n[component.{component}]\n\
             source = \"{component}/{file}\"\n\
             budget = {{ memory = \"256MiB\", concurrency = {WAITING}, cpu = \"10s\", deadline = \"60s\" }}\n",
        );
    }
    fs::write(folder.join("watertight.toml"), manifest)?;
    let mut compile = Command::new(place.target.join("release/watertight"));
    compile.arg("compile").arg(&folder).arg("--cache-dir").arg(cache(place));
    let output = compile.output()?;
    ensure!(output.status.success(), "{compile:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(folder)
}

/// An interpreter takes a minute to compile.
fn cache(place: &Place) -> PathBuf {
    place.target.join("bench-cache")
}

impl Native {
    /// Milliseconds that its process takes to start, run an empty file and end, and its version; none if it is not there.
    fn starts(&self, place: &Place) -> Result<Option<(f64, String)>> {
        let said = |program: &Path, args: &[&str]| {
            let output = Command::new(program).args(args).output().ok().filter(|output| output.status.success())?;
            let first = String::from_utf8_lossy(&output.stdout).lines().next()?.trim().to_owned();
            (!first.is_empty()).then_some(first)
        };
        let Some(program) = said(Path::new(self.program), self.whereabouts).map(PathBuf::from) else {
            return Ok(None);
        };
        let version = said(&program, &["-v"]).or_else(|| said(&program, &["--version"])).unwrap_or_default();
        let version = version.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        let empty = place.scratch.path().join("empty");
        fs::write(&empty, "")?;
        let mut took = Vec::new();
        for _ in 0..STARTS {
            let mut command = Command::new(&program);
            command.arg(&empty).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let began = Instant::now();
            ensure!(command.status()?.success(), "{command:?} failed");
            took.push(milliseconds(began));
        }
        Ok(Some((median(took), version)))
    }
}

async fn measure(
    place: &Place,
    language: &Language,
    app: &Path,
    native: Option<(f64, String)>,
    table: &mut Table,
) -> Result<()> {
    let server = Server::one_worker(app, &cache(place), place)?;
    let mut client = Client::connect(server.address, "/").await?;
    ask_for(&mut client, WARM_UP).await?;
    let mut took = ask_for(&mut client, ASKED).await?;
    took.sort_by(f64::total_cmp);
    let at = |percent: usize| took.get(took.len() * percent / 100).copied().unwrap_or(f64::INFINITY);
    let name = language.name;
    let row = Row::new(BENCH, format!("{name}, median"), at(50), "ms");
    table.add(match language.target {
        Some(most) => row.target(Target::AtMost(most)),
        None => row,
    });
    table.add(Row::new(BENCH, format!("{name}, p99"), at(99), "ms"));
    let program = language.native.program;
    let (start, version) = native.unzip();
    let against = version.map_or_else(|| program.to_owned(), |version| format!("{program} starts ({version})"));
    let row = Row::new(BENCH, format!("{name}, beside its process"), at(50), "ms").against(against, start);
    table.add(row.target(Target::RatioAtMost(language.part)));
    if let Some(start) = start {
        table.add(Row::new(BENCH, format!("{program} starts"), start, "ms"));
    }
    wait(&server, name, table).await
}

/// Has as many requests as there may be wait at once.
async fn wait(server: &Server, name: &str, table: &mut Table) -> Result<()> {
    let before = server.anonymous()?;
    let mut waiting = Vec::new();
    for _ in 0..WAITING {
        waiting.push(Client::connect(server.address, "/wait").await?);
    }
    let mut settled = before;
    for client in &mut waiting {
        client.begin().await?;
    }
    // They wait when the memory does not grow any more.
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = server.anonymous()?;
        if now == std::mem::replace(&mut settled, now) {
            break;
        }
    }
    let each = settled.saturating_sub(before) as f64 / f64::from(WAITING) / f64::from(1 << 20);
    table.add(Row::new(BENCH, format!("{name}, a waiting cell"), each, "MiB").target(Target::AtMost(2.0)));
    let mut lost = WAITING;
    for client in &mut waiting {
        lost -= u32::from(matches!(timeout(PATIENCE, client.end()).await, Ok(Ok(200))));
    }
    let row = Row::new(BENCH, format!("{name}, lost of {WAITING} that waited at once"), f64::from(lost), "requests");
    table.add(row.target(Target::AtMost(0.0)));
    Ok(())
}

/// Asks for so long, and returns the milliseconds that each answer took.
async fn ask_for(client: &mut Client, time: Duration) -> Result<Vec<f64>> {
    let (mut took, began) = (Vec::new(), Instant::now());
    while began.elapsed() < time {
        let asked = Instant::now();
        let status = client.ask().await?;
        ensure!(status == 200, "answered {status}");
        took.push(milliseconds(asked));
    }
    Ok(took)
}

/// Milliseconds from the start of a process to its first answer, by each of the scripts in turn.
async fn first_answer(place: &Place, app: &Path, scripts: usize) -> Result<f64> {
    let mut took = Vec::new();
    for turn in 0..FIRST_ANSWERS.max(scripts) {
        let paths = fs::read_dir(app)?.flatten().filter(|entry| entry.path().is_dir());
        let mut paths: Vec<_> = paths.map(|entry| format!("/{}/", entry.file_name().display())).collect();
        paths.sort();
        let began = Instant::now();
        let server = Server::one_worker(app, &cache(place), place)?;
        let mut client =
            Client::connect(server.address, paths.get(turn % scripts.max(1)).context("no script")?).await?;
        let status = client.ask().await?;
        took.push(milliseconds(began));
        ensure!(status == 200, "answered {status}");
    }
    Ok(median(took))
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
