//! All of WASI is there: a component that imports every function of it can be linked.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use crate::app::Plan;

/// A component of this world that does nothing, with every import of it.
fn importing(folder: &str, world: &str) -> Vec<u8> {
    let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    let mut resolve = Resolve::default();
    resolve.push_dir(repository.join(folder)).expect("WASI is checked in");
    let package = resolve.push_str("all.wit", &format!("package a:b; world w {{ {world} }}")).expect("good WIT");
    let world = resolve.select_world(&[package], Some("w")).expect("it is there");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it fits");
    ComponentEncoder::default().module(&module).expect("a module").validate(true).encode().expect("a component")
}

#[tokio::test]
async fn every_function_of_wasi_0_2_is_there() {
    let bytes = importing("guests/wit", "include wasi:cli/imports@0.2.12; include wasi:http/imports@0.2.12;");
    Plan::with(bytes, |_| {}).start();
}

#[tokio::test]
async fn every_function_of_wasi_0_3_is_there() {
    let bytes = importing(
        "guests/wit-async",
        "include wasi:cli/imports@0.3.0; import wasi:http/types@0.3.0; import wasi:http/client@0.3.0;",
    );
    Plan::with(bytes, |component| component.asynchronous = true).start();
}
