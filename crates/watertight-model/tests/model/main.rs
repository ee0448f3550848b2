//! The model seen from outside: manifests and components in, apps, problems and pictures out.

mod apps;
mod blast;
mod breaker;
mod drill;
mod fault;
mod graph;
mod hostile;
mod manual;
mod modules;
mod picture;
mod policies;
mod press;
mod problems;
mod supervision;
