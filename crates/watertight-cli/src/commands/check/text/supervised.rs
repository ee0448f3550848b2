//! Who keeps the residents, as a tree, and how often they are restarted before all have given up.

use std::fmt::Write as _;

use watertight_model::{
    report::{Report, SupervisedReport, SupervisionReport},
    supervision::{Residence, Restart},
};

use super::time;

pub(super) fn lay_out(out: &mut String, supervision: &SupervisionReport, report: &Report) {
    out.push_str("\nSupervision, in the order of the start\n");
    let width = supervision.tree.iter().map(|of| of.depth * 2 + of.name.len()).max().unwrap_or(0);
    for of in &supervision.tree {
        let name = format!("{:indent$}{}", "", of.name, indent = of.depth * 2);
        let residence = report.components.iter().find(|component| component.name == of.name);
        let residence = residence.and_then(|component| component.residence.as_ref());
        let what = match of.strategy {
            Some(strategy) => format!("{strategy}, {}", intensity(of)),
            None => residence.map_or_else(String::new, |residence| kept(of, residence)),
        };
        let _ = writeln!(out, "  {name:width$}  {what}");
    }
    for limits in &supervision.limits {
        let _ = writeln!(out, "  a cell of {} that keeps failing: {limits}", limits.component);
    }
}

fn kept(of: &SupervisedReport, residence: &Residence) -> String {
    let mut parts = vec![format!("{} {}", residence.instances, residence.restart)];
    if residence.restart != Restart::Temporary {
        let backoff = residence.backoff;
        parts.push(intensity(of));
        parts.push(format!("after {} to {}", time(backoff.first), time(backoff.most.max(backoff.first))));
    }
    let recycle = residence.recycle;
    parts.extend(recycle.calls.map(|calls| format!("recycled after {calls} calls")));
    parts.extend(recycle.age.map(|age| format!("recycled after {}", time(age))));
    parts.extend(recycle.memory.map(|memory| format!("recycled at {memory}")));
    parts.join(", ")
}

fn intensity(of: &SupervisedReport) -> String {
    let max = of.intensity.max;
    format!("{max} restart{} within {}", if max == 1 { "" } else { "s" }, time(of.intensity.within))
}
