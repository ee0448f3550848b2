//! The manifest, the app graph and their checks, grants, budgets and events.
//!
//! Everything here is pure and synchronous: bytes and text in, values and problems out (invariant 1). It never
//! reads a file, a clock or the environment, and never starts anything; the crates above do that with what they find here.
//!
//! From a manifest to an app:
//!
//! ```
//! use std::collections::BTreeMap;
//! use watertight_model::{check::{Files, HostInterfaces, SourceError, check}, manifest::Manifest};
//!
//! let manifest = Manifest::parse("watertight.toml", "[app]\nname = \"press\"\n[component.web]\nsource = \"web.wasm\"\n");
//! // The shell reads what the manifest names …
//! let missing = || Err(SourceError::Missing { neighbours: Vec::new() });
//! let files = Files {
//!     sources: manifest.sources().map(|(component, _path)| (component.to_owned(), missing())).collect(),
//!     scripts: BTreeMap::new(),
//!     folders: manifest.folders().map(|path| (path.to_owned(), Ok(()))).collect(),
//! };
//! // … and gets an app, or every problem at once: each is a `miette::Diagnostic` and serialises for machines.
//! let (app, problems) = check(&manifest, &files, &HostInterfaces::wasi());
//! assert!(app.is_none());
//! assert_eq!(problems[0].message(), "there is no file `web.wasm`");
//! ```
//!
//! A single `.wasm` goes through [`check::single`]; editors get [`manifest::schema()`].

pub mod app;
pub mod blast;
pub mod breaker;
pub mod budget;
pub mod cbor;
pub mod check;
mod component_type;
pub mod drill;
pub mod event;
pub mod failure;
pub mod fault;
pub mod grant;
pub mod health;
pub mod json;
pub mod manifest;
pub mod modules;
pub mod picture;
pub mod postmortem;
pub mod problem;
pub mod report;
pub mod script;
mod signature;
pub mod supervision;
pub mod trace;
pub mod usage;
pub mod value;
mod version;
mod wave;
