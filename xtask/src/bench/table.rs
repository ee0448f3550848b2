//! What was measured, as a table for people or one JSON object a line for machines.

use std::fmt;

/// One measured case.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Row {
    bench: &'static str,
    case: String,
    value: f64,
    unit: &'static str,
    /// What it is compared with.
    against: Option<String>,
    /// The value by that of what it is compared with.
    ratio: Option<f64>,
    #[serde(skip)]
    target: Option<Target>,
}

/// What a row should show.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// The value, at most.
    AtMost(f64),
    /// The ratio, at most.
    RatioAtMost(f64),
    /// The ratio, at least.
    RatioAtLeast(f64),
}

impl Row {
    pub(crate) fn new(bench: &'static str, case: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { bench, case: case.into(), value, unit, against: None, ratio: None, target: None }
    }

    /// Compares with a peer's value; without one, says that the peer is missing.
    pub(crate) fn against(self, peer: impl Into<String>, value: Option<f64>) -> Self {
        let peer = peer.into();
        let ratio = value.filter(|value| *value > 0.0).map(|value| self.value / value);
        Self { against: Some(if ratio.is_some() { peer } else { format!("{peer} (missing)") }), ratio, ..self }
    }

    /// Names a peer that has no value to compare with.
    pub(crate) fn beside(self, peer: impl Into<String>) -> Self {
        Self { against: Some(peer.into()), ..self }
    }

    pub(crate) fn target(self, target: Target) -> Self {
        Self { target: Some(target), ..self }
    }

    /// Whether the target is met; `None` without one, or without what it speaks of.
    fn met(&self) -> Option<bool> {
        Some(match self.target? {
            Target::AtMost(most) => self.value <= most,
            Target::RatioAtMost(most) => self.ratio? <= most,
            Target::RatioAtLeast(least) => self.ratio? >= least,
        })
    }

    fn cells(&self) -> [String; 8] {
        [
            self.bench.to_owned(),
            self.case.clone(),
            number(self.value),
            self.unit.to_owned(),
            self.against.clone().unwrap_or_default(),
            self.ratio.map(number).unwrap_or_default(),
            self.target.map(|target| target.to_string()).unwrap_or_default(),
            match (self.target, self.met()) {
                (None, _) => "",
                (Some(_), None) => "?",
                (Some(_), Some(true)) => "yes",
                (Some(_), Some(false)) => "NO",
            }
            .to_owned(),
        ]
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {}", number(*most)),
            Self::RatioAtMost(most) => write!(f, "ratio <= {}", number(*most)),
            Self::RatioAtLeast(least) => write!(f, "ratio >= {}", number(*least)),
        }
    }
}

/// Three digits that count, and no more after the point than that takes.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}

/// Takes rows. JSON goes out at once, a table at the end.
#[derive(Debug)]
pub(crate) struct Table {
    json: bool,
    rows: Vec<Row>,
}

impl Table {
    pub(crate) fn new(json: bool) -> Self {
        Self { json, rows: Vec::new() }
    }

    #[expect(clippy::print_stdout, reason = "the measurements are the output of this chore")]
    pub(crate) fn add(&mut self, row: Row) {
        if self.json {
            // A row is text and numbers: there is nothing in it that JSON cannot say.
            println!("{}", serde_json::to_string(&row).unwrap_or_default());
        } else {
            self.rows.push(row);
        }
    }

    #[expect(clippy::print_stdout, reason = "the measurements are the output of this chore")]
    pub(crate) fn finish(&self) {
        if self.json {
            return;
        }
        for line in lines(&self.rows) {
            println!("{line}");
        }
    }
}

const HEAD: [&str; 8] = ["bench", "case", "value", "unit", "against", "ratio", "target", "met"];

/// Numbers stand to the right.
const RIGHT: [bool; 8] = [false, false, true, false, false, true, false, false];

fn lines(rows: &[Row]) -> Vec<String> {
    let cells: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(width);
    let line = |row: &[String; 8]| {
        let padded =
            row.iter().zip(widths).zip(RIGHT).map(|((cell, width), right)| {
                if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    cells.iter().map(line).collect()
}

/// The middle one; of an even number, the mean of the two. 0 where there is none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.get(upper) {
        None => 0.0,
        Some(value) if values.len() % 2 == 1 => *value,
        Some(value) => f64::midpoint(values[upper - 1], *value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_machines_has_these_fields_and_no_others() {
        let row = Row::new("membrane", "echo 64KiB", 1790.0, "ns").against("fused", Some(1790.0 / 0.022));
        let line = serde_json::to_value(row.target(Target::RatioAtMost(0.05))).expect("a row is JSON");
        let ratio = line["ratio"].as_f64().expect("a number");
        assert!((ratio - 0.022).abs() < 1e-9);
        let text = line.to_string();
        for field in ["bench", "case", "value", "unit", "against", "ratio"] {
            assert!(text.contains(&format!("\"{field}\":")), "{field} in {text}");
        }
        assert_eq!(line.as_object().map(serde_json::Map::len), Some(6));
    }

    #[test]
    fn a_peer_that_is_missing_is_named_and_its_target_left_open() {
        let row = Row::new("http", "hello", 5.0, "req/s").against("wasmtime serve", None);
        let row = row.target(Target::RatioAtLeast(1.6));
        assert_eq!(row.against.as_deref(), Some("wasmtime serve (missing)"));
        assert_eq!(row.met(), None);
        assert_eq!(row.cells()[7], "?");
    }

    #[test]
    fn targets_are_met_up_to_their_limit() {
        let row = |target| Row::new("b", "c", 20.0, "us").against("p", Some(10.0)).target(target);
        let cases = [
            (Target::AtMost(20.0), true),
            (Target::AtMost(19.9), false),
            (Target::RatioAtMost(2.0), true),
            (Target::RatioAtMost(1.9), false),
            (Target::RatioAtLeast(2.0), true),
            (Target::RatioAtLeast(2.1), false),
        ];
        for (target, met) in cases {
            assert_eq!(row(target).met(), Some(met), "{target}");
        }
    }

    #[test]
    fn the_columns_of_a_table_line_up() {
        let rows = [
            Row::new("http", "hello", 31520.4, "req/s").against("wasmtime serve", Some(9000.0)),
            Row::new("cells", "RSS", 80.25, "MiB").target(Target::AtMost(200.0)),
        ];
        let expected = [
            "bench  case   value  unit   against         ratio  target  met",
            "http   hello  31520  req/s  wasmtime serve   3.50",
            "cells  RSS     80.2  MiB                           <= 200  yes",
        ];
        assert_eq!(lines(&rows), expected);
    }

    #[test]
    fn the_median_is_the_middle() {
        for (values, middle) in [(vec![], 0.0), (vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 2.0, 3.0], 2.5)] {
            assert!((median(values) - middle).abs() < 1e-9);
        }
    }
}
