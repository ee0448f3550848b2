//! The bytes of one connection on their way between the socket and HTTP: notes for the watchdog, and a polite end.
//!
//! It sits directly on the socket, below TLS, so that a stall is what the client's machine really refuses to take.
//! It never looks at what the bytes mean.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::watch::{Protocol, Vitals};

/// A socket with notes.
#[derive(Debug)]
pub(crate) struct Wire<S> {
    socket: S,
    vitals: Arc<Vitals>,
    /// Read while finding out the protocol; HTTP reads them again.
    sniffed: Bytes,
    shut: bool,
}

/// How HTTP/2 without TLS begins ("prior knowledge", RFC 9113 section 3.3).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Read and thrown away after an early answer, before giving up on the client.
const LINGER_BYTES: u64 = 4 << 20;

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn new(socket: S, vitals: Arc<Vitals>) -> Self {
        Self { socket, vitals, sniffed: Bytes::new(), shut: false }
    }

    /// Reads until it is clear which protocol the client speaks. Less than a preface followed by an end is HTTP/1, which
    /// knows how to complain.
    pub(crate) async fn sniff(&mut self) -> io::Result<Protocol> {
        let mut first = [0; PREFACE.len()];
        let mut filled = 0;
        let protocol = loop {
            let read = self.socket.read(&mut first[filled..]).await?;
            filled += read;
            if read == 0 || first[..filled] != PREFACE[..filled] {
                break Protocol::H1;
            }
            if filled == PREFACE.len() {
                break Protocol::H2;
            }
        };
        if filled > 0 {
            self.vitals.received();
        }
        self.sniffed = Bytes::copy_from_slice(&first[..filled]);
        Ok(protocol)
    }

    /// Reads and forgets, so that the kernel does not answer late bytes with a reset that overtakes our answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.vitals.lingering();
        let mut scratch = [0; 8192];
        let mut total = 0;
        while total < LINGER_BYTES {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => total += buffer.filled().len() as u64,
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    fn note_write(&self, wrote: &Poll<io::Result<usize>>) {
        match wrote {
            Poll::Pending => self.vitals.write_blocked(),
            Poll::Ready(_) => self.vitals.wrote(),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Wire<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if me.sniffed.has_remaining() {
            let part = me.sniffed.split_to(me.sniffed.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut me.socket).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            me.vitals.received();
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let wrote = Pin::new(&mut me.socket).poll_write(cx, bytes);
        me.note_write(&wrote);
        wrote
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        let wrote = Pin::new(&mut me.socket).poll_write_vectored(cx, parts);
        me.note_write(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let me = self.get_mut();
        if !me.shut {
            ready!(Pin::new(&mut me.socket).poll_shutdown(cx))?;
            me.shut = true;
        }
        if me.vitals.should_linger() {
            ready!(me.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncWriteExt, duplex},
        time::Instant,
    };

    use super::*;

    async fn sniffed(parts: &[&[u8]]) -> (Protocol, Vec<u8>) {
        let (mut client, server) = duplex(64);
        let mut wire = Wire::new(server, Arc::new(Vitals::new(Instant::now())));
        let (protocol, ()) = tokio::join!(async { wire.sniff().await.expect("reading works") }, async {
            for part in parts {
                client.write_all(part).await.expect("the server reads");
                tokio::task::yield_now().await;
            }
            drop(client);
        });
        let mut read = Vec::new();
        wire.read_to_end(&mut read).await.expect("reading works");
        (protocol, read)
    }

    #[tokio::test]
    async fn the_protocol_is_found_without_losing_a_byte() {
        let preface: &[u8] = PREFACE;
        let cases: [(&[&[u8]], Protocol); 6] = [
            (&[b"GET / HTTP/1.1\r\n"], Protocol::H1),
            (&[b"P", b"UT / HTTP/1.1\r\n"], Protocol::H1),
            (&[preface, b"more"], Protocol::H2),
            (&[b"PRI * HT", b"TP/2.0\r\n\r\nSM\r\n", b"\r\nrest"], Protocol::H2),
            (&[b"PRI * HTTP/2.0\r\n\r\nXX"], Protocol::H1),
            (&[], Protocol::H1),
        ];
        for (parts, protocol) in cases {
            assert_eq!(sniffed(parts).await, (protocol, parts.concat()));
        }
    }
}
