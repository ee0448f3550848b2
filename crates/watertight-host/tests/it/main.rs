//! Guests in cells of the real runtime: what each grant and budget does to them.

mod app;
mod asynchronous;
mod behaviours;
mod command;
mod complete;
mod flow;
mod graph;
mod lies;
mod network;
mod reach;
mod serve;
