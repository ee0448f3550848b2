//! Sinks for events: the human log and JSON lines
