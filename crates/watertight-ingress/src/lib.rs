//! What starts a call tree: HTTP requests and commands
