//! For tests only: an event recorder, guests, bare cells
