//! The screens of `top`, drawn from a fixed sample; and the picture of one in the docs.

use std::{fmt::Write as _, time::Duration};

use ratatui::{
    Terminal,
    backend::TestBackend,
    style::{Color, Modifier},
};
use serde_json::json;

use super::{
    draw, lines,
    watch::{Press, Pressed, Reading, Watch},
};

/// What a busy node says after so many seconds: a fifth of what `thumbnail` is asked fails.
fn reading(second: u64) -> Reading {
    let latency = |calls: u64, place: usize| {
        let mut counts = vec![0; place + 3];
        (counts[place], counts[place + 1], counts[place + 2]) = (calls * 7 / 10, calls * 28 / 100, calls / 50);
        json!({ "counts": counts, "sum_ns": calls * 1_000_000 })
    };
    // It comes and goes.
    let calls = |rate: u64| (0..second).map(|at| rate * (4 + at % 5) / 6).sum::<u64>();
    let edge = |to: &str, import: &str, rate: u64, place: usize, failures: serde_json::Value, open: u64| {
        json!({ "import": import, "to": to, "calls": calls(rate), "failures": failures, "latency": latency(calls(rate), place),
            "bytes_in": calls(rate) * 900, "bytes_out": calls(rate) * 3100, "openings": open, "open": open })
    };
    let memory = |most: u64, limit: u64| {
        json!([{ "budget": "memory", "used": most * 3, "most": most << 20, "limit": limit << 20, "bytes": true },
            { "budget": "concurrency", "used": 3, "most": 3, "limit": 64, "bytes": false }])
    };
    let component = |name: &str,
                     rate: u64,
                     cpu: u64,
                     most: u64,
                     failures: serde_json::Value,
                     edges: serde_json::Value| {
        json!({ "name": name, "wall": "cell", "lifetime": "request", "scope": "worker", "state": "on-demand", "cells": rate / 60,
            "started": calls(rate), "ejected": calls(rate) / 9, "calls": calls(rate), "failures": failures, "cpu_ns": calls(rate) * cpu,
            "usage": memory(most, 128), "latency": if name == "web" { latency(calls(rate), 10) } else { json!({}) }, "edges": edges })
    };
    let trap = json!({ "trap": calls(60), "memory": calls(6) });
    let edges = json!([
        edge("markdown", "press:markdown/render", 410, 8, json!({}), 0),
        edge("thumbnail", "press:thumbnail/make", 300, 12, trap.clone(), 0),
        edge("highlight", "press:highlight/code", 180, 11, json!({ "deadline": calls(2) }), 1),
    ]);
    let components = json!({
        "components": [
            component("web", 420, 900_000, 14, json!({}), edges),
            component("markdown", 410, 210_000, 3, json!({}), json!([])),
            component("thumbnail", 300, 1_900_000, 122, trap, json!([])),
            component("highlight", 180, 400_000, 21, json!({ "deadline": calls(2) }), json!([])),
            component("feed", 0, 0, 0, json!({}), json!([])),
        ],
        "routes": [{ "route": "/...", "component": "web", "classes": [0, 0, calls(420), 0, 0, 0], "latency": latency(calls(420), 10) }],
        "unanswered": [],
    });
    let worker = |worker: u32| {
        json!({ "worker": worker, "pid": 4711 + worker, "state": "serving", "state_ms": 130_000, "restarts": 0, "generation": 1,
            "answers": true, "rss_bytes": 71 << 20 })
    };
    let node = json!({ "app": "press", "version": "0.1.0", "pid": 4710, "url": "http://127.0.0.1:8080", "since": "2026-01-02T03:04:05Z",
        "uptime_ms": 130_000 + second * 1000, "generation": 1, "workers": [worker(0), worker(1)] });
    Reading {
        at: Duration::from_secs(second),
        node: serde_json::from_value(node).expect("it is a node"),
        components: serde_json::from_value(components).expect("they are components"),
    }
}

fn watch() -> Watch {
    let mut watch = Watch::default();
    (0..40).for_each(|second| watch.add(reading(second)));
    for (second, kind, detail) in [
        (3, "trap", "wasm `unreachable` instruction executed"),
        (4, "memory", "it asked for more than its 128MiB of memory: raise component.thumbnail.budget.memory"),
    ] {
        let time = format!("2026-01-02T03:06:{second:02}.123Z");
        watch.hear(
            json!({ "event": "failure", "time": time, "component": "thumbnail", "failure": kind, "detail": detail }),
        );
    }
    watch.hear(
        json!({ "event": "breaker", "time": "2026-01-02T03:06:05.000Z", "edge": "web->highlight", "state": "open" }),
    );
    watch.edges = serde_json::from_value(json!({ "edges": [{ "from": "web",
        "status": { "to": "thumbnail", "import": "press:thumbnail/make" },
        "spec": { "deadline_ms": 2000, "breaker": null, "functions": [
            { "signature": "make: func(image: list<u8>, width: u32) -> result<list<u8>, string>", "sees": "retry 1x, then an error with the reason" }] } }] }))
    .expect("they are edges");
    watch.postmortems = serde_json::from_value(json!([{ "id": "press/thumbnail/20260102T030604.123Z-4711",
        "time": "2026-01-02T03:06:04.123Z", "component": "thumbnail", "failure": "memory", "detail": "…", "at": "src/lib.rs:41" }]))
    .expect("they are postmortems");
    watch
}

fn drawn(watch: &Watch, width: u16, height: u16) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("there is memory");
    terminal.draw(|frame| draw::draw(frame, watch)).expect("it is memory");
    terminal
}

fn text(watch: &Watch, width: u16, height: u16) -> String {
    lines(drawn(watch, width, height).backend()).join("\n")
}

/// The sizes that screens are kept of.
const SIZES: [(u16, u16); 2] = [(80, 24), (200, 60)];

#[test]
fn the_screens_are_as_they_were_at_both_sizes() {
    for (width, height) in SIZES {
        insta::assert_snapshot!(format!("lists_{width}x{height}"), text(&watch(), width, height));
        let mut edge = watch();
        for press in [Press::Tab, Press::Down, Press::Enter] {
            edge.press(press);
        }
        insta::assert_snapshot!(format!("edge_{width}x{height}"), text(&edge, width, height));
        let mut component = watch();
        for press in [Press::Char('f'), Press::Enter] {
            component.press(press);
        }
        insta::assert_snapshot!(format!("component_{width}x{height}"), text(&component, width, height));
        let mut help = watch();
        help.press(Press::Char('?'));
        insta::assert_snapshot!(format!("help_{width}x{height}"), text(&help, width, height));
    }
}

#[test]
fn keys_sort_filter_open_and_quit() {
    let mut watch = watch();
    let names = |watch: &Watch| watch.rows().into_iter().map(|row| row.name).collect::<Vec<_>>();
    assert_eq!(names(&watch), ["web", "markdown", "thumbnail", "highlight", "feed"]);
    for (key, first) in
        [('r', "web"), ('f', "thumbnail"), ('c', "thumbnail"), ('m', "thumbnail"), ('n', "feed"), ('p', "thumbnail")]
    {
        assert_eq!(watch.press(Press::Char(key)), Pressed::Shown);
        assert_eq!(names(&watch)[0], first, "{key}");
    }
    watch.press(Press::Char('/'));
    for letter in "high".chars() {
        watch.press(Press::Char(letter));
    }
    assert_eq!(names(&watch), ["highlight"]);
    watch.press(Press::Enter);
    assert_eq!(watch.press(Press::Enter), Pressed::Opened);
    assert_eq!(watch.opened().map(|row| row.name).as_deref(), Some("highlight"));
    watch.press(Press::Escape);
    watch.press(Press::Escape);
    watch.press(Press::Tab);
    assert_eq!(names(&watch).len(), 3);
    assert_eq!(watch.press(Press::Char('q')), Pressed::Quit);
    assert_eq!(watch.press(Press::Interrupt), Pressed::Quit);
}

#[test]
fn a_node_that_began_anew_is_not_shown_with_rates_of_the_one_before() {
    let mut watch = watch();
    let busy = watch.components()[0].rate;
    assert!((200.0..600.0).contains(&busy), "{busy}");
    watch.lost = Some("nobody answers".to_owned());
    assert!(text(&watch, 80, 24).contains("GONE: nobody answers"));
    let mut next = reading(1);
    next.node.pid = 99;
    watch.add(next);
    assert!(watch.components()[0].rate.abs() < 0.001);
    assert!(!text(&watch, 80, 24).contains("GONE"));
}

#[test]
fn nothing_and_a_terminal_that_is_too_small_are_drawn_too() {
    for (width, height) in [(1, 1), (20, 3), (40, 8), (300, 100)] {
        for mut watch in [Watch::default(), watch()] {
            drawn(&watch, width, height);
            watch.press(Press::Char('?'));
            drawn(&watch, width, height);
            watch.press(Press::Escape);
            watch.press(Press::Enter);
            drawn(&watch, width, height);
        }
    }
}

/// A screen as a picture: `WATERTIGHT_BLESS=1` makes it anew.
fn picture(terminal: &Terminal<TestBackend>) -> String {
    const CELL: f64 = 8.4;
    const LINE: f64 = 18.0;
    let buffer = terminal.backend().buffer();
    let area = buffer.area;
    let (width, height) = (f64::from(area.width) * CELL + 24.0, f64::from(area.height) * LINE + 24.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace\" font-size=\"14\" xml:space=\"preserve\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"#11161d\"/>\n"
    );
    for y in 0..area.height {
        let mut x = 0;
        while x < area.width {
            let style = |x: u16| {
                let cell = &buffer[(x, y)];
                (cell.fg, cell.modifier)
            };
            let (begin, (color, modifier)) = (x, style(x));
            let mut run = String::new();
            // A gap ends it: what comes after stands where it stands, whatever the letters' width.
            while x < area.width && style(x) == (color, modifier) && !run.ends_with("  ") {
                run.push_str(buffer[(x, y)].symbol());
                x += 1;
            }
            let reversed = modifier.contains(Modifier::REVERSED);
            let (left, top) = (12.0 + f64::from(begin) * CELL, 12.0 + f64::from(y) * LINE);
            let length = f64::from(x - begin) * CELL;
            // A `String` takes all it is given.
            if reversed {
                let _ = writeln!(
                    svg,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{LINE}\" fill=\"#33465c\"/>"
                );
            }
            let words = run.trim_end();
            if words.is_empty() {
                continue;
            }
            let blank = run.chars().take_while(|letter| *letter == ' ').count();
            let real = |count: usize| f64::from(u16::try_from(count).expect("a line is short"));
            let left = left + real(blank) * CELL;
            let length = real(words.chars().count() - blank) * CELL;
            let bold = if modifier.contains(Modifier::BOLD) { " font-weight=\"bold\"" } else { "" };
            let run = words.trim_start().replace('&', "&amp;").replace('<', "&lt;");
            let _ = writeln!(
                svg,
                "<text x=\"{left:.1}\" y=\"{:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{}\"{bold}>{run}</text>",
                top + 13.5,
                shade(color)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

#[expect(clippy::wildcard_enum_match_arm, reason = "all others are drawn as text is")]
fn shade(color: Color) -> &'static str {
    match color {
        Color::DarkGray => "#8193a6",
        Color::Green => "#35c2a5",
        Color::Yellow => "#e0a63a",
        Color::Red => "#f0635d",
        Color::Cyan => "#56b6e8",
        _ => "#e6edf3",
    }
}

#[test]
fn the_picture_in_the_docs_is_what_is_drawn() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/top.svg");
    let made = picture(&drawn(&watch(), 120, 30));
    if std::env::var_os("WATERTIGHT_BLESS").is_some() {
        std::fs::write(&path, &made).expect("the docs are writable");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/top.svg is another picture: WATERTIGHT_BLESS=1 makes it anew");
}
