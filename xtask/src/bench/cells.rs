//! What 10,000 live idle cells take: the bench of the runtime measures, this adds the targets.

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    Place, cargo_bench, note,
    table::{Row, Table, Target},
};

const BENCH: &str = "cells";

pub(super) fn run(place: &Place, table: &mut Table) -> Result<()> {
    note("cells: 10,000 of them");
    let mut command = cargo_bench(place, "cells");
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?} failed: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut fields = line.split('\t');
        let (Some(case), Some(value), Some(unit)) = (fields.next(), fields.next(), fields.next()) else {
            bail!("the bench printed a line that is not three fields: {line}");
        };
        let value = value.parse().with_context(|| format!("no number: {line}"))?;
        let (unit, target) = match (case, unit) {
            ("10,000 live idle cells", _) => ("MiB", Some(200.0)),
            ("fresh cell: enter, call, drop", _) => ("us", Some(20.0)),
            (_, "MiB") => ("MiB", None),
            (_, "us") => ("us", None),
            (_, "KiB") => ("KiB", None),
            (_, _) => ("", None),
        };
        let row = Row::new(BENCH, case, value, unit);
        table.add(match target {
            Some(most) => row.target(Target::AtMost(most)),
            None => row,
        });
    }
    Ok(())
}
