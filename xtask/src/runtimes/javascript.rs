//! QuickJS-ng, from the crate that carries its source, with the globals of the web bundled by esbuild from npm.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};

use super::{
    Sources,
    clang::{Clang, Program, crate_sources, embed},
    output,
};

/// It decides the version of QuickJS-ng.
const CRATE: (&str, &str) = ("rquickjs-sys", "0.14.0");

const ENGINE: [&str; 3] = ["libregexp.c", "libunicode.c", "dtoa.c"];

/// What is changed of `quickjs.c`: see `immortal.c`, which follows it. What memory held before is no count.
const CHANGES: [(&str, &str); 3] = [
    (
        "#define JS_REF_COUNT(p) (js_rc(p)->ref_count)",
        "#define IMMORTAL (1 << 30)
        static int js_immortal;
        static inline int *js_count(JSMallocBlockHeader *b) {
            if (likely(b->ref_count < IMMORTAL)) return &b->ref_count;
            js_immortal = IMMORTAL;
            return &js_immortal;
        }
        #define JS_REF_COUNT(p) (*js_count(js_rc(p)))",
    ),
    ("b->u.block_idx = block_idx;", "b->u.block_idx = block_idx; b->ref_count = 0;"),
    (" b->block_size_idx = 0xff; /* fail safe */", " b->block_size_idx = 0xff; b->ref_count = 0;"),
];

pub(super) fn build(sources: &Sources, tools: &Path, out: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let engine = crate_sources(CRATE.0, CRATE.1, tools)?.join("quickjs");
    let bundle = bundled(&sources.own, scratch.path())?;
    let web = scratch.path().join("web_js.c");
    fs::write(&web, embed(&bundle, "web_js"))?;
    let changed = tools.join("quickjs-immortal.c");
    fs::write(&changed, immortal(&engine, &sources.own)?)?;
    let mut files: Vec<_> = ENGINE.iter().map(|name| (engine.join(name), &[][..])).collect();
    files.push((changed, &[]));
    let own = ["glue.c", "modules.c"].map(|name| (sources.own.join(name), &[][..]));
    let shared = ["calls.c", "host.c"].map(|name| (sources.shared().join(name), &[][..]));
    files.extend(own.into_iter().chain(shared).chain([(web, &[][..])]));
    let include = |folder: &Path| format!("-I{}", folder.display());
    let flags = ["-D_GNU_SOURCE", "-DQUICKJS_NG_BUILD", "-D_WASI_EMULATED_SIGNAL", "-D_WASI_EMULATED_PROCESS_CLOCKS"];
    let program = Program {
        files,
        flags: flags.map(str::to_owned).into_iter().chain([include(&engine), include(&sources.shared())]).collect(),
        link: ["-lwasi-emulated-signal", "-lwasi-emulated-process-clocks", "-Wl,-z,stack-size=1048576"]
            .map(str::to_owned)
            .into(),
    };
    Clang::ready(tools)?.component(&program, sources, scratch.path(), out)
}

/// The engine with [`CHANGES`], and what makes use of them.
fn immortal(engine: &Path, own: &Path) -> Result<String> {
    let mut source = fs::read_to_string(engine.join("quickjs.c"))?;
    for (from, to) in CHANGES {
        ensure!(
            source.contains(from),
            "this release of QuickJS-ng has no line `{from}`: see runtimes/javascript/immortal.c"
        );
        source = source.replace(from, to);
    }
    Ok(source + &fs::read_to_string(own.join("immortal.c"))?)
}

/// `web.js` and what it imports, in one script.
fn bundled(from: &Path, scratch: &Path) -> Result<Vec<u8>> {
    for name in ["package.json", "package-lock.json", "web.js"] {
        fs::copy(from.join(name), scratch.join(name))?;
    }
    let quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--silent"];
    output(Command::new("npm").arg("ci").args(quiet).current_dir(scratch))?;
    let mut esbuild = Command::new(scratch.join("node_modules/.bin/esbuild"));
    esbuild.args([
        "web.js",
        "--bundle",
        "--minify",
        "--keep-names",
        "--format=iife",
        "--target=es2022",
        "--log-level=error",
    ]);
    output(esbuild.arg("--outfile=bundle.js").current_dir(scratch))?;
    Ok(fs::read(scratch.join("bundle.js"))?)
}
