//! For tests only: an event recorder, guests, bare cells

pub mod guest;
