//! Run an application as a graph of isolated WebAssembly components.
//!
//! A [`Node`] is an app that runs: each of its components in a store of its own, with the rights and budgets that the manifest
//! gives it, and every call between them contained. This crate joins the others; `watertight serve` and `watertight run` are
//! thin programs around it.
//!
//! ```no_run
//! use watertight::{HttpConfig, Node};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder().app("examples/press").cache_dir("/var/cache/press").load()?;
//!
//! // Call any export, with values or with text.
//! let page = node.invoke_text(r##"press:markdown/render#render("# Hello")"##, None).await?;
//! println!("{}", page.unwrap_or_default());
//!
//! // Serve the routes of the manifest, until told to stop.
//! let server = node.serve("127.0.0.1:8080", HttpConfig::default(), None)?;
//! println!("http://{}", server.address());
//! tokio::signal::ctrl_c().await?;
//! server.stop().await;
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod admin;
mod alone;
mod control;
pub mod drill;
mod ears;
pub mod faults;
mod ferry;
mod folder;
pub mod held;
pub mod inspect;
mod invoke;
mod metrics;
mod node;
pub mod operate;
mod orders;
pub mod postmortem;
mod public;
pub mod record;
pub mod recording;
mod reload;
pub mod replay;
pub mod runtimes;
pub mod serve;
mod signals;
mod snapshots;
pub mod source;
mod spanning;
pub mod status;
pub mod supervisor;
pub mod tap;
mod together;
pub mod worker;

pub use self::{
    alone::{Alone, AloneError},
    control::{Answer, Ask},
    invoke::{Export, InvokeError, Val},
    node::{AppDown, CompiledNode, Node, NodeBuilder, NodeError, RunError},
    orders::{Orders, OrdersError, PostedOrders},
    reload::{Anew, ReadAnew, Rejection, ReloadError, Reloaded},
    runtimes::{RuntimeError, Runtimes},
    serve::{ServeError, Server, TlsFiles},
    signals::Signals,
    source::{AppSource, CheckedApp, ManifestFile, ReadError, Rejected},
    together::Together,
};
pub use watertight_host::{Console, Output};
pub use watertight_ingress::{Drained, HttpConfig};
pub use watertight_model as model;
pub use watertight_observe as observe;
pub use watertight_runtime::{CacheError, CompileCache, LoadError, NoProgress, Origin, PoolPlan, Progress, types};

/// The code in `docs/embedding.md` compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/embedding.md")]
mod embedding {}
