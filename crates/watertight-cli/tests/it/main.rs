//! The `watertight` command end to end: real processes, real sockets on loopback, real guests.

mod admin;
mod build;
mod cache;
mod check;
mod client;
mod disk;
mod documents;
mod drill;
mod errors;
mod faults;
mod files;
mod limits;
mod nodes;
mod once;
mod postmortem;
mod program;
mod reload;
mod run;
mod serve;
