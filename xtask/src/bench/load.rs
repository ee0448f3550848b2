//! The load: keep-alive connections over loopback, each with one request on the way, bounded in number and time.
//!
//! It shares the machine's cores with the servers it measures, so it does as little as it can: the request's bytes are made once, and
//! of an answer only the status and the end are looked for. It is no HTTP client.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// What is asked, and how much.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) path: &'static str,
    pub(crate) connections: u32,
    pub(crate) duration: Duration,
}

/// Answers of one connection: more than any server gives in a round.
const MAX_ANSWERS: u64 = 10_000_000;

/// The longest answer, head and body.
const MAX_ANSWER: usize = 16 << 10;

impl Load {
    /// Asks for so long, and returns the answers a second. Every answer is 200, or this fails.
    pub(crate) async fn run(&self, address: SocketAddr) -> Result<f64> {
        let began = Instant::now();
        let until = began + self.duration;
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            let mut client = Client::connect(address, self.path).await?;
            connections.spawn(async move {
                let mut answers = 0_u64;
                while answers < MAX_ANSWERS && Instant::now() < until {
                    let status = client.ask().await?;
                    ensure!(status == 200, "answered {status} after {answers} good answers");
                    answers += 1;
                }
                Ok(answers)
            });
        }
        let mut answers = 0;
        while let Some(ended) = connections.join_next().await {
            answers += ended.context("a connection's task broke")??;
        }
        Ok(answers as f64 / began.elapsed().as_secs_f64())
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Box<[u8; MAX_ANSWER]>,
}

impl Client {
    /// Connects, and will ask for this path.
    pub(crate) async fn connect(address: SocketAddr, path: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").into_bytes();
        Ok(Self { stream, request, buffer: Box::new([0; MAX_ANSWER]) })
    }

    /// Asks once, and returns the status when the answer has ended.
    pub(crate) async fn ask(&mut self) -> Result<u16> {
        self.stream.write_all(&self.request).await.context("the server takes no request")?;
        self.answer().await
    }

    /// Sends the head of a request, and nothing of its body of one byte.
    pub(crate) async fn begin(&mut self) -> Result<()> {
        let head = self.request.strip_prefix(b"GET").and_then(|rest| rest.strip_suffix(b"\r\n"));
        let head = [b"POST", head.context("this is no GET")?, b"content-length: 1\r\n\r\n"].concat();
        self.stream.write_all(&head).await.context("the server takes no request")
    }

    /// Sends the body of a request that was begun, and returns the status when the answer has ended.
    pub(crate) async fn end(&mut self) -> Result<u16> {
        self.stream.write_all(b".").await.context("the server takes no body")?;
        self.answer().await
    }

    async fn answer(&mut self) -> Result<u16> {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await.context("the server gives no answer")?;
            filled += read;
            if let Some(status) = whole(&self.buffer[..filled])? {
                return Ok(status);
            }
            if read == 0 {
                bail!("the connection ended in the middle of an answer, after {filled} bytes");
            }
        }
    }
}

/// The status of an answer that is whole.
fn whole(answer: &[u8]) -> Result<Option<u16>> {
    let Some(head) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let (head, body) = (&answer[..head + 2], &answer[head + 4..]);
    let digits = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).context("this is no HTTP/1.1")?;
    let status = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).context("no status")?;
    let ended = match header(head, b"content-length: ") {
        Some(length) => {
            let length = std::str::from_utf8(length).ok().and_then(|text| text.trim().parse().ok());
            body.len() >= length.unwrap_or(0_usize)
        }
        None if header(head, b"transfer-encoding: ").is_some() => body.ends_with(b"0\r\n\r\n"),
        None => status == 204 || status == 304,
    };
    Ok(ended.then_some(status))
}

/// What follows a header's name and colon on its line.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.find_map(|line| line.get(..name.len())?.eq_ignore_ascii_case(name).then(|| &line[name.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_an_answer_is_found() {
        let cases: [(&[u8], Option<u16>); 7] = [
            (b"HTTP/1.1 200 OK\r\n", None),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", None),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Some(200)),
            (b"HTTP/1.1 502 Bad Gateway\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n", None),
            (b"HTTP/1.1 502 Bad Gateway\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Some(502)),
            (b"HTTP/1.1 204 No Content\r\n\r\n", Some(204)),
            (b"HTTP/1.1 200 OK\r\n\r\n", None),
        ];
        for (answer, status) in cases {
            assert_eq!(whole(answer).expect("this is HTTP"), status, "{}", String::from_utf8_lossy(answer));
        }
        assert!(whole(b"SMTP\r\n\r\n").is_err());
    }
}
