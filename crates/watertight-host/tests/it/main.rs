//! Guests in cells of the real runtime: what each grant and budget does to them.
#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks the events and values it asks about")]

mod app;
mod asynchronous;
mod behaviours;
mod command;
mod complete;
mod disk;
mod flow;
mod graph;
mod hoard;
mod leftovers;
mod lies;
mod network;
mod policies;
mod reach;
mod residents;
mod serve;
mod slices;
mod traces;
mod usage;
