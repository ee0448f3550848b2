//! The apps that are served: a web component and at most one dependency of it, as an app of cells, and fused into one component.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use wac_graph::{CompositionGraph, EncodeOptions, types::Package};

use super::Place;

/// A guest that answers HTTP, and the guest that meets its import.
pub(crate) struct Pair {
    pub(crate) web: &'static str,
    pub(crate) dependency: Option<&'static str>,
    /// The budget of both, in the manifest's words.
    pub(crate) budget: &'static str,
}

impl Pair {
    /// Writes the app with a wall between the two; returns its folder.
    pub(crate) fn cells(&self, place: &Place) -> Result<PathBuf> {
        let folder = place.scratch.path().join(self.name());
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let uses = self.dependency.map_or_else(String::new, |name| format!("uses = [\"{name}\"]\n"));
        let mut manifest = format!(
            "[app]\nname = \"bench\"\nversion = \"0.0.0\"\n\n[[trigger.http]]\nroute = \"/...\"\ncomponent = \"{web}\"\n\n\
             [component.{web}]\nsource = \"{web}.wasm\"\n{uses}budget = {{ {budget} }}\n",
            web = self.web,
            budget = self.budget,
        );
        write(&folder.join(format!("{}.wasm", self.web)), &guest(&place.repository, self.web)?)?;
        if let Some(name) = self.dependency {
            manifest += &format!("\n[component.{name}]\nsource = \"{name}.wasm\"\nbudget = {{ {} }}\n", self.budget);
            write(&folder.join(format!("{name}.wasm")), &guest(&place.repository, name)?)?;
        }
        write(&folder.join("watertight.toml"), manifest.as_bytes())?;
        Ok(folder)
    }

    /// Writes both as one component, as every other runtime would have them; returns the file.
    pub(crate) fn fused(&self, place: &Place) -> Result<PathBuf> {
        let mut bytes = guest(&place.repository, self.web)?;
        if let Some(name) = self.dependency {
            bytes = plug(bytes, guest(&place.repository, name)?)
                .with_context(|| format!("{name} cannot be composed into {}", self.web))?;
        }
        let file = place.scratch.path().join(format!("{}.wasm", self.name()));
        write(&file, &bytes)?;
        Ok(file)
    }

    fn name(&self) -> String {
        format!("{}-{}", self.web, self.dependency.unwrap_or("alone"))
    }
}

fn guest(repository: &Path, name: &str) -> Result<Vec<u8>> {
    let file = repository.join(format!("guests/built/{name}.wasm"));
    fs::read(&file).with_context(|| format!("cannot read {}; `cargo xtask guests {name}` builds it", file.display()))
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).with_context(|| format!("cannot write {}", file.display()))
}

/// Composes `plug` into `socket` where it meets imports.
fn plug(socket: Vec<u8>, plug: Vec<u8>) -> Result<Vec<u8>> {
    let mut graph = CompositionGraph::new();
    let socket = Package::from_bytes("socket", None, socket, graph.types_mut())?;
    let socket = graph.register_package(socket)?;
    let plug = Package::from_bytes("plug", None, plug, graph.types_mut())?;
    let plug = graph.register_package(plug)?;
    wac_graph::plug(&mut graph, vec![plug], socket)?;
    Ok(graph.encode(EncodeOptions::default())?)
}
