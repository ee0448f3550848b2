//! The fault campaign: every way to fail, under every policy, at every lifetime, for both versions of WASI. The oracle is what callers get,
//! the event stream, and what the operating system says this process holds.
//!
//! ```text
//! for each version of WASI and lifetime: a node
//!   for each fault and policy, in an order drawn by the seed: a batch of calls, then what is wrong with it
//! ```
//!
//! `cargo xtask campaign` runs it optimised and with as many calls as asked for. `WATERTIGHT_CAMPAIGN_CALLS` and
//! `WATERTIGHT_CAMPAIGN_SEED` are how it says so.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the events and values it asks about")]

mod arena;
mod batch;
mod fault;
mod guests;
mod policy;
mod table;
mod witness;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use watertight::held::Held;

use crate::{
    arena::{Arena, Lifetime},
    batch::Batch,
    fault::{FAULTS, Fault},
    guests::Wasi,
    policy::Policy,
    table::Row,
    witness::Witness,
};

/// Calls of a campaign, unless the environment says otherwise: a few minutes of a debug build on two cores.
const CALLS: usize = 100_000;

/// Calls of each batch of the rehearsal: what is made when it is first needed is there before it is counted.
const REHEARSED: usize = 4;

/// Of how many calls of a quick batch a slow one has one.
const SLOW_SHARE: usize = 4;

/// Breaches that are told one by one.
const MAX_TOLD: usize = 60;

/// What may be left of a campaign: what an allocator keeps.
const RSS_SLACK_KIB: u64 = 24 << 10;
const MAPPINGS_SLACK: u64 = 64;

/// How long it may take until nothing changes any more, and how many looks see it.
const SETTLE: Duration = Duration::from_secs(20);
const LOOKS_AT_REST: usize = 6;

/// How long Tokio keeps threads that have nothing to do.
const KEEP_ALIVE: Duration = Duration::from_millis(200);

/// All that is counted.
#[derive(Default)]
struct Campaign {
    rows: BTreeMap<(usize, Policy), Row>,
    breaches: Vec<String>,
    unfair: usize,
    calls: usize,
}

impl Campaign {
    fn breach(&mut self, what: String) {
        self.unfair += 1;
        if self.breaches.len() < MAX_TOLD {
            tell(&what);
            self.breaches.push(what);
        }
    }

    /// One node's part of the campaign.
    async fn run(&mut self, wasi: Wasi, lifetime: Lifetime, calls: usize, dice: &mut Dice) {
        let base = tempfile::tempdir().expect("the temporary folder is writable");
        let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let witness = Arc::new(Witness::new());
        let arena = Arena::start(wasi, lifetime, &cache, base.path().to_owned(), Arc::clone(&witness) as _);
        let mut order: Vec<(usize, Policy)> =
            (0..FAULTS.len()).flat_map(|fault| Policy::ALL.map(|policy| (fault, policy))).collect();
        order.retain(|(index, policy)| FAULTS[*index].meets(*policy));
        dice.shuffle(&mut order);
        for (index, policy) in order {
            let fault = &FAULTS[index];
            let batch = Batch { arena: &arena, witness: &witness, fault, policy, seed: dice.roll() };
            let ended = batch.run(if fault.is_slow() { calls.div_ceil(SLOW_SHARE) } else { calls }).await;
            self.calls += ended.calls;
            let row = self.rows.entry((index, policy)).or_default();
            row.add(&ended);
            let place = format!("{} under {}, WASI {}, {}", fault.name, policy.name(), wasi.name(), lifetime.name());
            for breach in ended.breaches {
                self.breach(format!("{place}: {breach}"));
            }
        }
        arena.node.shutdown().await;
    }
}

/// What is drawn by the seed: xorshift.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            let other = usize::try_from(self.roll() % (at as u64 + 1)).expect("it is less than a length");
            items.swap(at, other);
        }
    }
}

/// What there is more of than before.
fn grown(before: Held, after: Held) -> Vec<String> {
    let held = [
        ("files", before.files, after.files, 0),
        ("threads", before.threads, after.threads, 0),
        ("mappings", before.mappings, after.mappings, MAPPINGS_SLACK),
        ("KiB in RAM", before.rss_kib, after.rss_kib, RSS_SLACK_KIB),
    ];
    let grown = held.into_iter().filter(|(_, then, now, slack)| *now > then + slack);
    grown.map(|(what, then, now, _)| format!("{then} {what} became {now}")).collect()
}

/// What is held once nothing is being taken down any more.
async fn at_rest() -> Held {
    let until = Instant::now() + SETTLE;
    let (mut last, mut same) = (Held::default(), 0);
    loop {
        let now = Held::now().expect("Linux has /proc");
        let counts = |held: Held| (held.files, held.threads, held.mappings);
        same = if counts(now) == counts(last) { same + 1 } else { 0 };
        last = now;
        if same >= LOOKS_AT_REST || Instant::now() > until {
            return now;
        }
        tokio::time::sleep(KEEP_ALIVE / 2).await;
    }
}

fn environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

/// So many calls for each quick batch that all of them together are at least as many as wanted.
fn calls_of_a_batch(wanted: usize) -> usize {
    let weight = |fault: &Fault| {
        let policies = Policy::ALL.iter().filter(|policy| fault.meets(**policy)).count();
        policies * if fault.is_slow() { 1 } else { SLOW_SHARE }
    };
    let weights = FAULTS.iter().map(weight).sum::<usize>() * Wasi::ALL.len() * Lifetime::ALL.len();
    (wanted * SLOW_SHARE).div_ceil(weights)
}

#[expect(clippy::print_stderr, reason = "progress is for who waits")]
fn tell(text: &str) {
    eprintln!("{text}");
}

#[test]
fn whatever_fails_its_caller_gets_what_the_manifest_says_in_time_and_the_node_stays_as_it_was() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime =
        runtime.enable_all().thread_keep_alive(KEEP_ALIVE).build().expect("the system has what a runtime takes");
    runtime.block_on(campaign());
}

async fn campaign() {
    let calls = environment("WATERTIGHT_CAMPAIGN_CALLS").unwrap_or(CALLS);
    let seed: u64 = environment("WATERTIGHT_CAMPAIGN_SEED").unwrap_or(1);
    // The host's panics are part of the campaign, thousands of them.
    let others = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some(guests::PANIC) {
            others(panic);
        }
    }));
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    tell(&format!("{calls} calls, seed {seed}"));
    let mut campaign = Campaign::default();
    let nodes: Vec<_> = Wasi::ALL.into_iter().flat_map(|wasi| Lifetime::ALL.map(|lifetime| (wasi, lifetime))).collect();
    for (wasi, lifetime) in &nodes {
        campaign.run(*wasi, *lifetime, REHEARSED, &mut dice).await;
    }
    let before = at_rest().await;
    let each = calls_of_a_batch(calls);
    for (index, (wasi, lifetime)) in nodes.iter().enumerate() {
        let (began, done) = (Instant::now(), campaign.calls);
        campaign.run(*wasi, *lifetime, each, &mut dice).await;
        let (count, took) = (campaign.calls - done, began.elapsed());
        let (number, of) = (index + 1, nodes.len());
        tell(&format!(
            "[{number}/{of}] WASI {}, {}: {count} calls in {took:.1?}, {} breaches so far",
            wasi.name(),
            lifetime.name(),
            campaign.unfair
        ));
    }
    let after = at_rest().await;
    tell(&table::lay_out(&campaign.rows, before, after));
    grown(before, after).into_iter().for_each(|growth| campaign.breach(growth));
    assert!(campaign.calls >= calls, "{} calls were made of {calls}", campaign.calls);
    assert!(campaign.unfair == 0, "{} breaches, among them:\n{}", campaign.unfair, campaign.breaches.join("\n"));
}
