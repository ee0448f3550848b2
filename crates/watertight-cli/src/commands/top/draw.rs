//! The screens of `watertight top`. What a node says is shown cleaned: names and reasons may be a guest's.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Clear, Paragraph, Row as TableRow, Table, TableState, Wrap},
};
use serde_json::Value;
use watertight_model::budget::ByteSize;
use watertight_observe::{LATENCY_BOUNDS, Latency, clean};

use super::watch::{Focus, Key, Row, Sort, Watch, real, whole};
use crate::commands::{faults::banner, ps::span};

const SOFT: Style = Style::new().fg(Color::DarkGray);
const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Memory of which more than this share is used is shown as bad.
const FULL: f64 = 0.9;

pub(super) fn draw(frame: &mut Frame<'_>, watch: &Watch) {
    let area = frame.area();
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(3), Constraint::Min(0), Constraint::Length(1)]).areas(area);
    frame.render_widget(Paragraph::new(headline(watch, area.width)), head);
    match watch.opened() {
        Some(row) => detail(frame, body, watch, &row),
        None => lists(frame, body, watch),
    }
    frame.render_widget(Paragraph::new(footer(watch)), foot);
    if watch.help {
        help(frame, area);
    }
}

fn headline(watch: &Watch, width: u16) -> Vec<Line<'static>> {
    let Some(last) = watch.last() else {
        let why = watch.lost.clone().unwrap_or_else(|| "asking the node…".to_owned());
        return vec![Line::from(why)];
    };
    let node = &last.node;
    let serving = node.workers.iter().filter(|worker| worker.answers).count();
    let mut first = vec![
        Span::styled(clean(&node.app).into_owned(), STRONG),
        Span::raw(format!(" {}", clean(&node.version))),
        Span::styled(
            format!(
                "  up {}  {serving} of {} workers  generation {}",
                span(node.uptime_ms),
                node.workers.len(),
                node.generation
            ),
            SOFT,
        ),
    ];
    if let Some(lost) = &watch.lost {
        first.push(Span::styled(format!("  GONE: {}, looking for it…", clean(lost)), Style::new().fg(Color::Red)));
    } else if let Some(faults) = &node.faults {
        first.push(Span::styled(format!("  {}", clean(&banner(faults))), Style::new().fg(Color::Yellow)));
    }
    let (rate, latency) = watch.requests_now();
    let rows = watch.all();
    let sum = |read: fn(&Row) -> f64| rows.iter().map(read).sum::<f64>();
    let failing = sum(|row| row.failed_rate);
    let memory: u64 = node.workers.iter().filter_map(|worker| worker.rss_bytes).sum();
    let quantile = |share| {
        latency
            .quantile(share)
            .map_or_else(|| "–".to_owned(), |at| took(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX)))
    };
    let second = vec![
        Span::raw("requests "),
        Span::styled(format!("{}/s", number(rate)), STRONG),
        Span::raw(format!("  p50 {}  p99 {}  failed calls ", quantile(0.5), quantile(0.99))),
        Span::styled(format!("{}/s", number(failing)), tone(failing, failing)),
        Span::raw(format!("  cpu {}  memory {}  ", percent(sum(|row| row.cpu)), size(memory))),
    ];
    let used: usize = second.iter().map(Span::width).sum();
    let room = usize::from(width).saturating_sub(used).min(super::watch::TREND);
    let trend = bars(watch.requests.iter().copied(), room);
    let second = second.into_iter().chain([Span::styled(trend, Style::new().fg(Color::Cyan))]).collect::<Vec<_>>();
    vec![Line::from(first), Line::from(second)]
}

fn lists(frame: &mut Frame<'_>, area: Rect, watch: &Watch) {
    let (components, edges) = (watch.components(), watch.edges());
    let wanted = |rows: usize| u16::try_from(rows + 2).unwrap_or(u16::MAX);
    let both = wanted(components.len()).saturating_add(wanted(edges.len()));
    let spare = area.height.saturating_sub(both);
    let news = if area.height >= 36 { spare.max(12) } else { spare };
    let tables = area.height - news;
    let upper = wanted(components.len()).min((tables / 2).max(tables.saturating_sub(wanted(edges.len())))).max(3);
    let [above, below, last] =
        Layout::vertical([Constraint::Length(upper), Constraint::Min(0), Constraint::Length(news)]).areas(area);
    table(frame, above, watch, &components, Focus::Components);
    table(frame, below, watch, &edges, Focus::Edges);
    if last.height > 1 {
        let told = told(watch, None, usize::from(last.height) - 1);
        frame.render_widget(Paragraph::new(told).block(titled("last failures", false)), last);
    }
}

fn titled(title: &str, focused: bool) -> Block<'static> {
    let style = if focused { STRONG } else { SOFT };
    Block::new().borders(Borders::TOP).border_style(SOFT).title(Span::styled(format!(" {title} "), style))
}

fn table(frame: &mut Frame<'_>, area: Rect, watch: &Watch, rows: &[Row], of: Focus) {
    let focused = watch.focus == of;
    let (medium, wide) = (area.width >= 100, area.width >= 150);
    let components = of == Focus::Components;
    let longest = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0);
    let name = longest.clamp(12, if medium { 48 } else { 26 });
    let mut columns = vec![
        (if components { "COMPONENT" } else { "EDGE" }, name),
        ("CALLS/s", 8),
        ("P50", 8),
        ("P99", 8),
        ("FAILED/s", 8),
    ];
    if components {
        columns.extend([("CPU", 6), ("MEMORY", if wide { 27 } else { 8 }), ("CELLS", 5)]);
    } else {
        columns.push(("BYTES/s", 10));
    }
    if medium {
        columns.push((if components { "STATE" } else { "BREAKER" }, 10));
    }
    let used: usize = columns.iter().map(|(_, width)| width + 1).sum();
    let trend = usize::from(area.width).saturating_sub(used).min(super::watch::TREND);
    columns.push(("TREND", trend));
    let widths = columns.iter().map(|(_, width)| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
    let sorted = |head: &str| {
        let by = match watch.sort {
            Sort::Manifest => "",
            Sort::Rate => "CALLS/s",
            Sort::P99 => "P99",
            Sort::Failures => "FAILED/s",
            Sort::Cpu => "CPU",
            Sort::Memory => "MEMORY",
            Sort::Name => {
                if components {
                    "COMPONENT"
                } else {
                    "EDGE"
                }
            }
        };
        head == by
    };
    let head = columns.iter().map(|(head, _)| {
        let style = if sorted(head) { STRONG.add_modifier(Modifier::UNDERLINED) } else { SOFT };
        Cell::from(Span::styled((*head).to_owned(), style))
    });
    let lines = rows.iter().map(|row| {
        let health = health(row);
        let mut cells = vec![
            Cell::from(Span::styled(clean(&row.name).into_owned(), health)),
            Cell::from(number(row.rate)),
            Cell::from(row.p50_ns.map_or_else(|| "–".to_owned(), took)),
            Cell::from(row.p99_ns.map_or_else(|| "–".to_owned(), took)),
            Cell::from(Span::styled(number(row.failed_rate), tone(row.failed_rate, row.rate))),
        ];
        if components {
            cells.extend([
                Cell::from(percent(row.cpu)),
                Cell::from(memory(row, wide)),
                Cell::from(row.cells.to_string()),
            ]);
        } else {
            cells.push(Cell::from(format!("{}/s", size(whole(row.bytes_rate)))));
        }
        if medium {
            cells.push(Cell::from(Span::styled(row.state.clone(), health)));
        }
        cells.push(Cell::from(Span::styled(bars(watch.trend(&row.key), trend), Style::new().fg(Color::Cyan))));
        TableRow::new(cells)
    });
    let title = if components { "components" } else { "edges" };
    let table = Table::new(lines, widths)
        .header(TableRow::new(head))
        .block(titled(title, focused))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new();
    if focused && !rows.is_empty() {
        state.select(Some(watch.chosen.min(rows.len() - 1)));
    }
    frame.render_stateful_widget(table, area, &mut state);
}

/// How a component or edge fares.
fn health(row: &Row) -> Style {
    let bad = row.state == "down" || row.state.starts_with("open");
    let color = if bad {
        Color::Red
    } else if row.failed_rate > 0.0 || matches!(row.state.as_str(), "partial" | "starting") {
        return tone(row.failed_rate.max(0.001), row.rate.max(1.0));
    } else if row.rate > 0.0 {
        Color::Green
    } else {
        return Style::new();
    };
    Style::new().fg(color)
}

/// Failures among calls: none, some, many.
fn tone(failed: f64, calls: f64) -> Style {
    if failed <= 0.0 {
        Style::new()
    } else if failed < calls * 0.2 {
        Style::new().fg(Color::Yellow)
    } else {
        Style::new().fg(Color::Red)
    }
}

fn memory(row: &Row, wide: bool) -> Line<'static> {
    if row.memory_limit == 0 {
        return Line::from("–");
    }
    let share = real(row.memory) / real(row.memory_limit);
    let style = if share > FULL { Style::new().fg(Color::Red) } else { Style::new() };
    let text = if wide { format!("{} of {}", size(row.memory), size(row.memory_limit)) } else { size(row.memory) };
    if wide {
        Line::from(vec![gauge(share, 8), Span::styled(format!(" {text}"), style)])
    } else {
        Line::styled(text, style)
    }
}

fn gauge(share: f64, width: usize) -> Span<'static> {
    let full = usize::try_from(whole(share.clamp(0.0, 1.0) * real(width as u64))).unwrap_or(width).min(width);
    let color = if share > FULL { Color::Red } else { Color::Green };
    Span::styled(format!("{}{}", "█".repeat(full), "░".repeat(width - full)), Style::new().fg(color))
}

fn detail(frame: &mut Frame<'_>, area: Rect, watch: &Watch, row: &Row) {
    let mut lines = vec![Line::from("")];
    let pair =
        |name: &str, value: String| Line::from(vec![Span::styled(format!("  {name:<16}"), SOFT), Span::raw(value)]);
    lines.push(pair("calls", format!("{}/s, {} so far", number(row.rate), row.calls)));
    lines.push(pair("failed", format!("{}/s, {} so far", number(row.failed_rate), row.failed)));
    lines.extend(match &row.key {
        Key::Component(name) => of_component(watch, name, row),
        Key::Edge(from, to, import) => of_edge(watch, from, to, import),
    });
    let [left, right] = Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)]).areas(area);
    let [times, news] = Layout::vertical([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(right);
    let title = clean(&row.name).into_owned();
    frame.render_widget(Paragraph::new(lines).block(titled(&title, true)), left);
    let bars = histogram(&row.latency, usize::from(times.width), usize::from(times.height).saturating_sub(1));
    frame.render_widget(Paragraph::new(bars).block(titled("times of the last ten seconds", false)), times);
    let component = match &row.key {
        Key::Component(name) | Key::Edge(_, name, _) => name,
    };
    let height = usize::from(news.height).saturating_sub(1);
    let mut told = told(watch, Some(component), height);
    for postmortem in watch.postmortems.iter().take(height.saturating_sub(told.len())) {
        let at = postmortem.at.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
        told.push(Line::from(vec![
            Span::styled(format!("  {}", clean(&postmortem.id)), Style::new().fg(Color::Cyan)),
            Span::raw(format!(" {}{}", clean(&postmortem.failure), clean(&at))),
        ]));
    }
    if told.is_empty() {
        told.push(Line::styled("  none since this was started", SOFT));
    }
    let told = Paragraph::new(told).wrap(Wrap { trim: false });
    frame.render_widget(told.block(titled("last failures, postmortems", false)), news);
}

fn of_component(watch: &Watch, name: &str, row: &Row) -> Vec<Line<'static>> {
    let pair =
        |name: &str, value: String| Line::from(vec![Span::styled(format!("  {name:<16}"), SOFT), Span::raw(value)]);
    let Some(last) = watch.last() else { return Vec::new() };
    let Some(component) = last.components.components.iter().find(|component| component.name == name) else {
        return Vec::new();
    };
    let mut lines = vec![
        pair("cpu", percent(row.cpu)),
        pair("state", format!("{}, lives for a {}", component.state, component.lifetime)),
        pair(
            "cells",
            format!("{} alive, {} made, {} thrown out", component.cells, component.started, component.ejected),
        ),
        pair("restarts", format!("{}, {} recycled", component.restarts, component.recycled)),
    ];
    if let Some(reason) = &component.reason {
        lines.push(pair("why", clean(reason).into_owned()));
    }
    lines.push(Line::from(""));
    for usage in component.usage.iter().filter(|usage| usage.limit > 0) {
        let amount = |amount| if usage.bytes { size(amount) } else { amount.to_string() };
        let share = real(usage.most) / real(usage.limit);
        lines.push(Line::from(vec![
            Span::styled(format!("  {:<16}", usage.budget), SOFT),
            gauge(share, 12),
            Span::raw(format!(" {} of {}", amount(usage.most), amount(usage.limit))),
        ]));
    }
    lines.extend(kinds(component.failures.iter()));
    lines
}

fn of_edge(watch: &Watch, from: &str, to: &str, import: &str) -> Vec<Line<'static>> {
    let pair =
        |name: &str, value: String| Line::from(vec![Span::styled(format!("  {name:<16}"), SOFT), Span::raw(value)]);
    let mut lines = vec![pair("import", clean(import).into_owned())];
    if let Some(last) = watch.last() {
        let mut edges = last.components.components.iter().filter(|one| one.name == from).flat_map(|one| &one.edges);
        if let Some(edge) = edges.find(|edge| edge.to == to && edge.import == import) {
            lines.push(pair("bytes", format!("{} in, {} out so far", size(edge.bytes_in), size(edge.bytes_out))));
            let open = if edge.open > 0 { format!("{} open now, ", edge.open) } else { String::new() };
            lines.push(pair("breaker", format!("{open}opened {} times", edge.openings)));
            lines.extend(kinds(edge.failures.iter()));
        }
    }
    let known =
        watch.edges.edges.iter().find(|edge| edge.from == from && edge.status.to == to && edge.status.import == import);
    if let Some(edge) = known {
        lines.push(Line::from(""));
        lines.push(pair("deadline", format!("{} ms", edge.spec["deadline_ms"])));
        if !edge.spec["breaker"].is_null() {
            lines.push(pair("breaks after", clean(&edge.spec["breaker"].to_string()).into_owned()));
        }
        for function in edge.spec["functions"].as_array().into_iter().flatten() {
            let signature = function["signature"].as_str().unwrap_or("?");
            let sees = function["sees"].as_str().unwrap_or("?");
            lines.push(Line::from(format!("  {}", clean(signature))));
            lines.push(Line::styled(format!("    if it fails: {}", clean(sees)), SOFT));
        }
    }
    lines
}

fn kinds<'a>(failures: impl Iterator<Item = (&'a String, &'a u64)>) -> Vec<Line<'static>> {
    let line = |(kind, count): (&String, &u64)| {
        let red = Style::new().fg(Color::Red);
        Line::from(vec![Span::styled(format!("  {:<16}", clean(kind)), red), Span::raw(count.to_string())])
    };
    failures.map(line).collect()
}

/// The last things that went wrong, of one component or of all.
fn told(watch: &Watch, component: Option<&str>, most: usize) -> Vec<Line<'static>> {
    let about = |event: &&Value| {
        let edge = event["edge"].as_str().and_then(|edge| edge.split_once("->")).map(|(_, to)| to);
        component.is_none_or(|wanted| event["component"] == wanted || edge == Some(wanted))
    };
    let text = |value: &Value| clean(value.as_str().unwrap_or_default()).into_owned();
    let line = |event: &Value| {
        let time = event["time"].as_str().and_then(|time| time.get(11..19)).unwrap_or_default().to_owned();
        let (who, what) = match event["event"].as_str() {
            Some("failure") => {
                (text(&event["component"]), format!("{}: {}", text(&event["failure"]), text(&event["detail"])))
            }
            Some("postmortem") => (text(&event["component"]), format!("postmortem in {}", text(&event["folder"]))),
            Some("breaker") => (text(&event["edge"]), format!("breaker {}", text(&event["state"]))),
            Some("dropped") => (String::new(), format!("{} events were lost", event["count"])),
            Some(other) => (text(&event["component"]), format!("{} {}", other, text(&event["change"]))),
            None => return Line::default(),
        };
        Line::from(vec![
            Span::styled(format!("  {time} "), SOFT),
            Span::styled(who, STRONG),
            Span::raw(format!(" {what}")),
        ])
    };
    watch.news.iter().filter(about).take(most).map(line).collect()
}

/// A histogram, a line for each bound between the first and the last that has calls.
fn histogram(latency: &Latency, width: usize, height: usize) -> Vec<Line<'static>> {
    let counts = &latency.counts;
    let Some(first) = counts.iter().position(|count| *count > 0) else {
        return vec![Line::styled("  no calls", SOFT)];
    };
    let last = counts.iter().rposition(|count| *count > 0).unwrap_or(first);
    let most = counts.iter().max().copied().unwrap_or(1).max(1);
    let room = width.saturating_sub(22).max(1);
    let line = |place: usize| {
        let bound = LATENCY_BOUNDS.get(place).map_or_else(|| "more".to_owned(), |bound| took(*bound));
        let count = counts.get(place).copied().unwrap_or(0);
        let length = usize::try_from(whole(real(count) / real(most) * real(room as u64))).unwrap_or(room).min(room);
        let bar = "█".repeat(if count > 0 { length.max(1) } else { 0 });
        Line::from(vec![
            Span::styled(format!("  ≤ {bound:<7} "), SOFT),
            Span::styled(bar, Style::new().fg(Color::Cyan)),
            Span::raw(format!(" {count}")),
        ])
    };
    (first..=last).take(height).map(line).collect()
}

fn footer(watch: &Watch) -> Line<'static> {
    if watch.typing {
        return Line::from(vec![Span::styled("filter: ", STRONG), Span::raw(format!("{}▏", watch.filter))]);
    }
    let key =
        |key: &str, what: &str| [Span::styled(format!("{key} "), STRONG), Span::styled(format!("{what}  "), SOFT)];
    let mut keys = Vec::new();
    for (name, what) in
        [("q", "quit"), ("?", "help"), ("/", "filter"), ("tab", "edges"), ("enter", "open"), ("r p f c m", "sort")]
    {
        keys.extend(key(name, what));
    }
    if !watch.filter.is_empty() {
        keys.push(Span::styled(format!("showing `{}`", watch.filter), Style::new().fg(Color::Yellow)));
    }
    Line::from(keys)
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let keys = [
        ("q, ctrl-c", "quit"),
        ("↑ ↓ j k", "choose a line"),
        ("tab", "components or edges"),
        ("enter", "open what is chosen: times, budgets or policies, last failures"),
        ("esc", "close, or show everything again"),
        ("/", "show only names that have this in them"),
        ("r", "sort by calls a second"),
        ("p", "by the 99th percentile"),
        ("f", "by failures"),
        ("c", "by cpu"),
        ("m", "by memory"),
        ("n, o", "by name, by the manifest's order"),
        ("", ""),
        ("", "Rates and times are those of the last ten seconds,"),
        ("", "summed up over the workers."),
    ];
    let (width, height) = (68.min(area.width), u16::try_from(keys.len() + 2).unwrap_or(u16::MAX).min(area.height));
    let place = Rect { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
    let lines: Vec<_> = keys
        .iter()
        .map(|(key, what)| Line::from(vec![Span::styled(format!(" {key:<11}"), STRONG), Span::raw((*what).to_owned())]))
        .collect();
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), place);
}

/// A trend: the newest at the right.
fn bars(rates: impl Iterator<Item = u64>, width: usize) -> String {
    let rates: Vec<_> = rates.collect();
    let rates = &rates[rates.len().saturating_sub(width)..];
    let most = rates.iter().max().copied().unwrap_or(0);
    let bar = |rate: &u64| match most {
        0 => ' ',
        most => BARS[usize::try_from(rate * 7 / most).unwrap_or(0).min(7)],
    };
    rates.iter().map(bar).collect()
}

fn number(rate: f64) -> String {
    match rate {
        ..0.05 => "0".to_owned(),
        ..10.0 => format!("{rate:.1}"),
        ..10_000.0 => format!("{rate:.0}"),
        ..1e6 => format!("{:.1}k", rate / 1e3),
        _ => format!("{:.1}M", rate / 1e6),
    }
}

fn percent(share: f64) -> String {
    if share < 0.0005 {
        "0%".to_owned()
    } else if share < 0.1 {
        format!("{:.1}%", share * 100.0)
    } else {
        format!("{:.0}%", share * 100.0)
    }
}

pub(super) fn took(nanos: u64) -> String {
    let of = |unit: u64, name: &str| {
        let value = real(nanos) / real(unit);
        if value < 10.0 { format!("{value:.1}{name}") } else { format!("{value:.0}{name}") }
    };
    match nanos {
        0..1_000_000 => of(1_000, "µs"),
        1_000_000..1_000_000_000 => of(1_000_000, "ms"),
        _ => of(1_000_000_000, "s"),
    }
}

fn size(bytes: u64) -> String {
    let step = (0..4).find(|step| bytes >> (10 * step) < 10_000).unwrap_or(4);
    ByteSize((bytes >> (10 * step)) << (10 * step)).to_string()
}
