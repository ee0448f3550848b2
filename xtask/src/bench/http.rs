//! HTTP with a fresh cell for each request, beside `wasmtime serve` with the same components in one store.
//!
//! Both servers run from the start; rounds of load go to one, then to the other, so that what else the machine does hits both.

use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{
    Place,
    app::Pair,
    load::Load,
    note,
    server::Server,
    table::{Row, Table, Target, median},
};

const BENCH: &str = "http";

/// Rounds for each server.
const ROUNDS: usize = 7;

/// One round.
const ROUND: Duration = Duration::from_secs(2);

/// Before the first round counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// Enough to keep every core busy, and spread over the workers evenly.
const CONNECTIONS: u32 = 32;

struct Case {
    name: &'static str,
    path: &'static str,
    pair: Pair,
    /// How many times the peer's rate.
    target: Option<f64>,
    /// Arguments of `watertight serve`.
    more: &'static [&'static str],
}

/// The peer writes no line for each request, so neither do we, except where that is what is asked.
const QUIET: &[&str] = &["--quiet"];

const BUDGET: &str = "concurrency = 128, deadline = \"10s\"";

const CASES: [Case; 4] = [
    Case {
        name: "hello",
        path: "/",
        pair: Pair { web: "http-hello", dependency: None, budget: BUDGET },
        target: Some(1.6),
        more: QUIET,
    },
    Case {
        name: "hello, with access lines",
        path: "/",
        pair: Pair { web: "http-hello", dependency: None, budget: BUDGET },
        target: None,
        more: &[],
    },
    Case {
        name: "one edge, small call",
        path: "/run/1",
        pair: Pair { web: "http-behave", dependency: Some("ok"), budget: BUDGET },
        target: Some(1.4),
        more: QUIET,
    },
    Case {
        name: "one edge, 64KiB each way",
        path: "/65536",
        pair: Pair { web: "http-blob", dependency: Some("bench-callee"), budget: BUDGET },
        target: Some(2.0),
        more: QUIET,
    },
];

pub(super) fn run(place: &Place, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for case in &CASES {
        runtime.block_on(measure(place, case, table)).with_context(|| format!("http, {}", case.name))?;
    }
    Ok(())
}

/// What the rounds of one server gave.
#[derive(Debug, Default)]
struct Rounds {
    rates: Vec<f64>,
    /// Microseconds on the processors for each request.
    costs: Vec<f64>,
}

async fn measure(place: &Place, case: &Case, table: &mut Table) -> Result<()> {
    let ours = Server::watertight(&case.pair.cells(place)?, case.more, place)?;
    let peer = match &place.wasmtime {
        Some(wasmtime) => Some((wasmtime, wasmtime.serve(&case.pair.fused(place)?, &[], place)?)),
        None => None,
    };
    let servers = [Some(&ours), peer.as_ref().map(|(_, server)| server)];
    let mut seen = [Rounds::default(), Rounds::default()];
    let load = Load { path: case.path, connections: CONNECTIONS, duration: ROUND };
    for server in servers.into_iter().flatten() {
        Load { duration: WARM_UP, ..load.clone() }.run(server.address).await?;
    }
    for round in 0..ROUNDS {
        for (server, rounds) in servers.iter().zip(&mut seen) {
            let Some(server) = server else { continue };
            let before = server.cpu();
            let rate = load.run(server.address).await?;
            let cost = server.cpu().saturating_sub(before).as_secs_f64() * 1e6 / (rate * ROUND.as_secs_f64());
            rounds.rates.push(rate);
            rounds.costs.push(cost);
        }
        let last = seen.each_ref().map(|rounds| rounds.rates.last().map_or(0.0, |rate| rate.round()));
        note(&format!("http, {}: round {} of {ROUNDS}: {} and {} req/s", case.name, round + 1, last[0], last[1]));
    }
    let name = peer.as_ref().map_or("wasmtime serve", |_| "wasmtime serve, fused");
    let name = if case.pair.dependency.is_none() { "wasmtime serve" } else { name };
    let [ours, theirs] = seen.map(|rounds| (median(rounds.rates), median(rounds.costs)));
    let theirs = peer.is_some().then_some(theirs);
    let row = Row::new(BENCH, case.name, ours.0, "req/s").against(name, theirs.map(|theirs| theirs.0));
    table.add(match case.target {
        Some(target) => row.target(Target::RatioAtLeast(target)),
        None => row,
    });
    let cost = Row::new(BENCH, format!("{}, cpu", case.name), ours.1, "us/req");
    table.add(cost.against(name, theirs.map(|theirs| theirs.1)));
    if let Some((wasmtime, _)) = &peer {
        let (name, rate) = (format!("{}, by {}", case.name, wasmtime.version), theirs.unwrap_or_default().0);
        table.add(Row::new(BENCH, name, rate, "req/s"));
    }
    Ok(())
}
