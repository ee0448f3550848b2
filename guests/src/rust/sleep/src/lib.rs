//! Sleeps for `n` milliseconds on the monotonic clock, then answers `n`.

wit_bindgen::generate!({ path: "../../../wit", world: "behave-wasi", generate_all });

use wasi::clocks::monotonic_clock::subscribe_duration;

fn act(n: u32) -> Result<u32, String> {
    subscribe_duration(u64::from(n) * 1_000_000).block();
    Ok(n)
}

doors::doors!(act);
