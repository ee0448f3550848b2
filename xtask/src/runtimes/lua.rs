//! Lua 5.4, from the crate that carries its source.

use std::path::Path;

use anyhow::Result;

use super::{
    Sources,
    clang::{Clang, Program, crate_sources},
};
use crate::guests::entries;

/// It decides the version of Lua.
const CRATE: (&str, &str, &str) = ("lua-src", "551.1.0", "lua-5.4.9");

pub(super) fn build(sources: &Sources, tools: &Path, out: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let engine = crate_sources(CRATE.0, CRATE.1, tools)?.join(CRATE.2);
    // The two programs, which have a `main` each.
    let left_out = |name: &str| ["lua.c", "luac.c", "onelua.c", "ltests.c"].contains(&name);
    let mut files = Vec::new();
    for file in entries(&engine)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".c") && !left_out(&name) {
            files.push((file, &[][..]));
        }
    }
    files.sort();
    let own = ["glue.c", "modules.c"].map(|name| (sources.own.join(name), &[][..]));
    files.extend(own.into_iter().chain(["calls.c", "host.c"].map(|name| (sources.shared().join(name), &[][..]))));
    let flags = [
        "-D_GNU_SOURCE",
        "-D_WASI_EMULATED_SIGNAL",
        "-D_WASI_EMULATED_PROCESS_CLOCKS",
        // There are no temporary files.
        "-DLUA_TMPNAMBUFSIZE=1",
        "-Dlua_tmpnam(b,e)=(e=1)",
        // Lua's errors are jumps, and those are exceptions of WebAssembly.
        "-mllvm",
        "-wasm-enable-sjlj",
        "-mllvm",
        "-wasm-use-legacy-eh=false",
    ];
    let include = |folder: &Path| format!("-I{}", folder.display());
    let link = [
        "-mllvm",
        "-wasm-enable-sjlj",
        "-mllvm",
        "-wasm-use-legacy-eh=false",
        "-lsetjmp",
        "-lwasi-emulated-signal",
        "-lwasi-emulated-process-clocks",
        "-Wl,-z,stack-size=1048576",
    ];
    let program = Program {
        files,
        flags: flags.map(str::to_owned).into_iter().chain([include(&engine), include(&sources.shared())]).collect(),
        link: link.map(str::to_owned).into(),
    };
    Clang::ready(tools)?.component(&program, sources, scratch.path(), out)
}
