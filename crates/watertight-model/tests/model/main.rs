//! The model seen from outside: manifests and components in, apps, problems and pictures out.

mod apps;
mod graph;
mod press;
mod problems;
