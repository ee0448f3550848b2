//! The app as Graphviz text.

use std::fmt::Write;

use super::{badges, label, lines, spending};
use crate::app::{App, Component, Wall};

/// The app as Graphviz `dot`.
#[must_use]
pub fn dot(app: &App) -> String {
    let mut text = String::new();
    // Writing into a string cannot fail.
    let _ok = write_dot(app, &mut text);
    text
}

fn write_dot(app: &App, text: &mut String) -> std::fmt::Result {
    writeln!(text, "digraph {} {{", quoted(&app.name))?;
    writeln!(
        text,
        "  rankdir=LR; node [shape=box, style=rounded, fontname=\"sans-serif\"]; edge [fontname=\"sans-serif\", fontsize=10];"
    )?;
    for (index, trigger) in app.http.iter().enumerate() {
        writeln!(text, "  \"route {index}\" [label={}, shape=plain];", quoted(&trigger.route))?;
        writeln!(text, "  \"route {index}\" -> {};", quoted(&app.component(trigger.component).name))?;
    }
    for component in &app.components {
        let in_a_cell = app.components.iter().any(|cell| cell.fused.contains(&component.id));
        if component.wall == Wall::Fused && in_a_cell {
            continue;
        }
        if component.fused.is_empty() {
            node(text, "  ", &component.name, component)?;
            continue;
        }
        writeln!(text, "  subgraph {} {{", quoted(&format!("cluster {}", component.name)))?;
        writeln!(text, "    style=\"rounded,dashed\"; label=\"one store\";")?;
        node(text, "    ", &component.name, component)?;
        for fused in &component.fused {
            let fused = app.component(*fused);
            node(text, "    ", &format!("{} in {}", fused.name, component.name), fused)?;
        }
        for edge in &component.fused_edges {
            let node_name = |id| {
                let name = &app.component(id).name;
                if id == component.id { name.clone() } else { format!("{name} in {}", component.name) }
            };
            let (from, to) = (node_name(edge.importer), node_name(edge.exporter));
            writeln!(text, "    {} -> {} [label={}, style=dotted];", quoted(&from), quoted(&to), quoted(&edge.import))?;
        }
        writeln!(text, "  }}")?;
    }
    for line in lines(app) {
        let (from, to) = (&app.component(line.importer).name, &app.component(line.exporter).name);
        let style = if line.traps { "dashed" } else { "solid" };
        writeln!(text, "  {} -> {} [label={}, style={style}];", quoted(from), quoted(to), quoted(&label(&line)))?;
    }
    writeln!(text, "}}")
}

fn node(text: &mut String, indent: &str, name: &str, component: &Component) -> std::fmt::Result {
    let mut parts = vec![component.name.clone()];
    match component.wall {
        Wall::Fused => parts.push("fused".to_owned()),
        Wall::Cell => {
            parts.push(format!("{} · {}", component.wall, component.lifetime));
            parts.push(spending(component));
        }
    }
    let badges = badges(component);
    if !badges.is_empty() {
        parts.push(badges.join(", "));
    }
    writeln!(text, "{indent}{} [label={}];", quoted(name), quoted(&parts.join("\n")))
}

/// A string of dot; in a label a line end is written `\n`.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
