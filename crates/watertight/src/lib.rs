//! Run an application as a graph of isolated WebAssembly components

pub mod supervisor;
