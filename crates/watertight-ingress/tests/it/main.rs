//! The HTTP server over real sockets on loopback, from the client's side.

mod drain;
mod limits;
mod protocols;
mod records;
mod site;
