//! Cells, the membrane between them, and what happens when one fails: with real guests, on a host that offers nothing.

mod any_type;
mod bare;
mod bounds;
mod crossing;
mod failure;
mod far;
mod faults;
mod oracle;
mod postmortem;
mod proposals;
mod recording;
mod resources;
mod slices;
