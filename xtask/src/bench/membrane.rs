//! Crossings: runs the runtime's criterion bench and reads its estimates; the ratios are made here.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    Place, cargo_bench, note, run_to_end,
    table::{Row, Table, Target},
};

const BENCH: &str = "membrane";

/// How criterion names a group, how it is shown, and what it should reach: beside the same call fused, and by `Val`.
const CASES: [(&str, &str, Option<f64>, Option<f64>); 6] = [
    ("add", "add", None, None),
    ("blob 16", "echo 16B", None, None),
    ("blob 1024", "echo 1KiB", Some(1.0 / 3.0), None),
    ("blob 65536", "echo 64KiB", Some(1.0 / 20.0), None),
    ("blob 1048576", "echo 1MiB", None, None),
    ("people 100", "people 100", None, Some(1.0 / 4.0)),
];

/// Nanoseconds that the smallest crossing may take.
const ADD: f64 = 450.0;

/// Nanoseconds that a fresh cell may take.
const FRESH: f64 = 20_000.0;

pub(super) fn run(place: &Place, table: &mut Table) -> Result<()> {
    note("membrane: criterion measures, about two minutes");
    let mut bench = cargo_bench(place, "membrane");
    bench.args(["--", "--noplot"]).stdout(Stdio::null());
    // Where criterion writes, whatever folder it would choose by itself.
    let home = place.target.join("criterion");
    bench.env("CRITERION_HOME", &home);
    run_to_end(&mut bench)?;
    let estimates = estimates(&home)?;
    let read = |id: String| estimates.get(&id).copied();
    let measured = |id: String| read(id.clone()).with_context(|| format!("criterion has no estimate of {id}"));
    for (group, case, by_fused, by_val) in CASES {
        let cell = measured(format!("{group}/cell"))?;
        let row = Row::new(BENCH, case, cell, "ns").against("fused", read(format!("{group}/fused")));
        table.add(match by_fused {
            Some(most) => row.target(Target::RatioAtMost(most)),
            None if case == "add" => row.target(Target::AtMost(ADD)),
            None => row,
        });
        if let Some(val) = read(format!("{group}/val")) {
            let row = Row::new(BENCH, case, cell, "ns").against("Val", Some(val));
            table.add(match by_val {
                Some(most) => row.target(Target::RatioAtMost(most)),
                None => row,
            });
        }
    }
    let fresh = measured("fresh cell/enter, call, drop".to_owned())?;
    table.add(Row::new(BENCH, "fresh cell", fresh, "ns").target(Target::AtMost(FRESH)));
    Ok(())
}

/// Medians in nanoseconds, by criterion's full id.
pub(super) fn estimates(home: &Path) -> Result<BTreeMap<String, f64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        if let Some((id, median)) = estimate(&folder)? {
            found.insert(id, median);
        }
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    Ok(found)
}

/// The latest estimate in a folder of one bench, if it is one.
fn estimate(folder: &Path) -> Result<Option<(String, f64)>> {
    let read = |file: PathBuf| -> Result<Value> {
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))
    };
    let new = folder.join("new");
    if !new.join("benchmark.json").exists() || !new.join("estimates.json").exists() {
        return Ok(None);
    }
    let id = read(new.join("benchmark.json"))?["full_id"].as_str().map(str::to_owned);
    let median = read(new.join("estimates.json"))?["median"]["point_estimate"].as_f64();
    Ok(id.zip(median))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_read_by_their_full_id() {
        let home = tempfile::tempdir().expect("a folder");
        let new = home.path().join("blob 1024/cell/new");
        fs::create_dir_all(&new).expect("a folder");
        fs::write(new.join("benchmark.json"), r#"{"full_id":"blob 1024/cell"}"#).expect("a file");
        fs::write(new.join("estimates.json"), r#"{"median":{"point_estimate":286.5}}"#).expect("a file");
        let found = estimates(home.path()).expect("they are read");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("blob 1024/cell".to_owned(), 286.5)]);
    }
}
