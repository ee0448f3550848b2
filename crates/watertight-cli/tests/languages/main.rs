//! Scripts in every language that a runtime is built for, end to end: the real program, the real interpreters, loopback.
//!
//! The runtimes have to be there: `cargo xtask runtimes --for-tests` builds them and installs the packages that are tried.

mod battery;
mod browser;
mod client;
mod esm;
mod folder;
mod javascript;
mod legacy;
mod lua;
mod mechanism;
mod modules;
mod php;
mod press;
mod program;
mod python;
mod ruby;
mod snapshots;
