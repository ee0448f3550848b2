//! Engines, the compile cache, cells and the membrane between them.

pub mod cell;
pub mod host;

pub use cell::CellCore;
pub use host::{CellData, Host, HostResource};
