//! Concurrency and queue, seen from the client.

use std::time::Duration;

use watertight_ingress::{Gate, HttpConfig};

use crate::site::{Site, get, read};

#[tokio::test]
async fn what_neither_runs_nor_queues_is_told_to_come_back() {
    let gate = Gate::new(1, 1).retry_after(Duration::from_secs(3));
    let site = Site::start_with(HttpConfig::default(), None, Some(gate)).await;
    let mut client = site.h2().await;
    let first = tokio::spawn(client.send_request(get("/gate")));
    site.state.waiting.notified().await;
    // The second waits in the queue, so of the next two exactly one is turned away.
    let (second, third) = (client.send_request(get("/gate")), client.send_request(get("/gate")));
    tokio::pin!(second, third);
    let (refused, queued) = tokio::select! {
        refused = &mut second => (refused, third),
        refused = &mut third => (refused, second),
    };
    let refused = refused.expect("the server answers");
    assert_eq!(refused.headers()["retry-after"], "3");
    assert_eq!(refused.status(), 503);
    site.state.go.notify_one();
    let first = first.await.expect("the task ends").expect("the server answers");
    assert_eq!(read(first).await, (200, "admitted".into()));
    site.state.waiting.notified().await;
    site.state.go.notify_one();
    assert_eq!(read(queued.await.expect("the server answers")).await, (200, "admitted".into()));
}
