//! Every kind of event, as both logs show it.

use std::{
    io::{self, Write},
    path::PathBuf,
    sync::{Arc, mpsc},
    time::{Duration, UNIX_EPOCH},
};

use watertight_model::{
    app::{
        Answer, App, Component, ComponentId, Edge, EdgeId, EdgeShape, Fallback, Function, FunctionId, HttpHandler,
        HttpTrigger, Lifetime, OnFailure, SourceKind, Wall,
    },
    breaker::BreakerState,
    budget::Budget,
    event::{
        Call, CellEnd, CellId, Denial, Event, EventSink as _, Failure, FaultsChange, LogLevel, LogStream, Outcome,
        Postmortem, ReloadEnd, Request, Root, Seen, TreeId, WorkerChange,
    },
    failure::FailureKind,
    fault::FaultKind,
    grant::Grants,
    supervision::{Change, End, GroupId, Intensity, Residence, Subject, Supervision, Wear},
    trace::{Sent, Span, SpanId, SpanOf, Trace, TraceContext, TraceId},
    usage::CellUsage,
};
use watertight_observe::{Bus, Detail, HumanLog, HumanStyle, Interest, JsonLines, Kind, Record, Sink};

fn app() -> Arc<App> {
    let component = |id, name: &str| Component {
        id: ComponentId(id),
        name: name.to_owned(),
        source: PathBuf::from(format!("{name}.wasm")),
        wall: Wall::Cell,
        lifetime: Lifetime::Request,
        grants: Grants::default(),
        budget: Budget::default(),
        residence: Residence::default(),
        fused: Vec::new(),
        fused_edges: Vec::new(),
        asynchronous: false,
        kind: SourceKind::Component,
        script: None,
        redact: false,
    };
    let function = Function {
        name: "render".to_owned(),
        signature: "render: func(text: string) -> string".to_owned(),
        parameters: vec!["text".to_owned()],
        deadline: None,
        retry: None,
        fallback: Some(Fallback { component: ComponentId(0), export: "press:markdown/render@0.1.0".to_owned() }),
        on_failure: OnFailure::Trap,
        said: true,
        unmapped_error: None,
    };
    let edge = Edge {
        id: EdgeId(0),
        importer: ComponentId(0),
        exporter: ComponentId(1),
        import: "press:markdown/render@0.1.0".to_owned(),
        export: "press:markdown/render@0.1.0".to_owned(),
        shape: EdgeShape::Interface,
        by_name: false,
        deadline: None,
        breaker: None,
        limit: None,
        functions: vec![function],
    };
    Arc::new(App {
        name: "press".to_owned(),
        version: "0.1.0".to_owned(),
        components: vec![component(0, "web"), component(1, "markdown")],
        edges: vec![edge],
        http: vec![HttpTrigger {
            route: "/...".to_owned(),
            component: ComponentId(0),
            answer: Answer::Handler(HttpHandler::P2),
            limit: None,
        }],
        supervision: Supervision::default(),
    })
}

fn events() -> Vec<Event> {
    let call = |outcome, micros| {
        Event::Call(Call {
            tree: TreeId(7),
            edge: EdgeId(0),
            function: FunctionId(0),
            duration: Duration::from_micros(micros),
            bytes_in: 12,
            bytes_out: 64 << 10,
            outcome,
            injected: None,
            attempts: 2,
            fallback: (outcome != Outcome::Ok).then_some(Outcome::Ok),
            seen: if outcome == Outcome::Ok { Seen::Results } else { Seen::Fallback },
        })
    };
    let root = |outcome| {
        let duration = Duration::from_millis(1234);
        Event::Root(Root { tree: TreeId(7), component: ComponentId(0), duration, outcome, injected: None })
    };
    let request = |status, path: &str| {
        Event::Request(Request {
            method: "GET".to_owned(),
            path: path.to_owned(),
            status,
            version: "HTTP/2.0",
            client: [127, 0, 0, 1].into(),
            route: (status != 404).then_some(0),
            bytes_in: 0,
            bytes_out: 1_300_000,
            duration: Duration::from_micros(3210),
            trace: None,
        })
    };
    let log = |stream, line: &str| Event::Log {
        component: ComponentId(1),
        stream,
        line: line.to_owned(),
        context: None,
        trace: None,
    };
    let (cell, component) = (CellId(3), ComponentId(1));
    let usage = CellUsage {
        cpu: Duration::from_micros(1234),
        memory_peak_bytes: 1_114_112,
        log_bytes: 17,
        ..CellUsage::default()
    };
    let supervised = |of, change| Event::Supervised { of, change };
    let resident = Subject::Instance { component, number: 1 };
    let restarting = |end| Change::Restarting { end, attempt: 2, backoff: Duration::from_millis(15) };
    let gave_up = |rest| {
        let intensity = Intensity { max: 3, within: Duration::from_secs(5) };
        Change::GaveUp { end: End::Failed(FailureKind::Trap), intensity, rest }
    };
    let failure = |kind, detail: &str, root| {
        Event::Failure(Failure {
            tree: Some(TreeId(7)),
            cell,
            component,
            kind,
            detail: detail.to_owned(),
            trace: None,
            root,
            injected: None,
        })
    };
    vec![
        Event::CellStarted { cell, component },
        call(Outcome::Ok, 412),
        call(Outcome::Cancelled, 12_345),
        call(Outcome::Failed(FailureKind::Memory), 35_000),
        call(Outcome::Failed(FailureKind::Deadline), 5_000_000),
        root(Outcome::Ok),
        root(Outcome::Failed(FailureKind::Trap)),
        root(Outcome::Failed(FailureKind::QueueFull)),
        Event::CellEnded { cell, component, end: CellEnd::Done, injected: None, usage },
        Event::CellEnded {
            cell,
            component,
            end: CellEnd::Ejected(FailureKind::StackOverflow),
            injected: Some(FaultKind::Delay),
            usage,
        },
        Event::LogCut { cell, component, bytes: 3_400_000 },
        failure(FailureKind::Trap, "wasm trap: integer divide by zero \u{1b}[2J", true),
        failure(FailureKind::Memory, "it asked for more than its 8MiB of memory: raise the budget", false),
        failure(FailureKind::Deadline, "its deadline passed", false),
        failure(FailureKind::Trap, "one more than the log shows in a second", false),
        Event::Postmortem(Postmortem {
            component,
            kind: FailureKind::Trap,
            folder: "/var/lib/watertight/postmortem/press/markdown/20260203T040405.006Z-4241".into(),
            at: Some("src/lib.rs:41".to_owned()),
        }),
        Event::Demoted { cell, component, whose: ComponentId(0) },
        Event::Denied {
            component,
            denial: Denial {
                grant: "tcp",
                attempt: "connect to 10.0.0.1:22".to_owned(),
                remedy: "component.markdown.grants.tcp = [\"10.0.0.1:22\"]".to_owned(),
            },
        },
        log(LogStream::Stdout, "rendered 3 pages"),
        log(LogStream::Stderr, "a \u{1b}[31mred\u{1b}[0m line\r\n2026-01-01 worker 0 is gone\u{202e}"),
        request(200, "/docs?q=1"),
        request(404, "/missing"),
        request(500, "/broken"),
        request(0, "/left"),
        Event::Log {
            component,
            stream: LogStream::Stdout,
            line: "within a trace".to_owned(),
            context: None,
            trace: Some(TraceContext { trace: TraceId(0xabc), span: SpanId(0xdef), sampled: true }),
        },
        Event::Log {
            component,
            stream: LogStream::Log(LogLevel::Warn),
            line: "two\nlines".to_owned(),
            context: Some("db\u{1b}[2J".to_owned()),
            trace: None,
        },
        trace(),
        Event::Worker { worker: 1, change: WorkerChange::Started { pid: 4242 } },
        Event::Worker {
            worker: 1,
            change: WorkerChange::Ended { pid: Some(4711), how: "signal: 9 (SIGKILL)".to_owned() },
        },
        Event::Reload(ReloadEnd::Done { generation: 2, version: "0.2.0".to_owned() }),
        Event::Reload(ReloadEnd::Failed { why: "the app was not reloaded: no file `a.wasm`".to_owned() }),
        Event::Faults(FaultsChange::Set {
            rules: vec!["markdown: trap 10%".to_owned(), "web->theme: delay 200ms 5%".to_owned()],
            seed: 7,
            lasting: Duration::from_secs(300),
        }),
        Event::Faults(FaultsChange::Cleared),
        Event::Faults(FaultsChange::Over),
        supervised(resident, Change::Started),
        supervised(resident, restarting(End::Failed(FailureKind::Trap))),
        supervised(resident, restarting(End::CutOff)),
        supervised(resident, Change::Recycled { why: Wear::Memory }),
        supervised(resident, Change::Kept { failure: FailureKind::Cpu }),
        supervised(resident, Change::Ended { end: End::Normal }),
        supervised(resident, Change::Stopped),
        supervised(Subject::Component(component), gave_up(Some(Duration::from_secs(30)))),
        supervised(Subject::Group(GroupId(7)), gave_up(None)),
        supervised(Subject::App, gave_up(None)),
        Event::Breaker { edge: EdgeId(0), state: BreakerState::Open },
        Event::Breaker { edge: EdgeId(0), state: BreakerState::HalfOpen },
        Event::Breaker { edge: EdgeId(0), state: BreakerState::Closed },
        Event::Dropped { count: 17 },
        // No sink stops at an index that the app does not have.
        Event::CellStarted { cell, component: ComponentId(99) },
    ]
}

/// A request that entered a component, which called another and sent a request.
fn trace() -> Event {
    let duration = Duration::from_micros(412);
    let request = Request {
        method: "GET".to_owned(),
        path: "/docs?q=1".to_owned(),
        status: 502,
        version: "HTTP/1.1",
        client: [127, 0, 0, 1].into(),
        route: Some(0),
        bytes_in: 0,
        bytes_out: 13,
        duration,
        trace: Some(TraceId(0xabc)),
    };
    let root = Root { tree: TreeId(7), component: ComponentId(0), duration, outcome: Outcome::Ok, injected: None };
    let call = Call {
        tree: TreeId(7),
        edge: EdgeId(0),
        function: FunctionId(0),
        duration,
        bytes_in: 12,
        bytes_out: 0,
        outcome: Outcome::Failed(FailureKind::Trap),
        injected: None,
        attempts: 1,
        fallback: None,
        seen: Seen::Error,
    };
    let (component, method) = (ComponentId(1), "POST".to_owned());
    let sent = Sent { component, method, url: "http://127.0.0.1:9/x".to_owned(), status: None, duration };
    let of = [SpanOf::Request { request, secure: false }, SpanOf::Root(root), SpanOf::Call(call), SpanOf::Sent(sent)];
    let spans = of.into_iter().zip(1..).map(|(of, id)| Span {
        id: SpanId(id),
        parent: Some(SpanId(id - 1)).filter(|parent| parent.0 > 0),
        began_ns: 1_770_091_445_006_000_000 + id,
        of,
    });
    let spans = spans.collect();
    Event::Trace(Box::new(Trace { id: TraceId(0xabc), state: None, sampled: false, spans, lost: 3 }))
}

/// What a sink writes into this comes out of the channel.
struct Wire(mpsc::Sender<Vec<u8>>);

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What a sink writes of all events it wants.
fn written<S: Sink>(make: impl FnOnce(Wire) -> S) -> String {
    let (sender, receiver) = mpsc::channel();
    let mut sink = make(Wire(sender));
    let at = UNIX_EPOCH + Duration::from_millis(1_770_091_445_006);
    for event in events() {
        if sink.interest().has(Kind::of(&event)) {
            sink.take(&Record { at, event });
        }
    }
    sink.flush();
    drop(sink);
    String::from_utf8(receiver.iter().flatten().collect()).expect("logs are text")
}

fn human(detail: Detail, style: HumanStyle) -> String {
    written(|out| HumanLog::new(out, app(), detail, style))
}

#[test]
fn the_human_log_tells_of_requests_denials_failures_workers_and_guest_lines() {
    insta::assert_snapshot!(human(Detail::Normal, HumanStyle::Plain));
}

#[test]
fn a_quiet_log_leaves_out_requests_and_guest_lines() {
    let log = human(Detail::Quiet, HumanStyle::Terminal);
    assert!(!log.contains("GET") && !log.contains("rendered"), "{log}");
    assert!(log.contains("was refused") && log.contains("failed after"), "{log}");
}

#[test]
fn a_verbose_log_tells_of_every_call_and_cell() {
    insta::assert_snapshot!(human(Detail::Verbose, HumanStyle::Terminal));
}

#[test]
fn colours_are_for_terminals_and_guests_have_none() {
    assert!(!human(Detail::Verbose, HumanStyle::Plain).contains('\u{1b}'));
    assert!(!human(Detail::Verbose, HumanStyle::Terminal).contains('\u{1b}'));
    let log = human(Detail::Normal, HumanStyle::Colours);
    assert!(log.contains("\u{1b}[32m200\u{1b}[0m"), "{log}");
    assert!(!log.contains("\u{1b}[31mred"), "{log}");
}

#[test]
fn json_lines_name_what_events_number() {
    let lines = written(|out| JsonLines::new(out, app(), Interest::all(), 4241));
    for line in lines.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
        assert!(value["event"].is_string() && value["pid"] == 4241, "{line}");
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn what_a_drill_did_is_named_in_place_of_the_limit_to_raise() {
    let root = |outcome, injected| {
        let (tree, component, duration) = (TreeId(7), ComponentId(0), Duration::from_millis(2));
        let event = Event::Root(Root { tree, component, duration, outcome, injected: Some(injected) });
        Record { at: UNIX_EPOCH, event }
    };
    let struck = root(Outcome::Failed(FailureKind::Deadline), FaultKind::Delay);
    let (sender, receiver) = mpsc::channel();
    let mut log = HumanLog::new(Wire(sender.clone()), app(), Detail::Quiet, HumanStyle::Plain);
    let mut lines = JsonLines::new(Wire(sender), app(), Interest::all(), 1);
    log.take(&struck);
    log.flush();
    lines.take(&root(Outcome::Ok, FaultKind::Delay));
    lines.flush();
    drop((log, lines));
    let said = String::from_utf8(receiver.into_iter().flatten().collect()).expect("both are text");
    assert!(said.contains("web failed after 2.0 ms: deadline; injected: delay"), "{said}");
    assert!(said.contains("\"outcome\":\"ok\",\"injected\":\"delay\""), "{said}");
}

#[test]
fn a_reader_that_went_away_is_no_error() {
    let (sender, receiver) = mpsc::channel();
    drop(receiver);
    let mut sink = JsonLines::new(Wire(sender), app(), Interest::all(), 1);
    for event in events() {
        sink.take(&Record { at: UNIX_EPOCH, event });
        sink.flush();
    }
}

/// A reader that takes nothing until it is let.
struct Stuck(Arc<std::sync::Barrier>, bool);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !std::mem::replace(&mut self.1, true) {
            self.0.wait();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Bytes of memory that this process has for itself.
fn anonymous() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says so");
    kib.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") << 10
}

#[test]
fn a_million_events_for_json_lines_that_nobody_reads_neither_wait_nor_take_memory() {
    let mut bus = Bus::new();
    let stuck = Arc::new(std::sync::Barrier::new(2));
    let lines = JsonLines::new(Stuck(Arc::clone(&stuck), false), app(), Interest::all(), 1);
    bus.add("json", lines).expect("a thread can be started");
    let line = "x".repeat(200);
    let log = || Event::Log {
        component: ComponentId(1),
        stream: LogStream::Stdout,
        line: line.clone(),
        context: None,
        trace: None,
    };
    // What fits has its room by then.
    for _ in 0..20_000 {
        bus.emit(log());
    }
    let before = anonymous();
    for _ in 0..1_000_000 {
        bus.emit(log());
    }
    let after = anonymous();
    // They would take 200 MB.
    assert!(after < before + (32 << 20), "{before} bytes became {after}");
    stuck.wait();
    bus.finish(Duration::from_secs(60));
}
