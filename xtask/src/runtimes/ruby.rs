//! CRuby, as npm has it: one core module that is linked already, with its standard library in it, made for JavaScript hosts.
//!
//! The glue in C is linked to lie above Ruby in the same memory, Ruby's imports are led to it where it has a function for them, and
//! binaryen makes one module of both. From there on it is a runtime as the others in C.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result};

use super::{
    Sources,
    clang::{Clang, Program, embed},
    module::{Module, PAGE},
    output,
};

/// Room for the glue's data and stack, in pages.
const ROOM: u32 = 4;

/// What the world wants of the module; all else that Ruby exports is for JavaScript.
const EXPORTS: [&str; 5] =
    ["memory", "cabi_realloc", "prepare", "wasi:cli/run@0.2.12#run", "wasi:http/incoming-handler@0.2.12#handle"];

/// What Ruby and the glue are made of. All that binaryen knows would be more than engines do.
const FEATURES: [&str; 7] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

/// When it starts, Ruby asks `mmap` for a cache of 16,777,216 entries of 16 bytes, for objects with many variables. Elsewhere those are
/// addresses and no memory; here all of it would be memory, zeroed, in each cell.
const CACHE_OF_SHAPES: [u8; 7] = [0x41, 0x80, 0x80, 0x80, 0x08, 0x41, 16];

/// 133,169,152 entries of 32 bytes are more than there can be, and Ruby goes on without.
const NO_CACHE_OF_SHAPES: [u8; 7] = [0x41, 0x80, 0x80, 0xc0, 0x3f, 0x41, 32];

/// The files in Ruby, as they are loaded.
const BOOT: [&str; 5] = ["sockets.rb", "boot.rb", "rack.rb", "outbound.rb", "modules.rb"];

pub(super) fn build(sources: &Sources, tools: &Path, out: &Path) -> Result<()> {
    let packages = installed(&sources.own, tools)?;
    let path = packages.join("@ruby/4.0-wasm-wasi/dist/ruby+stdlib.wasm");
    let mut ruby = Module::parse(&fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?)?;
    let pages = ruby.memory_pages()?;
    ruby.set_memory_pages(pages + ROOM)?;
    ruby.patch_code(&CACHE_OF_SHAPES, &NO_CACHE_OF_SHAPES).context("another Ruby: look at `Init_default_shapes`")?;

    let scratch = tempfile::tempdir()?;
    let boot = scratch.path().join("boot_rb.c");
    fs::write(&boot, embed(boot_text(&sources.own)?.as_bytes(), "boot_rb"))?;
    let program = Program {
        // Its `calloc` must not be taken for a call of `calloc`.
        files: vec![
            (sources.own.join("glue.c"), &["-fno-builtin"]),
            (boot, &[]),
            (sources.shared().join("calls.c"), &[]),
            (sources.shared().join("host.c"), &[]),
        ],
        flags: vec!["-D_GNU_SOURCE".to_owned(), format!("-I{}", sources.shared().display())],
        link: vec![
            "-nostartfiles".to_owned(),
            "-Wl,--no-entry,--import-memory,--no-stack-first,-z,stack-size=65536".to_owned(),
            format!("-Wl,--global-base={},--initial-memory={}", pages * PAGE, (pages + ROOM) * PAGE),
        ],
    };
    let clang = Clang::ready(tools)?;
    let mut glue = Module::parse(&clang.module(&program, scratch.path())?)?;
    let own: BTreeSet<String> = glue.exports()?.into_iter().collect();
    // The glue has its own for the host, which ends there.
    ruby.map_exports(|name| Some(if name == "cabi_realloc" { "realloc" } else { name }.to_owned()))?;
    ruby.map_imports(|module, name| if own.contains(name) { "glue" } else { module }.to_owned())?;
    glue.map_imports(|module, _| if module == "env" { "ruby" } else { module }.to_owned())?;

    let at = |name: &str| scratch.path().join(name);
    fs::write(at("ruby.wasm"), ruby.encode())?;
    fs::write(at("glue.wasm"), glue.encode())?;
    let mut merge = Command::new(packages.join(".bin/wasm-merge"));
    merge.args(FEATURES).args(["glue.wasm", "glue", "ruby.wasm", "ruby", "-o", "both.wasm"]);
    output(merge.current_dir(scratch.path()))?;
    let mut both = Module::parse(&fs::read(at("both.wasm"))?)?;
    both.map_exports(|name| EXPORTS.contains(&name).then(|| name.to_owned()))?;
    Clang::finish(both.encode(), sources, scratch.path(), out)
}

/// One text that loads each of the files under a name that tracebacks know it by.
fn boot_text(own: &Path) -> Result<String> {
    let mut text = "begin\n".to_owned();
    for name in BOOT {
        let source = fs::read_to_string(own.join(name))?;
        write!(text, "eval(<<'END OF FILE', TOPLEVEL_BINDING, '/watertight/{name}')\n{source}END OF FILE\n")?;
    }
    text.push_str("rescue Exception => error\n$stderr.write(error.full_message(highlight: false))\nraise\nend\n");
    Ok(text)
}

/// The packages, by what decides their versions.
fn installed(own: &Path, tools: &Path) -> Result<std::path::PathBuf> {
    let lock = fs::read(own.join("package-lock.json"))?;
    let folder = tools.join("ruby").join(&blake3::hash(&lock).to_hex()[..16]);
    let packages = folder.join("node_modules");
    if !packages.join(".package-lock.json").exists() {
        fs::create_dir_all(&folder)?;
        for name in ["package.json", "package-lock.json"] {
            fs::copy(own.join(name), folder.join(name))?;
        }
        let quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--silent"];
        output(Command::new("npm").arg("ci").args(quiet).current_dir(&folder))?;
    }
    Ok(packages)
}
