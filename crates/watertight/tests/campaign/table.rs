//! What a campaign counted, as a table: a line for each fault and policy.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use watertight::held::Held;

use crate::{batch::Ended, fault::FAULTS, policy::Policy, witness::PULSE};

/// All batches of one fault and policy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Row {
    calls: usize,
    errors: usize,
    values: usize,
    failures: usize,
    cut: usize,
    ejected: usize,
    late: Duration,
    leaked: usize,
    breaches: usize,
}

impl Row {
    pub(crate) fn add(&mut self, ended: &Ended) {
        self.calls += ended.calls;
        self.errors += ended.errors;
        self.values += ended.values;
        self.failures += ended.failures;
        self.cut += ended.cut;
        self.ejected += ended.ejected;
        self.late = self.late.max(ended.late);
        self.leaked += ended.leaked;
        self.breaches += ended.breaches.len();
    }
}

/// The rows, and what the process held.
pub(crate) fn lay_out(rows: &BTreeMap<(usize, Policy), Row>, before: Held, after: Held) -> String {
    // A `String` takes all it is given.
    let mut text = String::new();
    let _ = writeln!(
        text,
        "\n{:<26} {:<9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9} {:>9} {:>6} {:>8}",
        "FAULT", "POLICY", "CALLS", "ERRORS", "VALUES", "FAILURES", "CUT", "EJECTED", "LATE", "LEAKED", "BREACHES"
    );
    for ((fault, policy), row) in rows {
        let late = format!("{:.1} ms", row.late.as_secs_f64() * 1e3);
        let _ = writeln!(
            text,
            "{:<26} {:<9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>9} {:>9} {:>6} {:>8}",
            FAULTS[*fault].name,
            policy.name(),
            row.calls,
            row.errors,
            row.values,
            row.failures,
            row.cut,
            row.ejected,
            late,
            row.leaked,
            row.breaches
        );
    }
    let sum = |of: fn(&Row) -> usize| rows.values().map(of).sum::<usize>();
    let _ = writeln!(
        text,
        "\n{} calls: {} errors, {} values, {} failures, {} cut off; {} cells thrown out, {} leaked; latest {:.1?} after its deadline",
        sum(|row| row.calls),
        sum(|row| row.errors),
        sum(|row| row.values),
        sum(|row| row.failures),
        sum(|row| row.cut),
        sum(|row| row.ejected),
        sum(|row| row.leaked),
        rows.values().map(|row| row.late).max().unwrap_or_default(),
    );
    let stood_still = PULSE.longest();
    if !stood_still.is_zero() {
        let _ = writeln!(text, "the machine stood still for {stood_still:.1?} at a time");
    }
    for (what, before, after) in [
        ("files", before.files, after.files),
        ("threads", before.threads, after.threads),
        ("mappings", before.mappings, after.mappings),
        ("KiB in RAM", before.rss_kib, after.rss_kib),
    ] {
        let _ = writeln!(text, "{what}: {before} before, {after} after");
    }
    text
}
