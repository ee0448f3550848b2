//! `watertight top`: a running node at a glance, in a terminal, or once for machines.
//!
//! What is known and what keys do is in `watch`, how it looks in `draw`; this asks the node, reads the keys, and gives the terminal back
//! however it ends: by a key, a signal or a panic. A node that goes away is looked for until it is there again.

mod draw;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use ratatui::{
    DefaultTerminal,
    backend::TestBackend,
    crossterm::event::{self, Event as Input, KeyCode, KeyEventKind, KeyModifiers},
};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use watertight::{
    Signals,
    admin::{AdminClient, AdminError, FoundNode},
};

use self::watch::{Key, Press, Pressed, Reading, Row, Watch};
use crate::{
    args::{Format, Top},
    exit::Exit,
    failure::Failure,
    nodes, terminal,
};

/// What of the node's events is shown.
const KINDS: &str = "failure,postmortem,breaker,resident-failed,worker";

/// How often the keyboard's thread looks whether it is over.
const LOOK: Duration = Duration::from_millis(200);

/// Keys and events that wait.
const MAX_WAITING: usize = 256;

/// How wide what is printed once is, and how high.
const PAPER: (u16, u16) = (120, 60);

#[derive(Serialize)]
struct Once {
    app: String,
    version: String,
    pid: u32,
    requests_rate: f64,
    components: Vec<Row>,
    edges: Vec<Row>,
}

pub(crate) fn top(args: &Top) -> Result<(), Failure> {
    let help = "say which: watertight top APP, or its process id";
    let node = nodes::meant_to_act(args.node.as_deref(), help)?.into_iter().next();
    let Some(node) = node else { return Err(Failure::new(Exit::NoNode, "no node runs")) };
    let runtime = super::runtime()?;
    if args.once || args.format == Format::Json {
        return runtime.block_on(once(args, &node));
    }
    if !std::io::stdout().is_terminal() {
        let why = Failure::new(Exit::Usage, "standard output is no terminal");
        return Err(why.help("print it once with --once, or with --format json"));
    }
    runtime.block_on(async {
        let mut signals = Signals::mind()?;
        // It is asked before the screen is cleared: what is wrong is told as always.
        let mut seat = Seat::new(args, node);
        let mut watch = Watch::default();
        watch.add(seat.read().await?);
        let mut screen = Screen::open()?;
        tokio::select! {
            shown = show(&mut screen.0, &mut seat, watch, args.every) => shown,
            () = signals.stopped() => Ok(()),
        }
    })
}

/// Two readings, and what happened between them.
async fn once(args: &Top, node: &FoundNode) -> Result<(), Failure> {
    let mut seat = Seat::new(args, node.clone());
    let mut watch = Watch::default();
    watch.add(seat.read().await?);
    tokio::time::sleep(args.every).await;
    watch.add(seat.read().await?);
    let Some(last) = watch.last() else { return Ok(()) };
    if args.format == Format::Json {
        return terminal::print_json(&Once {
            app: last.node.app.clone(),
            version: last.node.version.clone(),
            pid: last.node.pid,
            requests_rate: watch.requests_now().0,
            components: watch.components(),
            edges: watch.edges(),
        });
    }
    let paper = TestBackend::new(PAPER.0, PAPER.1);
    let Ok(mut drawn) = ratatui::Terminal::new(paper);
    let Ok(_) = drawn.draw(|frame| draw::draw(frame, &watch));
    let lines = lines(drawn.backend());
    // The last line tells of keys, and there are none.
    let text: String = lines[..lines.len() - 1].iter().map(|line| format!("{line}\n")).collect();
    terminal::print(&format!("{}\n", text.trim_end()))
}

/// What was drawn, as text.
fn lines(paper: &TestBackend) -> Vec<String> {
    let buffer = paper.buffer();
    let area = buffer.area;
    let line = |y| (0..area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..area.height).map(line).collect()
}

/// The terminal, until it is dropped.
struct Screen(DefaultTerminal);

impl Screen {
    /// Also has a panic give it back before it says anything.
    fn open() -> Result<Self, Failure> {
        Ok(Self(ratatui::try_init()?))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Where the node is, and where it may be when it is started anew.
struct Seat {
    client: AdminClient,
    /// What was asked for, if it is no process: that is another then.
    by: Option<String>,
    app: String,
    began: Instant,
}

impl Seat {
    fn new(args: &Top, node: FoundNode) -> Self {
        let by = args.node.clone().filter(|by| by.parse::<u32>().is_err());
        Self { client: nodes::client(&node), by, app: node.app, began: Instant::now() }
    }

    async fn read(&mut self) -> Result<Reading, AdminError> {
        let (node, components) = tokio::try_join!(self.client.node(), self.client.components())?;
        self.app.clone_from(&node.app);
        Ok(Reading { at: self.began.elapsed(), node, components })
    }

    /// Looks for the node anew: by what was asked for, or by its app.
    fn look_again(&mut self) {
        let by = self.by.as_deref().unwrap_or(&self.app);
        if let Some(node) = nodes::meant(Some(by)).ok().and_then(|found| found.into_iter().next()) {
            self.client = nodes::client(&node);
        }
    }
}

async fn show(screen: &mut DefaultTerminal, seat: &mut Seat, mut watch: Watch, every: Duration) -> Result<(), Failure> {
    let (keys, mut pressed) = mpsc::channel(MAX_WAITING);
    let keyboard = Keyboard::start(keys)?;
    let mut turns = tokio::time::interval(every.max(LOOK));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut news = None;
    loop {
        screen.draw(|frame| draw::draw(frame, &watch))?;
        tokio::select! {
            press = pressed.recv() => match press {
                // The keyboard is gone, and so is who sat at it.
                None => break,
                Some(None) => {}
                Some(Some(press)) => match watch.press(press) {
                    Pressed::Quit => break,
                    Pressed::Shown => {}
                    Pressed::Opened => details(seat, &mut watch).await,
                },
            },
            _ = turns.tick() => {
                match seat.read().await {
                    Ok(reading) => watch.add(reading),
                    Err(error) => {
                        watch.lost = Some(error.to_string());
                        news = None;
                        seat.look_again();
                    }
                }
                if news.is_none() && watch.lost.is_none() {
                    news = seat.client.events(KINDS).await.ok();
                }
                if watch.open.is_some() {
                    details(seat, &mut watch).await;
                }
            }
            event = next(news.as_mut()) => match event {
                Some(event) => watch.hear(event),
                None => news = None,
            },
        }
    }
    drop(keyboard);
    Ok(())
}

/// The next event; nothing ever where nobody follows.
async fn next(news: Option<&mut watertight::admin::EventStream>) -> Option<Value> {
    match news {
        Some(news) => news.next().await.ok().flatten(),
        None => std::future::pending().await,
    }
}

/// What there is to know of what is opened. Without an answer it is shown without.
async fn details(seat: &Seat, watch: &mut Watch) {
    let Some(open) = &watch.open else { return };
    let component = match open {
        Key::Component(name) | Key::Edge(_, name, _) => name.clone(),
    };
    if let Ok(listed) = seat.client.postmortems(Some(&component)).await {
        watch.postmortems = listed.postmortems;
    }
    if let Ok(edges) = seat.client.edges().await {
        watch.edges = edges;
    }
}

/// The thread that reads the keyboard, until this is dropped.
struct Keyboard {
    over: Arc<AtomicBool>,
}

impl Keyboard {
    /// `None` is something that is drawn anew for, such as a terminal of another size.
    fn start(keys: mpsc::Sender<Option<Press>>) -> Result<Self, Failure> {
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        std::thread::Builder::new().name("keyboard".to_owned()).spawn(move || {
            while !ended.load(Relaxed) {
                let input = match event::poll(LOOK) {
                    Ok(false) => continue,
                    Ok(true) => event::read(),
                    Err(error) => Err(error),
                };
                // A terminal that cannot be read is gone.
                let Ok(input) = input else { return };
                if keys.blocking_send(press(&input)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { over })
    }
}

impl Drop for Keyboard {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all other keys do nothing")]
fn press(input: &Input) -> Option<Press> {
    let Input::Key(key) = input else { return None };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Press::Interrupt),
        KeyCode::Char(letter) if !control => Some(Press::Char(letter)),
        KeyCode::Enter => Some(Press::Enter),
        KeyCode::Esc => Some(Press::Escape),
        KeyCode::Backspace => Some(Press::Backspace),
        KeyCode::Up => Some(Press::Up),
        KeyCode::Down => Some(Press::Down),
        KeyCode::PageUp => Some(Press::PageUp),
        KeyCode::PageDown => Some(Press::PageDown),
        KeyCode::Tab => Some(Press::Tab),
        _ => None,
    }
}
