//! Plays scenes with another component's streams and futures.

wit_bindgen::generate!({ path: "../../../wit-async", world: "flow-user", generate_all });

use exports::watertight::later::flow_scenes::Guest;
use watertight::later::flow;
use wit_bindgen::StreamReader;

struct User;

/// How much is written at once.
const PIECE: usize = 4096;

/// A stream of `count` ones, and how many of them found a reader.
fn ones(count: u32) -> (StreamReader<u8>, wit_bindgen::FutureReader<u32>) {
    let (mut writer, reader) = wit_stream::new();
    let (done, written) = wit_future::new(|| 0);
    wit_bindgen::spawn_local(async move {
        let mut left = count as usize;
        while left > 0 {
            let piece = PIECE.min(left);
            let back = writer.write_all(vec![1; piece]).await.len();
            left -= piece - back;
            if back > 0 {
                break;
            }
        }
        drop(writer);
        let _ = done.write(count - left as u32).await;
    });
    (reader, written)
}

async fn sum(stream: StreamReader<u8>) -> u64 {
    stream.collect().await.into_iter().map(u64::from).sum()
}

fn check(what: &str, got: u64, want: u64) -> Result<u64, String> {
    if got == want { Ok(got) } else { Err(format!("{what}: got {got}, not {want}")) }
}

impl Guest for User {
    async fn given(count: u32) -> Result<u64, String> {
        let (stream, _written) = ones(count);
        check("sum", flow::sum(stream).await, count.into())
    }

    async fn got(count: u32) -> Result<u64, String> {
        let want = (0..u64::from(count)).map(|n| n % 256).sum();
        check("sum", sum(flow::make(count).await).await, want)
    }

    async fn both(count: u32) -> Result<u64, String> {
        let (stream, _written) = ones(count);
        check("sum", sum(flow::next(stream).await).await, 2 * u64::from(count))
    }

    async fn passed(count: u32) -> Result<u64, String> {
        let (stream, _written) = ones(count);
        check("sum", sum(flow::pass(stream).await).await, count.into())
    }

    async fn dropped(count: u32) -> Result<u64, String> {
        let (stream, written) = ones(count);
        check("sum", flow::sip(stream, 10).await, 10.min(count.into()))?;
        Ok(written.await.into())
    }

    async fn words(text: String) -> Result<u64, String> {
        let want: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let got = flow::words(text).await.collect().await;
        if got == want { Ok(got.len() as u64) } else { Err(format!("got {got:?}")) }
    }

    async fn torn(count: u32) -> Result<u64, String> {
        let mut stream = flow::torn(count).await;
        let mut came = 0;
        while stream.next().await.is_some() {
            came += 1;
        }
        Ok(came)
    }

    async fn futures(a: u32, b: u32) -> Result<u64, String> {
        let (writer, reader) = wit_future::new(|| 0);
        wit_bindgen::spawn_local(async move {
            let _ = writer.write(a).await;
        });
        let first = flow::wait(reader).await;
        let second = flow::promise(b, 1).await.await;
        check("sum", u64::from(first) + u64::from(second), u64::from(a) + u64::from(b))
    }
}

export!(User);
