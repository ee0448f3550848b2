//! JavaScript: bundled by esbuild, and made a component by componentize-js (StarlingMonkey: fetch, URL, streams, …) or componentize-qjs
//! (QuickJS: a twentieth of the size, the language alone). All of them come from npm, into the project's `node_modules`.
//!
//! A world with anything of WASI needs the first. Others get the second if it is installed, else the first.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Site, absolute, in_folder};
use crate::{
    make::{BuildError, run},
    tools::{Missing, find},
    wit,
};

const MAIN: &str = "index.js";
const STARLING: &str = "@bytecodealliance/componentize-js";
const QUICK: &str = "componentize-qjs";

/// What calls componentize-js, which has no program of its own that takes these.
const COMPONENTIZE: &str = include_str!("componentize.mjs");

#[derive(Debug)]
pub(crate) struct Kit {
    node: PathBuf,
    esbuild: PathBuf,
    engine: Engine,
}

#[derive(Debug)]
enum Engine {
    Starling,
    Quick(PathBuf),
}

impl Kit {
    pub(super) fn find(folder: &Path, wit: &Path, world: Option<&str>) -> Result<Self, BuildError> {
        let wasi = wit::read(wit, world).map_err(BuildError::Wit)?.mentions("wasi:");
        let absolute = absolute(folder);
        let modules: Vec<PathBuf> = absolute.ancestors().map(|folder| folder.join("node_modules")).collect();
        let programs: Vec<PathBuf> = modules.iter().map(|modules| modules.join(".bin")).collect();
        let node = find(&["node"], &[]);
        let esbuild = find(&["esbuild"], &programs);
        let quick = find(&[QUICK], &programs).filter(|_| !wasi);
        let starling = modules.iter().any(|modules| modules.join(STARLING).is_dir());
        let engine = quick.map(Engine::Quick).or_else(|| starling.then_some(Engine::Starling));
        let package = fs::read_to_string(folder.join("package.json")).unwrap_or_default();
        let npm = |name: &str| {
            let listed = package.contains(&format!("\"{name}\""));
            in_folder(folder, &if listed { "npm install".to_owned() } else { format!("npm install --save-dev {name}") })
        };
        let lacks =
            |tool: &str, why: &str, get: String| Missing { tool: tool.to_owned(), why: why.to_owned(), get: vec![get] };
        let engine_name = if wasi { STARLING } else { QUICK };
        let mut missing = Vec::new();
        if node.is_none() {
            missing.push(lacks("node", "runs the tools of JavaScript", "apt install nodejs npm".to_owned()));
        }
        if esbuild.is_none() {
            missing.push(lacks("esbuild", "bundles modules into one", npm("esbuild")));
        }
        if engine.is_none() {
            missing.push(lacks(engine_name, "makes components from JavaScript", npm(engine_name)));
        }
        match (node, esbuild, engine) {
            (Some(node), Some(esbuild), Some(engine)) => Ok(Self { node, esbuild, engine }),
            _ => Err(BuildError::Missing(missing)),
        }
    }

    pub(super) fn make(&self, site: &Site<'_>) -> Result<(), BuildError> {
        let world = wit::read(site.wit, site.world).map_err(BuildError::Wit)?;
        let main = site.main_or(MAIN)?;
        let bundle = site.scratch.join("bundle.js");
        let mut command = Command::new(&self.esbuild);
        command.current_dir(site.folder).arg(main).args([
            "--bundle",
            "--format=esm",
            "--target=es2022",
            "--log-level=warning",
        ]);
        // What the engine and the world offer under names of their own is not in any file.
        command.args(world.imports().map(|name| format!("--external:{name}*")));
        command.arg(format!("--outfile={}", bundle.display()));
        run(&mut command, site.cancel)?;
        let mut command = match &self.engine {
            Engine::Starling => {
                let mut command = Command::new(&self.node);
                command.args(["--input-type=module", "-e", COMPONENTIZE, "--"]);
                command.args([&bundle, &absolute(site.wit)]).arg(&world.name).arg(site.output);
                let bare = !world.mentions("wasi:http");
                command.arg(if bare { "http,fetch-event" } else { "none" });
                command
            }
            Engine::Quick(program) => {
                let mut command = Command::new(program);
                command.args(["--stub-wasi", "--opt-size", "--wit"]).arg(absolute(site.wit)).args(["-n", &world.name]);
                // Without it every export would need the engine with component-model async.
                if !world.is_async() {
                    command.arg("--sync");
                }
                command.arg("--js").arg(&bundle).arg("-o").arg(site.output);
                command
            }
        };
        run(command.current_dir(site.folder), site.cancel).map(drop)
    }
}
