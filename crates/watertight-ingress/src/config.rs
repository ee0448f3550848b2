//! The limits of one HTTP server: what a client can make it hold, and for how long.
//!
//! Every value is finite (invariant 11) and has a test that fails when it is ignored.

use std::time::Duration;

/// Limits and timeouts of an [`HttpServer`](crate::HttpServer). All sizes are per connection or per request, never summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// Bytes of a request's head: request line and headers, or the header list of HTTP/2. More is answered with 431.
    pub max_header_bytes: u32,
    /// Headers of one request. More is answered with 431.
    pub max_headers: u32,
    /// Bytes of a request's body. More is answered with 413.
    pub max_body_bytes: u64,
    /// Bytes that one HTTP/1 connection buffers in each direction; at least 8 KiB and at least `max_header_bytes`.
    pub max_buffer_bytes: u32,
    /// Open connections; more wait in the listener's backlog.
    pub max_connections: u32,
    /// Requests at once on one HTTP/2 connection.
    pub max_streams: u32,
    /// From a connection's start, or a request's first byte, to the end of its head; the TLS handshake included.
    pub header_timeout: Duration,
    /// Without a request on an open connection.
    pub idle_timeout: Duration,
    /// Without a byte of a body that the handler waits for; then 408.
    pub body_timeout: Duration,
    /// Without a byte taken by a client that an answer waits for.
    pub write_timeout: Duration,
    /// From the shutdown signal until requests still in flight are cut.
    pub drain_timeout: Duration,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            max_header_bytes: 64 << 10,
            max_headers: DEFAULT_MAX_HEADERS,
            max_body_bytes: 64 << 20,
            max_buffer_bytes: 128 << 10,
            max_connections: 8192,
            max_streams: 128,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(20),
        }
    }
}

/// What hyper parses without a heap allocation.
pub(crate) const DEFAULT_MAX_HEADERS: u32 = 100;

/// After the shutdown signal, how long a fresh connection may take to show its first byte: its request may be on the way.
pub(crate) const FRESH_GRACE: Duration = Duration::from_millis(500);

/// How long a connection that was told to end may take to say goodbye, and how long the rest of a refused body is
/// read and thrown away so that the client sees the answer rather than a reset.
pub(crate) const GOODBYE: Duration = Duration::from_secs(2);
