//! Reads, makes, changes and passes on streams and futures.

wit_bindgen::generate!({ path: "../../../wit-async", world: "flow-guest", generate_all });

use exports::watertight::later::flow::Guest;
use wasi::clocks::monotonic_clock::wait_for;
use wit_bindgen::{FutureReader, StreamReader, StreamResult};

struct Flow;

/// How much is written at once.
const PIECE: usize = 4096;

fn pattern(from: usize, count: usize) -> Vec<u8> {
    (from..from + count).map(|n| (n % 256) as u8).collect()
}

impl Guest for Flow {
    async fn sum(bytes: StreamReader<u8>) -> u64 {
        bytes.collect().await.into_iter().map(u64::from).sum()
    }

    async fn sip(mut bytes: StreamReader<u8>, count: u32) -> u64 {
        let mut sum = 0;
        for _ in 0..count {
            match bytes.next().await {
                Some(byte) => sum += u64::from(byte),
                None => break,
            }
        }
        sum
    }

    async fn make(count: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            let count = count as usize;
            for from in (0..count).step_by(PIECE) {
                if !writer.write_all(pattern(from, PIECE.min(count - from))).await.is_empty() {
                    return;
                }
            }
        });
        reader
    }

    async fn next(mut bytes: StreamReader<u8>) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            loop {
                let (result, mut piece) = bytes.read(Vec::with_capacity(PIECE)).await;
                piece.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
                if !writer.write_all(piece).await.is_empty() || result == StreamResult::Dropped {
                    return;
                }
            }
        });
        reader
    }

    async fn pass(bytes: StreamReader<u8>) -> StreamReader<u8> {
        bytes
    }

    async fn words(text: String) -> StreamReader<String> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            writer.write_all(text.split_whitespace().map(str::to_owned).collect()).await;
        });
        reader
    }

    async fn torn(count: u32) -> StreamReader<u8> {
        let (mut writer, reader) = wit_stream::new();
        wit_bindgen::spawn_local(async move {
            writer.write_all(pattern(0, count as usize)).await;
            core::arch::wasm32::unreachable()
        });
        reader
    }

    async fn wait(value: FutureReader<u32>) -> u32 {
        value.await
    }

    async fn promise(value: u32, ms: u32) -> FutureReader<u32> {
        let (writer, reader) = wit_future::new(|| 0);
        wit_bindgen::spawn_local(async move {
            wait_for(u64::from(ms) * 1_000_000).await;
            let _ = writer.write(value).await;
        });
        reader
    }
}

export!(Flow);
