//! Whether others are served while guests spin: 64 requests whose dependency spins until its deadline, and requests beside them.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use tokio::{task::JoinSet, time::timeout};

use super::{
    Place,
    app::Pair,
    load::Client,
    note,
    server::Server,
    table::{Row, Table, Target, median},
};

const BENCH: &str = "spinners";

/// Requests that spin.
const SPINNERS: u32 = 64;

/// Each spins until the deadline of its dependency.
const PAIR: Pair = Pair { web: "http-behave", dependency: Some("spin"), budget: BUDGET };
const BUDGET: &str = "concurrency = 256, cpu = \"1m\", deadline = \"3s\"";

/// The peer's way to bound a guest.
const PEER_DEADLINE: &[&str] = &["-W", "timeout=3s"];

/// Clients beside the spinners, each on a connection of its own, so that every worker has some.
const OTHERS: u32 = 8;

/// Between the requests of one of them.
const PAUSE: Duration = Duration::from_millis(20);

/// How long is watched: beyond the deadline of the spinners.
const WATCHED: Duration = Duration::from_secs(4);

/// What a request may take while others spin; without an answer for so long, the server is called silenced.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the spinners are waited for in the end.
const LAST: Duration = Duration::from_secs(20);

pub(super) fn run(place: &Place, table: &mut Table) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ours = {
        let server = Server::watertight(&PAIR.cells(place)?, &["--quiet"], place)?;
        note("spinners: watertight");
        runtime.block_on(watch(server.address)).context("spinners, watertight")?
    };
    let Some(wasmtime) = &place.wasmtime else {
        rows(&ours, &[("wasmtime serve", None)], table);
        return Ok(());
    };
    let fused = PAIR.fused(place)?;
    let mut peers = Vec::new();
    for (name, more) in [("wasmtime serve", &[][..]), ("wasmtime serve, timeout", PEER_DEADLINE)] {
        let server = wasmtime.serve(&fused, more, place)?;
        note(&format!("spinners: {name}"));
        peers.push((name, Some(runtime.block_on(watch(server.address)).context("spinners, wasmtime")?)));
    }
    rows(&ours, &peers, table);
    Ok(())
}

/// What the others saw.
struct Watch {
    /// Milliseconds that each of their requests took; one that was given up has taken all of [`PATIENCE`].
    latencies: Vec<f64>,
    /// Requests given up or broken off.
    lost: usize,
    /// Spinners that got an answer.
    ended: u32,
}

impl Watch {
    fn slowest(&self) -> f64 {
        self.latencies.iter().copied().fold(0.0, f64::max)
    }

    fn silenced(&self) -> bool {
        self.lost > 0
    }
}

fn rows(ours: &Watch, peers: &[(&str, Option<Watch>)], table: &mut Table) {
    let most = PATIENCE.as_secs_f64() * 1e3;
    for (name, peer) in peers {
        let row = Row::new(BENCH, "slowest other request", ours.slowest(), "ms");
        let row = match peer {
            Some(peer) if peer.silenced() => row.beside(format!("{name}: silenced for {most} ms or more")),
            peer => row.against(*name, peer.as_ref().map(Watch::slowest)),
        };
        table.add(row.target(Target::AtMost(1e3)));
    }
    table.add(Row::new(BENCH, "median other request", median(ours.latencies.clone()), "ms"));
    table.add(Row::new(BENCH, "other requests lost", ours.lost as f64, "requests").target(Target::AtMost(0.0)));
    let open = f64::from(SPINNERS - ours.ended);
    table.add(Row::new(BENCH, "spinners without an answer", open, "requests").target(Target::AtMost(0.0)));
}

/// Sets the spinners going, and asks beside them until they must have ended.
async fn watch(address: SocketAddr) -> Result<Watch> {
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        let mut other = Client::connect(address, "/idle").await?;
        // Connected and served once before anything spins.
        timeout(PATIENCE, other.ask()).await.context("no answer before anything spins")??;
        others.push(other);
    }
    let mut spinners = JoinSet::new();
    for _ in 0..SPINNERS {
        let mut spinner = Client::connect(address, "/run/0").await?;
        spinners.spawn(async move { matches!(timeout(LAST, spinner.ask()).await, Ok(Ok(_))) });
    }
    let began = Instant::now();
    let mut asking = JoinSet::new();
    others.into_iter().for_each(|other| drop(asking.spawn(ask_until(other, began + WATCHED))));
    let (mut latencies, mut lost) = (Vec::new(), 0);
    while let Some(asked) = asking.join_next().await {
        let (took, broke) = asked.context("a client's task broke")?;
        latencies.extend(took);
        lost += usize::from(broke);
    }
    let mut ended = 0;
    // Those of a server that is silenced for good are not waited for.
    while lost == 0
        && let Some(answered) = spinners.join_next().await
    {
        ended += u32::from(answered.context("a spinner's task broke")?);
    }
    Ok(Watch { latencies, lost, ended })
}

/// Asks with pauses until then. Returns what each answer took, in milliseconds, and whether one did not come.
async fn ask_until(mut client: Client, until: Instant) -> (Vec<f64>, bool) {
    let mut took = Vec::new();
    while Instant::now() < until {
        let asked = Instant::now();
        let answered = timeout(PATIENCE, client.ask()).await;
        took.push(asked.elapsed().as_secs_f64() * 1e3);
        if !matches!(answered, Ok(Ok(200))) {
            return (took, true);
        }
        tokio::time::sleep(PAUSE).await;
    }
    (took, false)
}
