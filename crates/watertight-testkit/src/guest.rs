//! Guests for tests: those checked in under `guests/built`, and components made on the spot from text.
//!
//! It never builds from source (`cargo xtask guests` does) and never runs anything. A guest that is missing or malformed is
//! a mistake in the test, so every function here panics with what to do about it.

use std::path::{Path, PathBuf};

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

/// The guest `guests/built/NAME.wasm`; `guests/README.md` lists them.
#[track_caller]
#[must_use]
pub fn built(name: &str) -> Vec<u8> {
    let path = path(name);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!(
            "no guest `{name}` at {}: {error}; guests/README.md lists the guests, `cargo xtask guests {name}` builds one",
            path.display()
        )
    })
}

/// Where `guests/built/NAME.wasm` is, whether it exists or not.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    repository().join("guests/built").join(format!("{name}.wasm"))
}

/// A component or a core module from its text.
#[track_caller]
#[must_use]
pub fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("the guest's text is not good WAT: {error}"))
}

/// A component of the world `world` in the package `wit`, from a core module's text.
///
/// The WIT may use the packages of `guests/wit` and its `deps`. The core module exports `memory`, `cabi_realloc` where
/// something must be allocated, and functions named `namespace:package/interface@version#function`.
#[track_caller]
#[must_use]
pub fn component(wit: &str, world: &str, core_wat: &str) -> Vec<u8> {
    component_with(wit, world, core_wat, StringEncoding::UTF8)
}

/// As [`component`], for a guest that keeps its text in another encoding.
#[track_caller]
#[must_use]
pub fn component_with(wit: &str, world: &str, core_wat: &str, strings: StringEncoding) -> Vec<u8> {
    encode(wit, world, core_wat, strings)
        .unwrap_or_else(|error| panic!("the guest of world `{world}` does not build: {error:#}"))
}

fn encode(wit: &str, world: &str, core_wat: &str, strings: StringEncoding) -> anyhow::Result<Vec<u8>> {
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    // Parsing all of WASI takes a while; most guests of one test need none of it.
    if wit.contains("wasi:") || wit.contains("watertight:test/") {
        resolve.push_dir(repository().join("guests/wit"))?;
    }
    if wit.contains("@0.3.") {
        resolve.push_dir(repository().join("guests/wit-async"))?;
    }
    let package = resolve.push_str("guest.wit", wit)?;
    let world = resolve.select_world(&[package], Some(world))?;
    let mut core = wat::parse_str(core_wat)?;
    wit_component::embed_component_metadata(&mut core, &resolve, world, strings)?;
    ComponentEncoder::default().validate(true).module(&core)?.encode()
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_becomes_a_component_of_its_world() {
        let bytes = component(
            "package a:b; interface i { add: func(a: u32, b: u32) -> u32; } world w { export i; }",
            "w",
            r#"(module (func (export "a:b/i#add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"#,
        );
        assert_eq!(&bytes[..8], b"\0asm\x0d\0\x01\0", "the preamble of a component");
    }

    #[test]
    fn a_world_may_use_wasi_and_the_test_packages() {
        let wit = "package a:b; world w { import wasi:clocks/monotonic-clock@0.2.12; import watertight:test/behave; }";
        assert!(!component(wit, "w", "(module)").is_empty());
    }

    #[test]
    fn every_guest_that_the_others_start_from_is_checked_in() {
        for name in ["ok", "trap", "spin", "overflow", "eat-memory", "relay"] {
            assert!(!built(name).is_empty(), "{name}");
        }
    }
}
