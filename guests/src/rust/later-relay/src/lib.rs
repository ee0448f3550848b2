//! Passes calls of `later` on to another component; before an addition it waits, and has `behave` run.

wit_bindgen::generate!({ path: ["../../../wit-async", "wit"], world: "watertight:relay/later-relay", generate_all });

use exports::watertight::later::later::Guest;
use wasi::clocks::monotonic_clock::wait_for;
use watertight::{later::later, test::behave};

struct Relay;

impl Guest for Relay {
    /// Those that come at the same time are all between their first and their last call when the first of them goes on.
    async fn add(a: u32, b: u32, ms: u32) -> u32 {
        wait_for(u64::from(ms) * 1_000_000).await;
        let ran = behave::run(a).unwrap_or(0);
        later::add(ran, b, ms).await
    }

    async fn turn(text: String, ms: u32) -> Result<String, String> {
        later::turn(text, ms).await
    }

    async fn explode(ms: u32) -> Result<u32, String> {
        later::explode(ms).await
    }

    async fn spin() -> Result<u32, String> {
        later::spin().await
    }
}

export!(Relay);
