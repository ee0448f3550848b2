//! What starts a call tree: HTTP requests.
//!
//! [`HttpServer`] speaks HTTP/1.1 and HTTP/2, in the clear and over TLS, on a listening socket that the caller bound, and
//! hands each request to a [`Handler`]. It bounds what a client can make the process hold (headers, bodies, connections,
//! streams, time), and it is the only place where a failure becomes an HTTP status (invariant 10).
//!
//! [`local`] is HTTP between the processes of one user, for looking after a node: no request of a client of the app comes that way.
//!
//! It never knows what a guest is: no Wasmtime type appears here. It never retries and never answers for a guest
//! that answered.
//!
//! ```text
//! listener -> server (accept, drain) -> connection (one task, watched) -> exchange (one request) -> Handler
//!                                          wire: bytes and stalls           body: sizes and slow clients
//! ```

mod accept;
mod body;
mod call;
mod config;
mod connection;
mod drain;
mod exchange;
pub mod local;
mod refusal;
mod route;
mod server;
mod stream;
mod tls;
mod watch;
mod wire;

pub use self::{
    body::{RequestBody, RequestBodyError},
    call::CallAnswer,
    config::HttpConfig,
    drain::Drain,
    exchange::{Access, Arrival, Handler},
    refusal::Refusal,
    route::{RouteError, RouteId, Router},
    server::{Drained, HttpServer},
    tls::{TlsConfig, TlsError},
};

/// What a response body may fail with: the answer is broken off where it stands.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
