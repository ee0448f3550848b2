//! What is known of a node over time, and what a person wants to see of it: no terminal, no network.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use serde_json::Value;
use watertight::{
    admin::PostmortemStatus,
    status::{ComponentsStatus, EdgesStatus, NodeStatus},
};
use watertight_observe::Latency;

/// Readings that rates are made of: those of ten seconds, where it is looked every second.
const WINDOW: usize = 11;

/// Rates that a trend has.
pub(super) const TREND: usize = 60;

/// Failures that are remembered.
const MAX_NEWS: usize = 100;

/// One reading.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Since the first.
    pub(super) at: Duration,
    pub(super) node: NodeStatus,
    pub(super) components: ComponentsStatus,
}

/// A component, or one of its edges: caller, callee, import.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Component(String),
    Edge(String, String, String),
}

/// A line of a table.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub(super) struct Row {
    pub(super) name: String,
    /// Calls a second, and those that failed.
    pub(super) rate: f64,
    pub(super) failed_rate: f64,
    pub(super) p50_ns: Option<u64>,
    pub(super) p99_ns: Option<u64>,
    /// Calls so far.
    pub(super) calls: u64,
    pub(super) failed: u64,
    /// Of one core, for components.
    pub(super) cpu: f64,
    /// Of the cell that uses most, and its budget.
    pub(super) memory: u64,
    pub(super) memory_limit: u64,
    pub(super) cells: u64,
    /// How its residents are, or its breaker.
    pub(super) state: String,
    /// Bytes a second, for edges.
    pub(super) bytes_rate: f64,
    #[serde(skip)]
    pub(super) key: Key,
    #[serde(skip)]
    pub(super) latency: Latency,
}

/// What a table is sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    Manifest,
    Rate,
    P99,
    Failures,
    Cpu,
    Memory,
    Name,
}

/// Which of the two tables has the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Focus {
    Components,
    Edges,
}

/// Everything that is drawn.
#[derive(Debug)]
pub(super) struct Watch {
    readings: VecDeque<Reading>,
    trends: HashMap<Key, VecDeque<u64>>,
    pub(super) requests: VecDeque<u64>,
    /// Failures and the like, the newest first.
    pub(super) news: VecDeque<Value>,
    pub(super) edges: EdgesStatus,
    pub(super) postmortems: Vec<PostmortemStatus>,
    pub(super) sort: Sort,
    pub(super) focus: Focus,
    pub(super) chosen: usize,
    pub(super) open: Option<Key>,
    pub(super) help: bool,
    pub(super) filter: String,
    pub(super) typing: bool,
    /// Why the node does not answer.
    pub(super) lost: Option<String>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            readings: VecDeque::new(),
            trends: HashMap::new(),
            requests: VecDeque::new(),
            news: VecDeque::new(),
            edges: EdgesStatus::default(),
            postmortems: Vec::new(),
            sort: Sort::Manifest,
            focus: Focus::Components,
            chosen: 0,
            open: None,
            help: false,
            filter: String::new(),
            typing: false,
            lost: None,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of more than 2^53 need not be exact")]
pub(super) fn real(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "rates are finite and not negative")]
pub(super) fn whole(rate: f64) -> u64 {
    rate.max(0.0).round() as u64
}

impl Watch {
    /// Takes a reading. One that counts less than the one before is of a node, or a worker, that began anew.
    pub(super) fn add(&mut self, reading: Reading) {
        self.lost = None;
        let began_anew = self.readings.back().is_some_and(|last| {
            let calls = |of: &Reading| of.components.components.iter().map(|component| component.calls).sum::<u64>();
            last.node.pid != reading.node.pid || calls(last) > calls(&reading)
        });
        if began_anew {
            self.readings.clear();
        }
        self.readings.push_back(reading);
        if self.readings.len() > WINDOW {
            self.readings.pop_front();
        }
        let newest = self.readings.len().saturating_sub(2);
        let (components, edges, requests) =
            (self.components_since(newest), self.edges_since(newest), self.requests_since(newest).0);
        if self.readings.len() > 1 {
            for row in components.into_iter().chain(edges) {
                push(self.trends.entry(row.key).or_default(), whole(row.rate));
            }
            push(&mut self.requests, whole(requests));
        }
    }

    /// Takes something that happened.
    pub(super) fn hear(&mut self, event: Value) {
        self.news.push_front(event);
        self.news.truncate(MAX_NEWS);
    }

    pub(super) fn last(&self) -> Option<&Reading> {
        self.readings.back()
    }

    pub(super) fn trend(&self, key: &Key) -> impl Iterator<Item = u64> + '_ {
        self.trends.get(key).into_iter().flatten().copied()
    }

    /// All components, whatever is shown of them.
    pub(super) fn all(&self) -> Vec<Row> {
        self.components_since(0)
    }

    /// The components as they are shown.
    pub(super) fn components(&self) -> Vec<Row> {
        self.shown(self.components_since(0))
    }

    pub(super) fn edges(&self) -> Vec<Row> {
        self.shown(self.edges_since(0))
    }

    /// The rows of the table that has the keys.
    pub(super) fn rows(&self) -> Vec<Row> {
        match self.focus {
            Focus::Components => self.components(),
            Focus::Edges => self.edges(),
        }
    }

    /// What is opened, if it is still there.
    pub(super) fn opened(&self) -> Option<Row> {
        let key = self.open.as_ref()?;
        self.components_since(0).into_iter().chain(self.edges_since(0)).find(|row| row.key == *key)
    }

    /// Requests a second, and their times.
    pub(super) fn requests_now(&self) -> (f64, Latency) {
        self.requests_since(0)
    }

    fn shown(&self, mut rows: Vec<Row>) -> Vec<Row> {
        let filter = self.filter.to_lowercase();
        rows.retain(|row| row.name.to_lowercase().contains(&filter));
        let by = |read: fn(&Row) -> f64| move |a: &Row, b: &Row| read(b).total_cmp(&read(a));
        match self.sort {
            Sort::Manifest => {}
            Sort::Rate => rows.sort_by(by(|row| row.rate)),
            Sort::P99 => rows.sort_by(by(|row| row.p99_ns.map_or(0.0, real))),
            Sort::Failures => rows.sort_by(by(|row| row.failed_rate + real(row.failed) / 1e12)),
            Sort::Cpu => rows.sort_by(by(|row| row.cpu)),
            Sort::Memory => rows.sort_by(by(|row| real(row.memory))),
            Sort::Name => rows.sort_by(|a, b| a.name.cmp(&b.name)),
        }
        rows
    }

    /// The last reading, the one at this place, and the seconds between them.
    fn span(&self, from: usize) -> Option<(&Reading, &Reading, f64)> {
        let (last, first) = (self.readings.back()?, self.readings.get(from)?);
        Some((last, first, last.at.saturating_sub(first.at).as_secs_f64().max(0.001)))
    }

    fn requests_since(&self, from: usize) -> (f64, Latency) {
        let Some((last, first, seconds)) = self.span(from) else { return (0.0, Latency::default()) };
        let all = |reading: &Reading| {
            let mut sum = Latency::default();
            reading.components.routes.iter().for_each(|route| sum.add(&route.latency));
            sum
        };
        let since = all(last).since(&all(first));
        (real(since.calls()) / seconds, since)
    }

    fn edges_since(&self, from: usize) -> Vec<Row> {
        let Some((last, first, seconds)) = self.span(from) else { return Vec::new() };
        let mut rows = Vec::new();
        for component in &last.components.components {
            for edge in &component.edges {
                let before = first.components.components.iter().find(|other| other.name == component.name);
                let before = before.and_then(|before| {
                    before.edges.iter().find(|other| other.to == edge.to && other.import == edge.import)
                });
                let before = before.cloned().unwrap_or_default();
                let latency = edge.latency.since(&before.latency);
                let bytes = (edge.bytes_in + edge.bytes_out).saturating_sub(before.bytes_in + before.bytes_out);
                rows.push(Row {
                    name: format!("{} → {}", component.name, edge.to),
                    rate: real(edge.calls.saturating_sub(before.calls)) / seconds,
                    failed_rate: real(edge.failed().saturating_sub(before.failed())) / seconds,
                    p50_ns: quantile(&latency, 0.5),
                    p99_ns: quantile(&latency, 0.99),
                    calls: edge.calls,
                    failed: edge.failed(),
                    cpu: 0.0,
                    memory: 0,
                    memory_limit: 0,
                    cells: 0,
                    state: if edge.open > 0 { format!("open ×{}", edge.open) } else { String::new() },
                    bytes_rate: real(bytes) / seconds,
                    key: Key::Edge(component.name.clone(), edge.to.clone(), edge.import.clone()),
                    latency,
                });
            }
        }
        rows
    }

    fn components_since(&self, from: usize) -> Vec<Row> {
        let Some((last, first, seconds)) = self.span(from) else { return Vec::new() };
        let edges = self.edges_since(from);
        let cells = last.components.components.iter().filter(|component| component.wall != "fused");
        let row = |component: &watertight::status::ComponentStatus| {
            let before = first.components.components.iter().find(|other| other.name == component.name);
            let before = before.cloned().unwrap_or_default();
            let mut latency = component.latency.since(&before.latency);
            for edge in &edges {
                if matches!(&edge.key, Key::Edge(_, to, _) if *to == component.name) {
                    latency.add(&edge.latency);
                }
            }
            let memory = component.usage.iter().find(|usage| usage.budget == "memory");
            Row {
                name: component.name.clone(),
                rate: real(component.calls.saturating_sub(before.calls)) / seconds,
                failed_rate: real(component.failed().saturating_sub(before.failed())) / seconds,
                p50_ns: quantile(&latency, 0.5),
                p99_ns: quantile(&latency, 0.99),
                calls: component.calls,
                failed: component.failed(),
                cpu: real(component.cpu_ns.saturating_sub(before.cpu_ns)) / 1e9 / seconds,
                memory: memory.map_or(0, |usage| usage.most),
                memory_limit: memory.map_or(0, |usage| usage.limit),
                cells: component.cells,
                state: component.state.clone(),
                bytes_rate: 0.0,
                key: Key::Component(component.name.clone()),
                latency,
            }
        };
        cells.map(row).collect()
    }
}

fn push(trend: &mut VecDeque<u64>, rate: u64) {
    trend.push_back(rate);
    if trend.len() > TREND {
        trend.pop_front();
    }
}

fn quantile(latency: &Latency, share: f64) -> Option<u64> {
    latency.quantile(share).map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// What a key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    /// It is drawn anew.
    Shown,
    /// What is opened now wants its details.
    Opened,
    Quit,
}

/// A key, as far as this knows keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Press {
    Char(char),
    Enter,
    Escape,
    Backspace,
    Up,
    Down,
    PageUp,
    PageDown,
    Tab,
    Interrupt,
}

/// Lines that a page has.
const PAGE: usize = 10;

impl Watch {
    pub(super) fn press(&mut self, press: Press) -> Pressed {
        if press == Press::Interrupt {
            return Pressed::Quit;
        }
        if self.typing {
            match press {
                Press::Char(letter) => self.filter.push(letter),
                Press::Backspace => drop(self.filter.pop()),
                Press::Escape => {
                    self.filter.clear();
                    self.typing = false;
                }
                Press::Enter | Press::Tab | Press::Up | Press::Down | Press::PageUp | Press::PageDown => {
                    self.typing = false;
                }
                Press::Interrupt => {}
            }
            self.chosen = 0;
            return Pressed::Shown;
        }
        let last = self.rows().len().saturating_sub(1);
        match press {
            Press::Char('q') => return Pressed::Quit,
            Press::Char('?' | 'h') => self.help = !self.help,
            Press::Escape if self.help => self.help = false,
            Press::Escape if self.open.is_some() => self.open = None,
            Press::Escape => self.filter.clear(),
            Press::Backspace => self.open = None,
            Press::Char('/') => {
                self.open = None;
                self.typing = true;
            }
            Press::Char('c') => self.sort = Sort::Cpu,
            Press::Char('r') => self.sort = Sort::Rate,
            Press::Char('p') => self.sort = Sort::P99,
            Press::Char('f') => self.sort = Sort::Failures,
            Press::Char('m') => self.sort = Sort::Memory,
            Press::Char('n') => self.sort = Sort::Name,
            Press::Char('o') => self.sort = Sort::Manifest,
            Press::Tab => {
                self.focus = if self.focus == Focus::Components { Focus::Edges } else { Focus::Components };
                self.chosen = 0;
            }
            Press::Up | Press::Char('k') => self.chosen = self.chosen.min(last).saturating_sub(1),
            Press::Down | Press::Char('j') => self.chosen = (self.chosen + 1).min(last),
            Press::PageUp => self.chosen = self.chosen.saturating_sub(PAGE),
            Press::PageDown => self.chosen = (self.chosen + PAGE).min(last),
            Press::Enter if self.help => self.help = false,
            Press::Enter if self.open.is_none() => {
                self.open = self.rows().get(self.chosen).map(|row| row.key.clone());
                self.postmortems.clear();
                return Pressed::Opened;
            }
            Press::Enter => self.open = None,
            Press::Char(_) | Press::Interrupt => {}
        }
        Pressed::Shown
    }
}
