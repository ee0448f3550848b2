//! From C to a component of the world `script`: clang and lld from Debian, wasi-libc from its backports, sources from crates.
//!
//! Everything is unpacked below the tools' folder, as for the guests in Rust.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context as _, Result, ensure};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::Resolve;

use super::{Sources, output};
use crate::guests::debian::Unpacked;

/// Where wasi-libc is newer than in Debian 12 itself, which has none of preview 1's newer functions.
const BACKPORTS: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main";

/// A compiler for WebAssembly.
pub(super) struct Clang {
    root: PathBuf,
    sysroot: PathBuf,
    /// Object files of sources that are not the project's, by what they were made from: an engine takes a minute.
    objects: PathBuf,
}

/// Something to compile, and how.
pub(super) struct Program<'a> {
    /// C files, with the flags of each.
    pub(super) files: Vec<(PathBuf, &'a [&'a str])>,
    pub(super) flags: Vec<String>,
    pub(super) link: Vec<String>,
}

impl Clang {
    /// Installs what is missing.
    pub(super) fn ready(tools: &Path) -> Result<Self> {
        let (clang, libc) = (tools.join("clang"), tools.join("wasi-libc"));
        if !clang.join("root/usr/bin/clang-22").exists() {
            let unpacked = Unpacked::new(&clang)?;
            let mut names = unpacked.closure("clang-22")?;
            names.extend(unpacked.closure("lld-22")?);
            names.insert("libclang-rt-22-dev-wasm32".into());
            unpacked.unpack(names)?;
        }
        let sysroot = libc.join("root/usr");
        if !sysroot.join("lib/wasm32-wasip1/libc.a").exists() {
            Unpacked::of(&libc, BACKPORTS)?.unpack(["wasi-libc".into()])?;
        }
        let objects = tools.join("objects");
        fs::create_dir_all(&objects)?;
        Ok(Self { root: clang.join("root/usr"), sysroot, objects })
    }

    /// Compiles, links, and makes a component of it.
    pub(super) fn component(&self, program: &Program<'_>, sources: &Sources, scratch: &Path, out: &Path) -> Result<()> {
        Self::finish(self.module(program, scratch)?, sources, scratch, out)
    }

    /// Compiles and links.
    pub(super) fn module(&self, program: &Program<'_>, scratch: &Path) -> Result<Vec<u8>> {
        let objects = self.compile(program, scratch)?;
        let module = scratch.join("module.wasm");
        let mut link = self.clang();
        link.args(["-mexec-model=reactor", "--no-wasm-opt", "-s"]).args(&objects).args(&program.link);
        output(link.arg("-o").arg(&module))?;
        Ok(fs::read(module)?)
    }

    /// Makes a component of a core module.
    pub(super) fn finish(module: Vec<u8>, sources: &Sources, scratch: &Path, out: &Path) -> Result<()> {
        let wit = scratch.join("wit");
        sources.wit_folder(&wit)?;
        fs::write(out, componentized(module, &wit)?)?;
        Ok(())
    }

    /// One object file each, as many at once as there are cores.
    fn compile(&self, program: &Program<'_>, scratch: &Path) -> Result<Vec<PathBuf>> {
        let (mut objects, mut jobs) = (Vec::new(), Vec::new());
        for (index, (file, flags)) in program.files.iter().enumerate() {
            let mut command = self.clang();
            command.args(["-O2", "-w"]).args(&program.flags).args(*flags).arg("-c").arg(file);
            let own = file.starts_with(crate::guests::repository()) || file.starts_with(scratch);
            let name = format!("{command:?} {}", blake3::hash(&fs::read(file)?));
            let object = if own {
                scratch.join(format!("{index}.o"))
            } else {
                self.objects.join(format!("{}.o", blake3::hash(name.as_bytes())))
            };
            objects.push(object.clone());
            if !object.exists() {
                let unfinished = scratch.join(format!("{index}.part"));
                command.arg("-o").arg(&unfinished);
                jobs.push((command, unfinished, object));
            }
        }
        let queue = std::sync::Mutex::new(jobs);
        let next = || queue.lock().ok().and_then(|mut queue| queue.pop());
        let work = || -> Result<()> {
            while let Some((mut command, unfinished, object)) = next() {
                output(&mut command)?;
                fs::copy(unfinished, object)?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..thread::available_parallelism()?.get()).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
        })?;
        Ok(objects)
    }

    fn clang(&self) -> Command {
        let mut command = Command::new(self.root.join("bin/clang-22"));
        let libraries = format!("{0}/lib/x86_64-linux-gnu:{0}/lib/llvm-22/lib", self.root.display());
        let path = format!("{}:{}", self.root.join("bin").display(), std::env::var("PATH").unwrap_or_default());
        command.env("LD_LIBRARY_PATH", libraries).env("PATH", path);
        command.arg("--target=wasm32-wasip1").arg(format!("--sysroot={}", self.sysroot.display()));
        command
    }
}

/// The component of a core module that imports preview 1 and the world's own functions.
pub(super) fn componentized(mut module: Vec<u8>, wit: &Path) -> Result<Vec<u8>> {
    let mut resolve = Resolve { all_features: true, ..Resolve::default() };
    let (package, _) = resolve.push_dir(wit)?;
    let world = resolve.select_world(&[package], Some("script"))?;
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let adapter = WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
    ComponentEncoder::default()
        .validate(true)
        .module(&module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter)?
        .encode()
}

/// The sources of a crate, as Cargo fetches them.
pub(super) fn crate_sources(name: &str, version: &str, tools: &Path) -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(serde::Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }
    let folder = tools.join("crates").join(name);
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "")?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nedition = \"2024\"\n[dependencies]\n{name} = {{ version = \"={version}\", default-features = false }}\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = output(Command::new(cargo).args(["metadata", "--format-version", "1"]).current_dir(&folder))?;
    let metadata: Metadata = serde_json::from_str(&told)?;
    let package = metadata.packages.into_iter().find(|package| package.name == name);
    let manifest = package.with_context(|| format!("Cargo knows no {name}"))?.manifest_path;
    ensure!(manifest.exists(), "Cargo did not fetch {name}");
    Ok(manifest.parent().unwrap_or(Path::new("")).to_owned())
}

/// A C file that holds a text.
pub(super) fn embed(text: &[u8], name: &str) -> String {
    let bytes: Vec<_> = text.iter().chain(&[0]).map(u8::to_string).collect();
    format!(
        "#include <stddef.h>\n#include <stdint.h>\nconst uint8_t {name}[] = {{{}}};\nconst size_t {name}_len = {};\n",
        bytes.join(","),
        text.len()
    )
}
