//! Go: the toolchain of go.dev, 1.24 or newer, for WASI.
//!
//! Its bindings are laid over the module on the way, as the package `bindings`; nothing is written into it, and nothing is fetched.
//! What a world exports is a package of the module, `export_` and the interface's name. A world that answers HTTP needs none: what is
//! registered with `net/http` answers. A world that exports `wasi:cli/run` is a program with a `main`.

mod module;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use wasi_preview1_component_adapter_provider as adapter;
use wit_bindgen_core::Files;
use wit_component::StringEncoding;
use wit_parser::WorldItem;

use super::{Site, absolute, missing};
use crate::{
    cancel::Cancel,
    encode,
    make::{BuildError, run},
    tools::find,
    wit::{self, World},
};

/// The first release that exports functions to a host.
const OLDEST: (u32, u32) = (1, 24);

/// The folder of the bindings in the module.
const BINDINGS: &str = "bindings";

/// Where generated bindings look for what all of them share, and the part of it that is here.
const SHARED: &str = "go.bytecodealliance.org/pkg/wit/";
const RUNTIME: &str = include_str!("go/runtime.go");
const TYPES: &str = include_str!("go/types.go");

/// The most that a tuple of the canonical ABI's flat parameters can hold.
const MAX_TUPLE: usize = 16;

/// What `net/http` is answered and asked through.
const HANDLER: &str = "export_wasi_http_incoming_handler";
const INCOMING: &str = include_str!("go/incoming_handler.go");
const OUTGOING: &str = include_str!("go/outgoing_handler.go");

#[derive(Debug)]
pub(crate) struct Kit {
    go: PathBuf,
}

/// What is laid over a module: files by their path in it.
type Laid = BTreeMap<PathBuf, Vec<u8>>;

impl Kit {
    pub(super) fn find() -> Result<Self, BuildError> {
        let root = std::env::var_os("GOROOT").map_or_else(|| PathBuf::from("/usr/local/go"), PathBuf::from);
        let get = ["see https://go.dev/dl".to_owned()];
        let Some(go) = find(&["go"], &[root.join("bin")]) else {
            return Err(missing("go", "builds Go", get));
        };
        let said = Cancel::default().run(Command::new(&go).arg("version"));
        let said = said.ok().flatten().map(|ran| ran.output).unwrap_or_default();
        match version(&said) {
            Some(version) if version >= OLDEST => Ok(Self { go }),
            _ => {
                let (major, minor) = OLDEST;
                let why =
                    format!("Go {major}.{minor} is the oldest that will do; {} is `{}`", go.display(), said.trim());
                Err(missing("go", &why, get))
            }
        }
    }

    pub(super) fn make(&self, site: &Site<'_>) -> Result<(), BuildError> {
        let mut world = wit::read(site.wit, site.world).map_err(BuildError::Wit)?;
        let is_program = take_run(&mut world)?;
        let name = module_name(site.folder)?;
        let main = site.main.and_then(Path::parent).unwrap_or(Path::new(""));
        let mut laid = bindings(&name, &mut world)?;
        if is_program {
            let text = format!("package main\n\nimport _ \"{name}/{BINDINGS}/wit/runtime\"\n");
            laid.insert(main.join("zz_watertight.go"), text.into_bytes());
        } else {
            laid.insert(main.join("zz_watertight.go"), start(&name, &site.folder.join(main)).into_bytes());
            laid.extend(handler(&name, site.folder, &world));
        }
        let overlay = lay(&laid, site)?;
        let module = site.scratch.join("module.wasm");
        let mut build = Command::new(&self.go);
        build.current_dir(site.folder).args(["build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]);
        if !is_program {
            build.arg("-buildmode=c-shared");
        }
        build.arg("-overlay").arg(overlay).arg("-o").arg(&module).arg(Path::new(".").join(main));
        build.env("GOOS", "wasip1").env("GOARCH", "wasm");
        run(&mut build, site.cancel)?;
        let reading = |error| BuildError::Write { path: module.clone(), error };
        let mut bytes = module::prepared(&fs::read(&module).map_err(reading)?).map_err(BuildError::Wit)?;
        let (resolve, world) = (&world.resolve, world.world);
        wit_component::embed_component_metadata(&mut bytes, resolve, world, StringEncoding::UTF8)
            .map_err(|error| BuildError::Wit(format!("{error:#}")))?;
        let adapter = if is_program {
            adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
        } else {
            adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
        };
        let bytes = encode::adapted(&bytes, adapter).map_err(BuildError::Wit)?;
        fs::write(site.output, bytes).map_err(|error| BuildError::Write { path: site.output.to_owned(), error })
    }
}

/// The release in what `go version` says.
fn version(said: &str) -> Option<(u32, u32)> {
    let release = said.split_whitespace().find_map(|word| word.strip_prefix("go").filter(|rest| rest.contains('.')))?;
    let mut parts = release.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??))
}

/// What the module in this folder is called.
pub(crate) fn module_name(folder: &Path) -> Result<String, BuildError> {
    let path = folder.join("go.mod");
    let text = fs::read_to_string(&path)
        .map_err(|error| BuildError::Wit(format!("{}: {error}: `go mod init NAME` makes one", path.display())))?;
    let name =
        text.lines().find_map(|line| line.trim().strip_prefix("module ")).map(|name| name.trim().trim_matches('"'));
    let name = name.ok_or_else(|| BuildError::Wit(format!("{} names no module", path.display())))?;
    Ok(name.to_owned())
}

/// Takes from a world that it is run, and tells whether it was: Go's own start does that.
fn take_run(world: &mut World) -> Result<bool, BuildError> {
    let resolve = &mut world.resolve;
    let exports = &resolve.worlds[world.world].exports;
    let Some(run) = exports.keys().find(|key| resolve.name_world_key(key).starts_with("wasi:cli/run@")).cloned() else {
        return Ok(false);
    };
    resolve.worlds[world.world].exports.shift_remove(&run);
    match resolve.worlds[world.world].exports.keys().next() {
        None => Ok(true),
        Some(other) => {
            let other = resolve.name_world_key(other);
            let what =
                format!("a program in Go exports wasi:cli/run alone, and the world `{}` also {other}", world.name);
            Err(BuildError::Wit(what))
        }
    }
}

/// The packages of a world's imports and exports, as files of the module of this name.
pub(crate) fn bindings(module: &str, world: &mut World) -> Result<Laid, BuildError> {
    if world.is_async() {
        return Err(BuildError::Wit("Go has no async functions, streams or futures yet".to_owned()));
    }
    let options = wit_bindgen_go::Opts {
        format: wit_bindgen_go::Format::False,
        pkg_name: Some(format!("{module}/{BINDINGS}")),
        export_pkg_name: Some(module.to_owned()),
        ..Default::default()
    };
    let mut files = Files::default();
    let made = options.build().generate(&mut world.resolve, world.world, &mut files);
    made.map_err(|error| BuildError::Wit(format!("{error:#}")))?;
    let own = format!("{module}/{BINDINGS}/wit/");
    let mut laid: Laid = files
        .iter()
        .map(|(name, content)| {
            let content = match std::str::from_utf8(content) {
                Ok(text) => text.replace(SHARED, &own).into_bytes(),
                Err(_) => content.to_vec(),
            };
            (Path::new(BINDINGS).join(name), content)
        })
        .collect();
    for (file, text) in [("runtime/runtime.go", RUNTIME), ("types/types.go", TYPES), ("types/tuples.go", &tuples())] {
        laid.insert(Path::new(BINDINGS).join("wit").join(file), text.as_bytes().to_vec());
    }
    Ok(laid)
}

fn tuples() -> String {
    let mut text = "// Package types holds the types of WIT that Go does not have.\npackage types\n".to_owned();
    for count in 1..=MAX_TUPLE {
        let names: Vec<_> = (0..count).map(|index| format!("T{index}")).collect();
        let fields: Vec<_> = (0..count).map(|index| format!("\tF{index} T{index}\n")).collect();
        let _ =
            write!(text, "\n// Tuple{count} holds {count}.\ntype Tuple{count}[{} any] struct {{\n", names.join(", "));
        let _ = writeln!(text, "{}}}", fields.concat());
    }
    text
}

/// Has the module's exports linked, and its `main`, if it has one, run as a cell starts.
fn start(module: &str, main: &Path) -> String {
    let entries = fs::read_dir(main).into_iter().flatten().flatten();
    let is_source = |name: &str| name.ends_with(".go") && !name.ends_with("_test.go");
    let has_main = entries.map(|entry| entry.file_name()).any(|name| name.to_str().is_some_and(is_source));
    let run = if has_main { "func init() { main() }" } else { "func main() {}" };
    format!("package main\n\nimport _ \"{module}/{BINDINGS}/wit_exports\"\n\n{run}\n")
}

/// What answers for `net/http`, where the world has that answered and the module does not do it itself.
fn handler(module: &str, folder: &Path, world: &World) -> Laid {
    let has = |items: &wit_parser::IndexMap<wit_parser::WorldKey, WorldItem>, name: &str| {
        items.keys().any(|key| world.resolve.name_world_key(key).starts_with(name))
    };
    let resolved = &world.resolve.worlds[world.world];
    let mut laid = Laid::new();
    if has(&resolved.exports, "wasi:http/incoming-handler@") && !folder.join(HANDLER).is_dir() {
        laid.insert(Path::new(HANDLER).join("incoming.go"), INCOMING.replace("MODULE", module).into_bytes());
        if has(&resolved.imports, "wasi:http/outgoing-handler@") {
            laid.insert(Path::new(HANDLER).join("outgoing.go"), OUTGOING.replace("MODULE", module).into_bytes());
        }
    }
    laid
}

/// Writes the files beside the module, and a list that has Go see them in it.
fn lay(laid: &Laid, site: &Site<'_>) -> Result<PathBuf, BuildError> {
    let writing = |path: &Path| {
        let path = path.to_owned();
        move |error| BuildError::Write { path, error }
    };
    let (place, folder) = (site.scratch.join("laid"), absolute(site.folder));
    fs::create_dir_all(&place).map_err(writing(&place))?;
    let mut list = BTreeMap::new();
    // Empty assembly is for tests of the bindings outside WebAssembly, and is assembled in its own folder.
    let laid = laid.iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending == "go"));
    for (index, (path, content)) in laid.enumerate() {
        let real = place.join(format!("{index}.go"));
        fs::write(&real, content).map_err(writing(&real))?;
        list.insert(folder.join(path), real);
    }
    let overlay = site.scratch.join("overlay.json");
    let text = serde_json::json!({ "Replace": list }).to_string();
    fs::write(&overlay, text).map_err(writing(&overlay))?;
    Ok(overlay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_from_what_go_says() {
        for (said, release) in [
            ("go version go1.24.4 linux/amd64", Some((1, 24))),
            ("go version go1.30rc1 linux/arm64\n", Some((1, 30))),
            ("go version devel", None),
            ("", None),
        ] {
            assert_eq!(version(said), release, "{said}");
        }
    }

    #[test]
    fn a_tuple_of_every_size_is_there() {
        let text = tuples();
        assert!(text.contains("type Tuple2[T0, T1 any] struct {\n\tF0 T0\n\tF1 T1\n}\n"), "{text}");
        assert!(text.contains("type Tuple16["));
    }
}
