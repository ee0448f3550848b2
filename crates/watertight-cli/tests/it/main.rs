//! The `watertight` command end to end: real processes, real sockets on loopback, real guests.

mod add;
mod admin;
mod build;
mod cache;
mod check;
mod client;
mod collector;
mod dev;
mod disk;
mod documents;
mod drill;
mod errors;
mod faults;
mod files;
mod limits;
mod nodes;
mod once;
mod otlp;
mod postmortem;
mod program;
mod projects;
mod registry;
mod reload;
mod run;
mod serve;
mod tap;
