//! What it costs to be seen: an event for nobody, metrics, traces and a tap on another edge for each crossing; traces for each request.
//!
//! Requests are measured as in `http`: rounds that go to one server, then to the other.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Place,
    app::Pair,
    cargo_bench,
    load::Load,
    membrane::estimates,
    note, run_to_end,
    server::Server,
    table::{Row, Table, Target, median},
};

const BENCH: &str = "observe";

/// Nanoseconds that an event may take that nobody wants.
const EVENT: f64 = 30.0;

/// Times as much as what is seen by nobody.
const SEEN: f64 = 1.05;

/// Rounds for each server, and one round.
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);

const CONNECTIONS: u32 = 32;

/// A collector that is not there: port 9 takes nothing. Spans are made, kept and dropped.
const TRACED: &[&str] = &["--quiet", "--otlp", "http://127.0.0.1:9", "--trace-ratio", "0.01"];

pub(super) fn run(place: &Place, table: &mut Table) -> Result<()> {
    note("observe: criterion measures, half a minute");
    let mut bench = cargo_bench(place, "observe");
    let home = place.target.join("criterion");
    bench.args(["--", "--noplot"]).stdout(Stdio::null()).env("CRITERION_HOME", &home);
    run_to_end(&mut bench)?;
    let estimates = estimates(&home)?;
    let measured = |id: &str| estimates.get(id).copied().with_context(|| format!("criterion has no estimate of {id}"));
    table.add(Row::new(BENCH, "event for nobody", measured("event/no sinks")?, "ns").target(Target::AtMost(EVENT)));
    let nobody = measured("observe 64B/nobody")?;
    let metrics = measured("observe 64B/metrics")?;
    let crossing = |case: &str, value, against: &str, beside| {
        Row::new(BENCH, format!("64B crossing, {case}"), value, "ns")
            .against(against, Some(beside))
            .target(Target::RatioAtMost(SEEN))
    };
    table.add(crossing("metrics", metrics, "nobody", nobody));
    table.add(crossing("traces 1%", measured("observe 64B/traces 1%")?, "metrics", metrics));
    table.add(crossing("tap elsewhere", measured("observe 64B/tap elsewhere")?, "metrics", metrics));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(requests(place, table))
}

async fn requests(place: &Place, table: &mut Table) -> Result<()> {
    let pair = Pair { web: "http-hello", dependency: None, budget: "concurrency = 128, deadline = \"10s\"" };
    let app = pair.cells(place)?;
    let servers = [Server::watertight(&app, &["--quiet"], place)?, Server::watertight(&app, TRACED, place)?];
    let load = Load { path: "/", connections: CONNECTIONS, duration: ROUND };
    let mut costs = [Vec::new(), Vec::new()];
    for server in &servers {
        Load { duration: Duration::from_millis(500), ..load.clone() }.run(server.address).await?;
    }
    for _ in 0..ROUNDS {
        for (server, costs) in servers.iter().zip(&mut costs) {
            let before = server.cpu();
            let rate = load.run(server.address).await?;
            costs.push(server.cpu().saturating_sub(before).as_secs_f64() * 1e6 / (rate * ROUND.as_secs_f64()));
        }
    }
    let [plain, traced] = costs.map(median);
    let row = Row::new(BENCH, "hello, traces 1%, cpu", traced, "us/req").against("untraced", Some(plain));
    table.add(row.target(Target::RatioAtMost(SEEN)));
    Ok(())
}
