//! Guests in cells of the real runtime: what each grant and budget does to them.

mod app;
mod asynchronous;
mod command;
mod complete;
mod network;
mod reach;
mod serve;
