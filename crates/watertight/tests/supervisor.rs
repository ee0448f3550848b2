//! A supervisor and its workers as real processes, seen by clients.
//!
//! The processes are this test binary again: `as_a_supervisor` and `as_a_worker` do nothing unless they are started
//! with a role in the environment.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use watertight::supervisor::{Listeners, Policy, Renewal, Supervisor, WorkerProgram, WorkerSeat, parse_address};
use watertight_ingress::{Arrival, Handler, HttpConfig, HttpServer, Refusal, RequestBody, Router};
use watertight_model::event::WorkerChange;

const ROLE: &str = "WATERTIGHT_TEST_ROLE";
const WORKERS: &str = "WATERTIGHT_TEST_WORKERS";
const MODE: &str = "WATERTIGHT_TEST_MODE";

// The processes.

#[test]
fn as_a_supervisor() {
    if std::env::var(ROLE).as_deref() != Ok("supervisor") {
        return;
    }
    let workers = std::env::var(WORKERS).expect("the test sets it").parse().expect("a number");
    let mode = std::env::var(MODE).expect("the test sets it");
    let listeners = Listeners::bind(parse_address("localhost:0").expect("an address"), workers).expect("a free port");
    say(&format!("listening {}", listeners.address()));
    let mut policy = Policy::default();
    match mode.as_str() {
        "flaky" => policy.first_rest = Duration::from_secs(3600),
        "impatient" => policy.stop_timeout = Duration::from_millis(50),
        _ => {}
    }
    if mode == "flaky" {
        policy.longest_rest = policy.first_rest;
    }
    // Workers inherit the environment: the role is in their arguments' test name, and in a variable of their own.
    let program = WorkerProgram::this_executable(["--exact", "as_a_worker", "--nocapture", "--quiet"]);
    let supervisor = Supervisor::new(listeners, program, policy);
    let handle = supervisor.handle();
    let ended = runtime().block_on(async {
        // Whoever is asked for by SIGUSR1 takes over from the workers there are.
        let next = WorkerProgram::this_executable(["--exact", "as_a_newcomer", "--nocapture", "--quiet"]);
        let mut asked = signal(SignalKind::user_defined1()).expect("a signal");
        let renew = tokio::spawn(async move {
            while asked.recv().await.is_some() {
                say(&match handle.renew(next.clone()).await {
                    Renewal::Done { generation } => format!("renewed {generation}"),
                    Renewal::RolledBack { why } => format!("rolled back {why}"),
                    Renewal::Refused { why } => format!("refused {why}"),
                });
            }
        });
        let ended = supervisor.run(|worker, change| match change {
            WorkerChange::Started { pid } => say(&format!("started {worker} {pid}")),
            WorkerChange::Ended { how, .. } => say(&format!("ended {worker} {how}")),
        });
        let ended = ended.await;
        renew.abort();
        ended
    });
    match ended {
        Ok(stopped) => say(&format!("stopped {}", stopped.killed)),
        Err(error) => say(&format!("gave up: {error}")),
    }
}

#[test]
fn as_a_worker() {
    if std::env::var(ROLE).as_deref() != Ok("supervisor") || !std::env::args().any(|arg| arg == "as_a_worker") {
        return;
    }
    let mode = std::env::var(MODE).expect("the test sets it");
    let seat = WorkerSeat::take(Duration::from_millis(100)).expect("a supervisor started this");
    match mode.as_str() {
        "refuse" => {
            seat.decline("the manifest\nis broken");
            std::process::exit(3);
        }
        "slow" => {
            say("loading");
            std::thread::sleep(Duration::from_secs(3600));
        }
        _ => {}
    }
    runtime().block_on(async {
        let Ok(post) = seat.ready().await else { return };
        if mode == "flaky" && post.worker == 0 {
            std::process::exit(4);
        }
        let listener = tokio::net::TcpListener::from_std(post.listener).expect("it does not block");
        let router = Router::new(["/..."]).expect("the route is valid");
        HttpServer::new(HttpConfig::default(), router, Site).serve(listener, post.dismissed).await;
    });
    std::process::exit(0);
}

/// A worker of the next generation: it serves, or the last of them does not.
#[test]
fn as_a_newcomer() {
    if std::env::var(ROLE).as_deref() != Ok("supervisor") || !std::env::args().any(|arg| arg == "as_a_newcomer") {
        return;
    }
    let mode = std::env::var(MODE).expect("the test sets it");
    let seat = WorkerSeat::take(Duration::from_millis(100)).expect("a supervisor started this");
    // They start one after the other: who finds another there is the second.
    let first = std::env::var("WATERTIGHT_TEST_FILE").ok().is_none_or(|file| std::fs::File::create_new(file).is_ok());
    if mode == "refuse newcomers" || (mode == "refuse the second" && !first) {
        seat.decline("there is no room");
        std::process::exit(3);
    }
    runtime().block_on(async {
        let Ok(post) = seat.ready().await else { return };
        let listener = tokio::net::TcpListener::from_std(post.listener).expect("it does not block");
        let router = Router::new(["/..."]).expect("the route is valid");
        HttpServer::new(HttpConfig::default(), router, Site).serve(listener, post.dismissed).await;
    });
    std::process::exit(0);
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn say(line: &str) {
    let mut out = io::stdout().lock();
    // The test harness writes to the same stream.
    writeln!(out, "\n@ {line}").and_then(|()| out.flush()).expect("the test listens");
}

struct Site;

impl Handler for Site {
    type Body = Full<Bytes>;
    type Note = ();

    async fn handle(
        &self,
        _: Arrival,
        request: Request<RequestBody>,
        (): &mut (),
    ) -> Result<Response<Full<Bytes>>, Refusal> {
        let answer = match request.uri().path() {
            "/read" => request.into_body().collect().await.map_err(|_| Refusal::BodyStalled)?.to_bytes(),
            "/stuck" => loop {
                std::thread::sleep(Duration::from_secs(3600));
            },
            _ => std::process::id().to_string().into(),
        };
        Ok(Response::new(Full::new(answer)))
    }
}

// The tests' side.

/// Files of different tests in one process.
static NEXT: AtomicU32 = AtomicU32::new(0);

struct Supervised {
    process: Child,
    news: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Supervised {
    fn start(workers: usize, mode: &str) -> Self {
        let mut process = Command::new(std::env::current_exe().expect("a test has a path"))
            .args(["--exact", "as_a_supervisor", "--nocapture", "--quiet"])
            .env(ROLE, "supervisor")
            .env(WORKERS, workers.to_string())
            .env(MODE, mode)
            .env(
                "WATERTIGHT_TEST_FILE",
                std::env::temp_dir().join(format!(
                    "watertight-newcomer-{}-{}",
                    std::process::id(),
                    NEXT.fetch_add(1, Ordering::Relaxed)
                )),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary can be started again");
        let news = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut supervised = Self { process, news, address: SocketAddr::from(([0; 4], 0)) };
        supervised.address = supervised.expect("listening ").parse().expect("an address");
        supervised
    }

    /// Starts and waits until all serve; returns the process ids.
    fn serving(workers: usize, mode: &str) -> (Self, Vec<i32>) {
        let mut supervised = Self::start(workers, mode);
        let mut pids = vec![0; workers];
        for _ in 0..workers {
            let (worker, pid) = supervised.started();
            pids[worker] = pid;
        }
        (supervised, pids)
    }

    /// The rest of the next news, which must begin so.
    fn expect(&mut self, start: &str) -> String {
        let news = self.next().expect("there is more news");
        news.strip_prefix(start).unwrap_or_else(|| panic!("{start:?} expected, {news:?} came")).to_owned()
    }

    fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.news.read_line(&mut line).expect("the supervisor's output is text") == 0 {
                return None;
            }
            if let Some(news) = line.strip_prefix("@ ") {
                return Some(news.trim_end().to_owned());
            }
        }
    }

    fn started(&mut self) -> (usize, i32) {
        let news = self.expect("started ");
        let (worker, pid) = news.split_once(' ').expect("a worker and its process");
        (worker.parse().expect("a number"), pid.parse().expect("a number"))
    }

    fn get(&self) -> i32 {
        let mut stream = TcpStream::connect(self.address).expect("the port is open");
        stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").expect("it is taken");
        let answer = read(&mut stream);
        let body = answer.rsplit("\r\n").next().and_then(|body| body.parse().ok());
        body.unwrap_or_else(|| panic!("no process id: {answer:?}"))
    }

    /// A request in flight: all but the last byte of its body.
    fn half_a_request(&self) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).expect("the port is open");
        let head = b"POST /read HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";
        stream.write_all(head).expect("it is taken");
        let mut proceed = [0; 25];
        stream.read_exact(&mut proceed).expect("the handler reads");
        assert_eq!(&proceed, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"abc").expect("it is taken");
        stream
    }

    fn wait_until_refused(&self) {
        while TcpStream::connect(self.address).is_ok() {
            std::thread::yield_now();
        }
    }

    fn signal(&self, signal: Signal) {
        kill(i32::try_from(self.process.id()).expect("a process id is small"), signal);
    }

    fn ended(mut self) -> ExitStatus {
        self.process.wait().expect("it is our child")
    }
}

fn kill(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a process id"), signal).expect("it runs");
}

/// Kills a worker between two instructions that matter: one that was just accepting would take the connection along.
fn kill_at_rest(pid: i32) {
    kill(pid, Signal::STOP);
    let stopped = || std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") T "));
    while !stopped() {
        std::thread::yield_now();
    }
    kill(pid, Signal::KILL);
}

fn read(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends the last byte; the answer, or none where the connection is gone.
fn finish(mut stream: TcpStream) -> Option<String> {
    stream.write_all(b"d").ok()?;
    let mut answer = Vec::new();
    let mut chunk = [0; 1024];
    while !answer.ends_with(b"abcd") {
        match stream.read(&mut chunk).ok()? {
            0 => return None,
            read => answer.extend_from_slice(&chunk[..read]),
        }
    }
    Some(String::from_utf8_lossy(&answer).into_owned())
}

fn wait_until_gone(pid: i32) {
    while Path::new(&format!("/proc/{pid}")).exists() {
        std::thread::yield_now();
    }
}

#[test]
fn a_killed_worker_costs_its_own_requests_only_and_is_replaced() {
    let (mut supervised, pids) = Supervised::serving(2, "serve");
    let requests = (0..20).map(|_| supervised.half_a_request()).collect::<Vec<_>>();
    kill_at_rest(pids[0]);
    // Nobody is refused, not even right now.
    let answers = (0..40).map(|_| supervised.get()).collect::<Vec<_>>();
    assert!(!answers.contains(&pids[0]));
    assert_eq!(supervised.expect("ended 0 "), "signal: 9 (SIGKILL)");
    let (worker, replacement) = supervised.started();
    assert_eq!(worker, 0);
    assert!(answers.iter().all(|pid| [pids[1], replacement].contains(pid)));

    let survived = requests.into_iter().filter_map(finish).count();
    // The kernel spreads connections by a hash: all twenty on one worker would be one in a million.
    assert!((1..20).contains(&survived), "{survived} of 20");
}

#[test]
fn connections_wait_for_the_replacement_of_the_only_worker() {
    let (mut supervised, pids) = Supervised::serving(1, "serve");
    let mut last = pids[0];
    for _ in 0..3 {
        kill_at_rest(last);
        let answered_by = supervised.get();
        supervised.expect("ended 0 ");
        (_, last) = supervised.started();
        assert_eq!(answered_by, last);
    }
}

#[test]
fn a_worker_that_keeps_dying_takes_no_connections_from_the_others() {
    let mut supervised = Supervised::start(2, "flaky");
    let mut healthy = 0;
    let mut ends = 0;
    while ends < 2 || healthy == 0 {
        let news = supervised.next().expect("there is more news");
        match news.split_whitespace().collect::<Vec<_>>()[..] {
            ["started", "1", pid] => healthy = pid.parse().expect("a number"),
            ["ended", "0", ..] => ends += 1,
            _ => {}
        }
    }
    // Two quick ends: it rests for an hour now, and its socket is closed.
    for _ in 0..50 {
        assert_eq!(supervised.get(), healthy);
    }
}

#[test]
fn workers_are_renewed_one_by_one_and_requests_in_flight_finish_with_the_old_ones() {
    let (mut supervised, old) = Supervised::serving(2, "serve");
    let requests = (0..10).map(|_| supervised.half_a_request()).collect::<Vec<_>>();
    supervised.signal(Signal::USR1);
    let mut new = [0; 2];
    for expected in 0..2 {
        let (worker, pid) = supervised.started();
        assert_eq!(worker, expected);
        new[worker] = pid;
    }
    assert_eq!(supervised.expect("renewed "), "2");
    // The old ones accept no more, once they have heard of it.
    let mut in_a_row = 0;
    while in_a_row < 20 {
        in_a_row = if new.contains(&supervised.get()) { in_a_row + 1 } else { 0 };
    }
    assert!(old.iter().all(|pid| Path::new(&format!("/proc/{pid}")).exists()), "they are busy");
    for request in requests {
        finish(request).expect("the request in flight is answered");
    }
    for _ in 0..2 {
        assert!(supervised.expect("ended ").ends_with("exit status: 0"));
    }
    supervised.signal(Signal::TERM);
    for _ in 0..2 {
        assert!(supervised.expect("ended ").ends_with("exit status: 0"));
    }
}

#[test]
fn a_newcomer_that_cannot_start_leaves_everything_as_it_was() {
    let (mut supervised, old) = Supervised::serving(2, "refuse newcomers");
    for _ in 0..2 {
        supervised.signal(Signal::USR1);
        assert!(supervised.expect("ended 0 ").ends_with("exit status: 3: there is no room"));
        assert_eq!(supervised.expect("rolled back "), "there is no room");
    }
    for _ in 0..10 {
        assert!(old.contains(&supervised.get()));
    }
}

#[test]
fn when_a_later_newcomer_cannot_start_the_old_generation_comes_back() {
    let (mut supervised, old) = Supervised::serving(2, "refuse the second");
    supervised.signal(Signal::USR1);
    let (_, newcomer) = supervised.started();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        seen.push(supervised.next().expect("there is more news"));
    }
    let of = |start: &str| seen.iter().find_map(|news| news.strip_prefix(start)).unwrap_or_else(|| panic!("{seen:?}"));
    assert!(of("ended 1 ").ends_with("there is no room"), "the second newcomer");
    let back: i32 = of("started 0 ").parse().expect("a process id");
    assert_eq!(of("rolled back "), "there is no room");
    // The old worker of the first place, and the newcomer that had it for a while.
    assert_eq!(seen.iter().filter(|news| *news == "ended 0 exit status: 0").count(), 2, "{seen:?}");
    for _ in 0..10 {
        assert!([back, old[1]].contains(&supervised.get()), "not {newcomer}");
    }
}

#[test]
fn sigterm_lets_requests_finish() {
    let (mut supervised, _) = Supervised::serving(2, "serve");
    let request = supervised.half_a_request();
    supervised.signal(Signal::TERM);
    supervised.wait_until_refused();
    finish(request).expect("the request in flight is answered");
    for _ in 0..2 {
        assert!(supervised.expect("ended ").ends_with("exit status: 0"));
    }
    assert_eq!(supervised.expect("stopped "), "0");
    assert!(supervised.ended().success());
}

#[test]
fn a_second_interrupt_does_not_wait() {
    let (mut supervised, _) = Supervised::serving(1, "serve");
    let mut request = supervised.half_a_request();
    supervised.signal(Signal::INT);
    supervised.wait_until_refused();
    supervised.signal(Signal::INT);
    assert_eq!(supervised.expect("ended 0 "), "signal: 9 (SIGKILL)");
    assert_eq!(supervised.expect("stopped "), "1");
    assert_eq!(read(&mut request), "");
}

#[test]
fn a_worker_that_does_not_drain_in_time_is_killed() {
    let (mut supervised, _) = Supervised::serving(1, "impatient");
    let _request = supervised.half_a_request();
    supervised.signal(Signal::TERM);
    assert_eq!(supervised.expect("ended 0 "), "signal: 9 (SIGKILL)");
    assert_eq!(supervised.expect("stopped "), "1");
}

#[test]
fn workers_do_not_outlive_their_supervisor_even_when_stuck() {
    let (mut supervised, pids) = Supervised::serving(2, "serve");
    let mut stuck = TcpStream::connect(supervised.address).expect("the port is open");
    stuck.write_all(b"GET /stuck HTTP/1.1\r\nhost: a\r\n\r\n").expect("it is taken");
    supervised.process.kill().expect("it runs");
    supervised.process.wait().expect("it is our child");
    for pid in pids {
        wait_until_gone(pid);
    }
    supervised.wait_until_refused();
}

#[test]
fn when_no_worker_can_start_the_reason_is_told() {
    let mut supervised = Supervised::start(2, "refuse");
    for _ in 0..2 {
        let how = supervised.expect("ended ");
        assert!(how.ends_with("exit status: 3: the manifest is broken"), "{how}");
    }
    assert_eq!(supervised.expect("gave up: "), "no worker could start: the manifest is broken");
}

#[test]
fn a_worker_that_still_loads_ends_at_once_when_asked_to() {
    let mut supervised = Supervised::start(1, "slow");
    supervised.expect("loading");
    // Connections are queued while workers load.
    let _queued = TcpStream::connect(supervised.address).expect("the port is open");
    supervised.signal(Signal::TERM);
    assert!(supervised.expect("ended 0 ").starts_with("signal: 15"));
    assert_eq!(supervised.expect("stopped "), "0");
}

#[test]
fn a_worker_that_a_person_starts_says_what_to_do() {
    // Under a test runner, standard input is no socket.
    let error = WorkerSeat::take(Duration::ZERO).expect_err("nobody supervises this");
    assert!(error.to_string().contains("watertight serve"), "{error}");
}
