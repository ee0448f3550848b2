//! Calls another component's async functions, one and many at once.

wit_bindgen::generate!({ path: "../../../wit-async", world: "later-user", generate_all });

use std::future::Future;
use std::pin::Pin;
use std::task::Poll;

use exports::watertight::later::later_scenes::Guest;
use watertight::later::later;

struct User;

/// All of them at once; the sum of what they give.
async fn sum_of_all(mut waiting: Vec<Pin<Box<dyn Future<Output = u32>>>>) -> u32 {
    let mut sum = 0;
    std::future::poll_fn(|context| {
        waiting.retain_mut(|future| match future.as_mut().poll(context) {
            Poll::Ready(value) => {
                sum += value;
                false
            }
            Poll::Pending => true,
        });
        if waiting.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    sum
}

impl Guest for User {
    async fn one(a: u32, b: u32, ms: u32) -> u32 {
        later::add(a, b, ms).await
    }

    async fn many(count: u32, ms: u32) -> u32 {
        let calls = (0..count).map(|n| Box::pin(later::add(n, 1, ms)) as Pin<Box<dyn Future<Output = u32>>>);
        sum_of_all(calls.collect()).await
    }

    async fn turned(text: String) -> Result<String, String> {
        later::turn(text, 1).await
    }

    async fn exploded(ms: u32) -> Result<u32, String> {
        later::explode(ms).await
    }

    async fn spun() -> Result<u32, String> {
        later::spin().await
    }
}

export!(User);
