//! The app as SVG.

use std::fmt::Write;

use super::{
    Line, badges, cut, label,
    layout::{Link, Place, Route, Size, height_for, place},
    lines, spending,
};
use crate::app::{App, Component, HttpHandler, Lifetime, Wall};

/// Around the picture.
const MARGIN: f64 = 32.0;
/// Above it, for the app's name.
const HEAD: f64 = 64.0;
/// Below it, for what the lines mean.
const FOOT: f64 = 52.0;
/// What that takes.
const LEGEND_WIDTH: f64 = 600.0;
/// Inside a box.
const PAD: f64 = 14.0;
/// The least width of a component's box.
const BOX_WIDTH: f64 = 216.0;
/// Rows of badges in a box before the rest is counted.
const BADGE_ROWS: usize = 3;
/// Characters of a label, and of a badge.
const LABEL_MAX: usize = 34;
const BADGE_MAX: usize = 30;

const STYLE: &str = "
  svg { --page: #ffffff; --box: #ffffff; --line: #c4cbd6; --text: #14213a; --soft: #5c6880; --calm: #1f6feb; --danger: #c2410c;
        --pill: #eef2f8; --inner: #f6f8fc;
        font-family: Inter, system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'DejaVu Sans', sans-serif; }
  @media (prefers-color-scheme: dark) {
    svg { --page: #0d1420; --box: #151f30; --line: #3a4861; --text: #e8edf6; --soft: #98a6bf; --calm: #6cb0ff; --danger: #ff9a62;
          --pill: #22304a; --inner: #1b2740; }
  }
  .page { fill: var(--page); }
  .box { fill: var(--box); stroke: var(--line); stroke-width: 1.5; }
  .inner { fill: var(--inner); stroke: var(--line); stroke-dasharray: 4 3; }
  .route { fill: var(--pill); }
  .pill { fill: var(--pill); }
  .title { font-size: 22px; font-weight: 700; fill: var(--text); }
  .name { font-size: 15px; font-weight: 650; fill: var(--text); }
  .text { font-size: 13px; fill: var(--text); }
  .small { font-size: 11.5px; fill: var(--soft); }
  .stays { font-weight: 650; fill: var(--text); }
  .tiny { font-size: 11px; fill: var(--text); }
  .label { font-size: 11.5px; fill: var(--soft); paint-order: stroke; stroke: var(--page); stroke-width: 5px; stroke-linejoin: round; }
  .edge { fill: none; stroke: var(--calm); stroke-width: 2; }
  .trap { fill: none; stroke: var(--danger); stroke-width: 1.25; stroke-dasharray: 6 4; }
  .start { fill: none; stroke: var(--soft); stroke-width: 1.5; }
  .calm-head { fill: var(--calm); } .trap-head { fill: var(--danger); } .start-head { fill: var(--soft); }
";

/// The app as SVG, for light and dark pages.
#[must_use]
pub fn svg(app: &App) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ok = Picture::new(app).write(&mut text);
    text
}

struct Picture<'a> {
    app: &'a App,
    lines: Vec<Line>,
    /// The components with boxes of their own, after the routes.
    boxes: Vec<&'a Component>,
    sizes: Vec<Size>,
    links: Vec<Link>,
}

impl<'a> Picture<'a> {
    fn new(app: &'a App) -> Self {
        let lines = lines(app);
        let in_a_cell = |component: &Component| app.components.iter().any(|cell| cell.fused.contains(&component.id));
        let boxes: Vec<&Component> =
            app.components.iter().filter(|component| component.wall != Wall::Fused || !in_a_cell(component)).collect();
        let routes = app.http.len();
        let index_of = |id| routes + boxes.iter().position(|component| component.id == id).unwrap_or(0);
        let mut links: Vec<Link> = app
            .http
            .iter()
            .enumerate()
            .map(|(index, trigger)| Link { from: index, to: index_of(trigger.component), label_width: 0.0 })
            .collect();
        links.extend(lines.iter().map(|line| Link {
            from: index_of(line.importer),
            to: index_of(line.exporter),
            label_width: text_width(&cut(&label(line), LABEL_MAX), 11.5),
        }));
        let mut sizes: Vec<Size> = app
            .http
            .iter()
            .map(|trigger| Size { width: text_width(&cut(&trigger.route, LABEL_MAX), 13.0) + 2.0 * PAD, height: 34.0 })
            .collect();
        for (index, component) in boxes.iter().enumerate() {
            let node = routes + index;
            let into = links.iter().filter(|link| link.to == node).count();
            let out = links.iter().filter(|link| link.from == node).count();
            let content = box_size(app, component);
            sizes.push(Size { height: content.height.max(height_for(into.max(out))), ..content });
        }
        Self { app, lines, boxes, sizes, links }
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let layout = place(&self.sizes, &self.links, self.app.http.len());
        let (least, foot) = if self.lines.is_empty() { (320.0, 0.0) } else { (LEGEND_WIDTH, FOOT) };
        let width = layout.width.max(least) + 2.0 * MARGIN;
        let height = layout.height + HEAD + foot + 2.0 * MARGIN;
        writeln!(
            out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">"
        )?;
        writeln!(
            out,
            "<title>{}</title>\n<style>{STYLE}</style>",
            escaped(&format!("{} {}", self.app.name, self.app.version))
        )?;
        writeln!(out, "<defs>{}{}{}</defs>", head("calm"), head("trap"), head("start"))?;
        writeln!(out, "<rect class=\"page\" width=\"100%\" height=\"100%\"/>")?;
        self.title(out)?;
        writeln!(out, "<g transform=\"translate({MARGIN} {:.1})\">", MARGIN + HEAD)?;
        let starts = self.app.http.len();
        for route in &layout.routes[..starts] {
            writeln!(out, "<path class=\"start\" d=\"{}\" marker-end=\"url(#start)\"/>", path(route))?;
        }
        for (line, route) in self.lines.iter().zip(&layout.routes[starts..]) {
            let (class, marker) = if line.traps { ("trap", "trap") } else { ("edge", "calm") };
            let d = path(route);
            writeln!(
                out,
                "<path class=\"{class}\" d=\"{d}\" marker-end=\"url(#{marker})\"><title>{}</title></path>",
                escaped(&line.detail)
            )?;
        }
        for (line, route) in self.lines.iter().zip(&layout.routes[starts..]) {
            write_label(out, line, route)?;
        }
        for (trigger, at) in self.app.http.iter().zip(&layout.boxes) {
            let (x, y) = (at.x + at.width - text_width(&cut(&trigger.route, LABEL_MAX), 13.0) - 2.0 * PAD, at.y);
            let width = at.x + at.width - x;
            writeln!(
                out,
                "<rect class=\"route\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\" rx=\"17\"/>",
                at.height
            )?;
            let handler = match trigger.handler() {
                Some(HttpHandler::P2) => "wasi:http 0.2",
                Some(HttpHandler::P3) => "wasi:http 0.3",
                None => "functions as JSON",
            };
            let route = escaped(&cut(&trigger.route, LABEL_MAX));
            let middle = x + width / 2.0;
            writeln!(
                out,
                "<text class=\"text\" text-anchor=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">{route}<title>{handler}</title></text>",
                y + 21.5
            )?;
        }
        for (component, at) in self.boxes.iter().zip(&layout.boxes[starts..]) {
            write_box(out, self.app, component, *at)?;
        }
        writeln!(out, "</g>")?;
        if !self.lines.is_empty() {
            legend(out, height - MARGIN)?;
        }
        writeln!(out, "</svg>")
    }

    fn title(&self, out: &mut String) -> std::fmt::Result {
        let counts = format!(
            "{} · {} · {}",
            self.app.version,
            counted(self.app.components.len(), "component"),
            counted(self.app.edges.len(), "edge")
        );
        writeln!(
            out,
            "<text class=\"title\" x=\"{MARGIN}\" y=\"{:.1}\">{}</text>",
            MARGIN + 20.0,
            escaped(&self.app.name)
        )?;
        writeln!(out, "<text class=\"small\" x=\"{MARGIN}\" y=\"{:.1}\">{}</text>", MARGIN + 40.0, escaped(&counts))
    }
}

fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn legend(out: &mut String, y: f64) -> std::fmt::Result {
    let x = MARGIN;
    writeln!(out, "<path class=\"edge\" d=\"M{x:.1} {y:.1} h34\" marker-end=\"url(#calm)\"/>")?;
    writeln!(
        out,
        "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">a failure arrives as an error</text>",
        x + 46.0,
        y + 4.0
    )?;
    let x = x + 250.0;
    writeln!(out, "<path class=\"trap\" d=\"M{x:.1} {y:.1} h34\" marker-end=\"url(#trap)\"/>")?;
    writeln!(
        out,
        "<text class=\"small\" x=\"{:.1}\" y=\"{:.1}\">a failure of some function takes the caller down too</text>",
        x + 46.0,
        y + 4.0
    )
}

fn head(name: &str) -> String {
    format!(
        "<marker id=\"{name}\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"{name}-head\" d=\"M0 1 L10 5 L0 9 Z\"/></marker>"
    )
}

/// A line: straight through each stretch, and a bend from one to the next.
fn path(route: &Route) -> String {
    let mut d = String::new();
    let mut end: Option<(f64, f64)> = None;
    for (from, to, y) in &route.stretches {
        let step = match end {
            None => format!("M{from:.1} {y:.1}"),
            Some((x, before)) => {
                let middle = f64::midpoint(x, *from);
                format!(" C{middle:.1} {before:.1} {middle:.1} {y:.1} {from:.1} {y:.1}")
            }
        };
        d.push_str(&step);
        if to > from {
            d.push_str(&format!(" H{to:.1}"));
        }
        end = Some((*to, *y));
    }
    d
}

/// A line's label stands on its last stretch, which no other line shares.
fn write_label(out: &mut String, line: &Line, route: &Route) -> std::fmt::Result {
    let Some((_, to, y)) = route.stretches.last() else { return Ok(()) };
    let text = escaped(&cut(&label(line), LABEL_MAX));
    let (x, y) = (to - 12.0, y + 4.0);
    writeln!(
        out,
        "<text class=\"label\" text-anchor=\"end\" x=\"{x:.1}\" y=\"{y:.1}\">{text}<title>{}</title></text>",
        escaped(&line.detail)
    )
}

/// What is written into a box, with its place in it.
fn box_size(app: &App, component: &Component) -> Size {
    let width =
        [text_width(&component.name, 15.0) + 24.0, text_width(&spending(component), 11.5), BOX_WIDTH - 2.0 * PAD]
            .into_iter()
            .fold(0.0, f64::max)
            + 2.0 * PAD;
    let rows = badge_rows(component, width - 2.0 * PAD).len();
    let rows = f64::from(u32::try_from(rows).unwrap_or(u32::MAX));
    let fused = f64::from(u32::try_from(component.fused.len()).unwrap_or(u32::MAX));
    let inner = component.fused.iter().map(|fused| text_width(&app.component(*fused).name, 13.0) + 4.0 * PAD + 40.0);
    Size { width: inner.fold(width, f64::max), height: 76.0 + rows * 24.0 + fused * 34.0 }
}

/// Badges in rows of this width; what does not fit into the last row is counted.
fn badge_rows(component: &Component, width: f64) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut used = f64::INFINITY;
    let all = badges(component);
    let count_width = badge_width("+99") + 6.0;
    for (index, badge) in all.iter().enumerate() {
        let badge = cut(badge, BADGE_MAX);
        let wide = badge_width(&badge) + 6.0;
        // The last row keeps room for the count, unless this one is the last of all.
        let last_row = rows.len() == BADGE_ROWS && index + 1 < all.len();
        if used + wide + if last_row { count_width } else { 0.0 } > width {
            if rows.len() == BADGE_ROWS {
                let rest = format!("+{}", all.len() - index);
                if let Some(last) = rows.last_mut() {
                    last.push(rest);
                }
                return rows;
            }
            rows.push(Vec::new());
            used = 0.0;
        }
        used += wide;
        if let Some(row) = rows.last_mut() {
            row.push(badge);
        }
    }
    rows
}

fn badge_width(badge: &str) -> f64 {
    text_width(badge, 11.0) + 14.0
}

fn write_box(out: &mut String, app: &App, component: &Component, at: Place) -> std::fmt::Result {
    let Place { x, y, width, height } = at;
    writeln!(out, "<g>")?;
    writeln!(
        out,
        "<rect class=\"box\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"10\"/>"
    )?;
    let (left, mut line) = (x + PAD, y + 26.0);
    writeln!(out, "<text class=\"name\" x=\"{left:.1}\" y=\"{line:.1}\">{}</text>", escaped(&component.name))?;
    line += 19.0;
    let lifetime = match component.lifetime {
        Lifetime::Call | Lifetime::Request => component.lifetime.to_string(),
        Lifetime::Resident => "<tspan class=\"stays\">resident</tspan>".to_owned(),
    };
    let how = match (component.wall, component.asynchronous) {
        (Wall::Fused, _) => "fused, into nothing".to_owned(),
        (Wall::Cell, false) => format!("{} · {lifetime}", component.wall),
        (Wall::Cell, true) => format!("{} · {lifetime} · async", component.wall),
    };
    writeln!(out, "<text class=\"small\" x=\"{left:.1}\" y=\"{line:.1}\">{how}</text>")?;
    line += 17.0;
    writeln!(out, "<text class=\"small\" x=\"{left:.1}\" y=\"{line:.1}\">{}</text>", escaped(&spending(component)))?;
    line += 10.0;
    for row in badge_rows(component, width - 2.0 * PAD) {
        let mut at = left;
        for badge in row {
            let wide = badge_width(&badge);
            writeln!(
                out,
                "<rect class=\"pill\" x=\"{at:.1}\" y=\"{line:.1}\" width=\"{wide:.1}\" height=\"19\" rx=\"9.5\"/>"
            )?;
            writeln!(
                out,
                "<text class=\"tiny\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                at + 7.0,
                line + 13.5,
                escaped(&badge)
            )?;
            at += wide + 6.0;
        }
        line += 24.0;
    }
    line += 2.0;
    for fused in &component.fused {
        let fused = app.component(*fused);
        writeln!(
            out,
            "<rect class=\"inner\" x=\"{left:.1}\" y=\"{line:.1}\" width=\"{:.1}\" height=\"28\" rx=\"6\"/>",
            width - 2.0 * PAD
        )?;
        writeln!(
            out,
            "<text class=\"text\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left + 10.0,
            line + 18.5,
            escaped(&fused.name)
        )?;
        let right = x + width - PAD - 10.0;
        writeln!(
            out,
            "<text class=\"small\" text-anchor=\"end\" x=\"{right:.1}\" y=\"{:.1}\">fused</text>",
            line + 18.5
        )?;
        line += 34.0;
    }
    writeln!(out, "</g>")
}

/// How wide a text will be at most: fonts differ, and boxes must hold it in all of them.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    text.chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | '.' | ',' | ':' | '/' | ' ' | '|' | '\'' | '[' | ']' | '·' => 0.38,
            'm' | 'w' | 'M' | 'W' | '@' | '…' => 0.95,
            c if c.is_ascii_uppercase() => 0.72,
            c if c.is_ascii() => 0.61,
            _ => 0.9,
        })
        .sum::<f64>()
        * size
}

/// Text for XML: escaped, and without the characters that XML cannot hold.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
