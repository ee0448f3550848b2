//! Functions that wait, fail, trap and spin, as WASI 0.3 async exports.

wit_bindgen::generate!({ path: "../../../wit-async", world: "later-guest", generate_all });

use exports::watertight::later::later::Guest;
use wasi::clocks::monotonic_clock::wait_for;

struct Later;

async fn pause(ms: u32) {
    if ms > 0 {
        wait_for(u64::from(ms) * 1_000_000).await;
    }
}

impl Guest for Later {
    async fn add(a: u32, b: u32, ms: u32) -> u32 {
        pause(ms).await;
        a.wrapping_add(b)
    }

    async fn turn(text: String, ms: u32) -> Result<String, String> {
        pause(ms).await;
        if text.is_empty() { Err("there is nothing to turn".to_owned()) } else { Ok(text.chars().rev().collect()) }
    }

    async fn explode(ms: u32) -> Result<u32, String> {
        pause(ms).await;
        core::arch::wasm32::unreachable()
    }

    async fn spin() -> Result<u32, String> {
        loop {
            wit_bindgen::yield_async().await;
        }
    }
}

export!(Later);
