//! Whether others are served while guests spin: 64 requests at a time whose dependency spins until its deadline, and clients beside them
//! that ask for something else as fast as they are answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{
    task::JoinSet,
    time::{timeout, timeout_at},
};

use super::{
    Place,
    app::Pair,
    load::Client,
    note,
    server::Server,
    table::{Row, Table, Target},
};

const BENCH: &str = "spinners";

/// Requests that spin, at any time.
const SPINNERS: u32 = 64;

/// Each spins until the deadline of its dependency.
const PAIR: Pair = Pair { web: "http-behave", dependency: Some("spin"), budget: BUDGET };
const BUDGET: &str = "concurrency = 256, cpu = \"1m\", deadline = \"3s\"";

/// The peer's way to bound a guest.
const PEER_DEADLINE: &[&str] = &["-W", "timeout=3s"];

/// Clients beside the spinners, each on a connection of its own, so that every worker has some.
const OTHERS: u32 = 8;

/// Before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long the others are watched without spinners.
const IDLE: Duration = Duration::from_secs(3);

/// How long they are watched beside spinners: beyond the deadline of the first of those.
const WATCHED: Duration = Duration::from_secs(6);

/// What a request may take while others spin; without an answer for so long, the server is called silenced.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the last spinners are waited for.
const LAST: Duration = Duration::from_secs(20);

pub(super) fn run(place: &Place, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ours = {
        let server = Server::watertight(&PAIR.cells(place)?, &["--quiet"], place)?;
        note("spinners: watertight");
        runtime.block_on(watch(server.address)).context("spinners, watertight")?
    };
    let mut peers = Vec::new();
    if let Some(wasmtime) = &place.wasmtime {
        let fused = PAIR.fused(place)?;
        for (name, more) in [("wasmtime serve", &[][..]), ("wasmtime serve, timeout", PEER_DEADLINE)] {
            let server = wasmtime.serve(&fused, more, place)?;
            note(&format!("spinners: {name}"));
            peers.push((name, Some(runtime.block_on(watch(server.address)).context("spinners, wasmtime")?)));
        }
    } else {
        peers.push(("wasmtime serve", None));
    }
    rows(&ours, &peers, table);
    Ok(())
}

/// What one server did.
struct Watch {
    idle: Others,
    beside: Others,
    /// Spinners that got an answer, and those that got none.
    ended: u32,
    open: u32,
}

/// What the others saw.
#[derive(Default)]
struct Others {
    /// Milliseconds that each of their requests took.
    latencies: Vec<f64>,
    /// Answers a second.
    rate: f64,
    /// Requests given up or broken off.
    lost: usize,
}

impl Others {
    /// The time within which so many of a hundred requests were answered; no time is enough for those that were lost.
    fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_by(f64::total_cmp);
        let all = sorted.len() + self.lost;
        sorted.get((all * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::INFINITY)
    }

    fn silenced(&self) -> bool {
        self.lost > 0
    }
}

fn rows(ours: &Watch, peers: &[(&str, Option<Watch>)], table: &mut Table) {
    table.add(Row::new(BENCH, "others' rate without spinners", ours.idle.rate, "req/s"));
    table.add(
        Row::new(BENCH, "others' rate beside 64 spinners", ours.beside.rate, "req/s")
            .against("without spinners", Some(ours.idle.rate))
            .target(Target::RatioAtLeast(0.5)),
    );
    for (name, peer) in peers.iter().filter_map(|(name, peer)| Some((name, peer.as_ref()?))) {
        let row = Row::new(BENCH, format!("the same, by {name}"), peer.beside.rate, "req/s");
        table.add(row.against("without spinners", Some(peer.idle.rate)));
    }
    for (percent, case, most) in
        [(99, "others' p99", Some(50.0)), (50, "others' median", None), (100, "others' slowest", None)]
    {
        let value = ours.beside.percentile(percent);
        for (name, peer) in peers {
            let row = Row::new(BENCH, case, value, "ms");
            let row = match peer {
                Some(peer) if peer.beside.silenced() => {
                    row.beside(format!("{name}: silenced for {} s or more", PATIENCE.as_secs()))
                }
                peer => row.against(*name, peer.as_ref().map(|peer| peer.beside.percentile(percent))),
            };
            table.add(match most {
                Some(most) => row.target(Target::AtMost(most)),
                None => row,
            });
        }
    }
    let none = |case, count: f64| Row::new(BENCH, case, count, "requests").target(Target::AtMost(0.0));
    table.add(none("other requests lost", (ours.idle.lost + ours.beside.lost) as f64));
    table.add(none("spinners without an answer", f64::from(ours.open)));
    table.add(Row::new(BENCH, "spinners stopped", f64::from(ours.ended), "requests"));
}

/// Asks without spinners, then beside them.
async fn watch(address: SocketAddr) -> Result<Watch> {
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        others.push(Client::connect(address, "/idle").await?);
    }
    let (mut others, _) = ask_for(others, WARM_UP).await?;
    let (connected, idle) = ask_for(std::mem::take(&mut others), IDLE).await?;
    anyhow::ensure!(idle.lost == 0, "no answer before anything spins");

    let mut spinners = JoinSet::new();
    let until = Instant::now() + WATCHED;
    for _ in 0..SPINNERS {
        let spinner = Client::connect(address, "/run/0").await?;
        spinners.spawn(spin_until(spinner, until));
    }
    let (_, beside) = ask_for(connected, WATCHED).await?;
    let (mut ended, mut open) = (0, 0);
    // Those of a server that is silenced for good are not waited for.
    while !beside.silenced()
        && let Some(spun) = spinners.join_next().await
    {
        let (answered, left) = spun.context("a spinner's task broke")?;
        ended += answered;
        open += u32::from(left);
    }
    Ok(Watch { idle, beside, ended, open })
}

/// Has every client ask for so long, one request after the other. Gives back those that were answered to the end.
async fn ask_for(clients: Vec<Client>, time: Duration) -> Result<(Vec<Client>, Others)> {
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for client in clients {
        asking.spawn(ask_until(client, began + time));
    }
    let (mut answered, mut others) = (Vec::new(), Others::default());
    while let Some(asked) = asking.join_next().await {
        let (client, latencies) = asked.context("a client's task broke")?;
        others.latencies.extend(latencies);
        others.lost += usize::from(client.is_none());
        answered.extend(client);
    }
    others.rate = others.latencies.len() as f64 / began.elapsed().as_secs_f64();
    Ok((answered, others))
}

/// Asks until then. Returns what each answer took, in milliseconds, and the client unless one did not come.
async fn ask_until(mut client: Client, until: Instant) -> (Option<Client>, Vec<f64>) {
    let mut took = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        if !matches!(timeout(PATIENCE, client.ask()).await, Ok(Ok(200))) {
            return (None, took);
        }
        took.push(asked.elapsed().as_secs_f64() * 1e3);
    }
    (Some(client), took)
}

/// Spins again and again until then. Returns how often it was answered, and whether an answer is missing in the end.
async fn spin_until(mut spinner: Client, until: Instant) -> (u32, bool) {
    let mut answered = 0;
    let last = tokio::time::Instant::from_std(until + LAST);
    while Instant::now() < until {
        match timeout_at(last, spinner.ask()).await {
            Ok(Ok(_)) => answered += 1,
            Ok(Err(_)) | Err(_) => return (answered, true),
        }
    }
    (answered, false)
}
