//! What a guest can reach, granted one capability at a time.
//!
//! [`WasiHost`] gives every cell WASI 0.2, and 0.3 where its engine can, on top of wasmtime-wasi and wasmtime-wasi-http. A capability is one
//! module: what the grant means, the check of one use, and the functions that count or report. Nothing is granted by default
//! except clocks and random numbers; a refused use returns the error that WASI has for it and is reported once per cell with
//! the line to add to the manifest.
//!
//! This crate never reads the environment, the current folder or anything else of the process: whatever a guest gets, the
//! manifest or the caller spelled out.
//!
//! ```text
//! grants ─▶ env  stdio  filesystem  sockets  outbound  clocks  random ─▶ HostCell ◀─ host (links, furnishes)
//!           request ─▶ http ─▶ root cell ─▶ answer        command line ─▶ command ─▶ exit code
//! ```

mod cell;
mod clocks;
pub mod command;
mod disk;
mod env;
mod filesystem;
#[cfg(test)]
mod fixture;
mod follow;
mod host;
pub mod http;
mod logging;
mod outbound;
mod random;
mod report;
mod resources;
pub mod snapshot;
mod sockets;
mod spanning;
mod stdio;

pub use self::{
    cell::HostCell,
    disk::SharedLedgers,
    host::WasiHost,
    stdio::{Console, Output},
};
