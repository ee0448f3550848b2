//! The manifest, the app graph and their checks, grants, budgets and events.
//!
//! Everything here is pure and synchronous: bytes and text in, values and problems out (invariant 1). It never
//! reads a file, a clock or the environment, and never starts anything; the crates above do that with what they find here.

pub mod app;
pub mod budget;
pub mod event;
pub mod failure;
pub mod grant;
