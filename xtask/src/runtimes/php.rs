//! PHP 8.2, from Debian's source package. No file of it is changed: what its own `configure` would find out is said in
//! `runtimes/php/config`, and what WASI's C library has not is in `runtimes/php/system`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Sources,
    clang::{Clang, Program},
    output,
};
use crate::guests::{debian::Unpacked, entries};

/// It decides the version, with the suite that it is taken from.
const PACKAGE: &str = "php8.2";

/// Where its sources are.
const ARCHIVE: &str =
    "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main";

/// Folders of the package whose C files are all compiled.
const FOLDERS: [&str; 31] = [
    "TSRM",
    "Zend",
    "Zend/Optimizer",
    "main",
    "main/streams",
    "ext/bcmath",
    "ext/bcmath/libbcmath/src",
    "ext/calendar",
    "ext/ctype",
    "ext/date",
    "ext/date/lib",
    "ext/exif",
    "ext/filter",
    "ext/hash",
    "ext/hash/murmur",
    "ext/hash/sha3/generic32lc",
    "ext/iconv",
    "ext/json",
    "ext/mbstring",
    "ext/mbstring/libmbfl/filters",
    "ext/mbstring/libmbfl/mbfl",
    "ext/mbstring/libmbfl/nls",
    "ext/pcre",
    "ext/pcre/pcre2lib",
    "ext/random",
    "ext/reflection",
    "ext/session",
    "ext/spl",
    "ext/standard",
    "ext/standard/libavifinfo",
    "ext/tokenizer",
];

/// Files for other systems, other servers, or tests of PHP's own.
const LEFT_OUT: [&str; 11] = [
    "cwd_win32.c",
    "dns_win32.c",
    "fastcgi.c",
    "internal_functions_win32.c",
    "mod_mm.c",
    "pcre2_jit_match.c",
    "pcre2_jit_misc.c",
    "pcre2_printint.c",
    "php_mbregex.c",
    "ssa_integrity.c",
    "tsrm_win32.c",
];

/// Hashes by the Keccak of these widths are not among PHP's.
const NARROW_KECCAK: [&str; 3] = ["-DKeccakP200_excluded", "-DKeccakP400_excluded", "-DKeccakP800_excluded"];

/// Random bytes are read from a file of the runtime's own: see `runtimes/php/files.c`.
const RANDOM: [&str; 1] = ["-DHAVE_DEV_URANDOM=1"];

/// Functions of the C library that the runtime's own stand in front of.
const WRAPPED: [&str; 18] = [
    "access",
    "close",
    "closedir",
    "fstat",
    "ftruncate",
    "lseek",
    "lstat",
    "mkdir",
    "open",
    "opendir",
    "read",
    "readdir",
    "rename",
    "rewinddir",
    "rmdir",
    "stat",
    "unlink",
    "write",
];

pub(super) fn build(sources: &Sources, tools: &Path, out: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let package = tools.join(PACKAGE);
    let php = source(&package)?;
    let headers = headers(sources, &package)?;
    let mut files = Vec::new();
    for folder in FOLDERS {
        for file in entries(&php.join(folder))? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".c") && !LEFT_OUT.contains(&name.as_str()) {
                let more: &[&str] = match folder {
                    "ext/hash" | "ext/hash/sha3/generic32lc" => &NARROW_KECCAK,
                    "ext/random" => &RANDOM,
                    _ => &[],
                };
                files.push((file, more));
            }
        }
    }
    // The largest take as long as a hundred of the others: they are begun first, which is from the end.
    files.sort_by_key(|(file, _)| fs::metadata(file).map_or(0, |metadata| metadata.len()));
    let shared = format!("-I{}", sources.shared().display());
    let with_shared = [shared.as_str()];
    let own = ["config/main/internal_functions.c", "files.c", "glue.c", "modules.c", "outbound.c", "system.c"];
    files.extend(own.map(|name| (sources.own.join(name), &with_shared[..])));
    files.extend(["calls.c", "folder.c", "host.c"].map(|name| (sources.shared().join(name), &[][..])));
    let wrapped = WRAPPED.map(|name| format!("-Wl,--wrap={name}"));
    let link = ["-lsetjmp", "-lwasi-emulated-signal", "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks"];
    let jumps = ["-mllvm", "-wasm-enable-sjlj", "-mllvm", "-wasm-use-legacy-eh=false"];
    let program = Program {
        files,
        flags: flags(&headers, &php, &jumps),
        link: jumps
            .into_iter()
            .chain(link)
            .chain(["-Wl,-z,stack-size=4194304"])
            .map(str::to_owned)
            .chain(wrapped)
            .collect(),
    };
    Clang::ready(tools)?.component(&program, sources, scratch.path(), out)
}

fn flags(headers: &Path, php: &Path, jumps: &[&str]) -> Vec<String> {
    let plain = [
        "-D_GNU_SOURCE",
        "-D_WASI_EMULATED_SIGNAL",
        "-D_WASI_EMULATED_GETPID",
        "-D_WASI_EMULATED_PROCESS_CLOCKS",
        "-D_WASI_EMULATED_MMAN",
        "-DHAVE_CONFIG_H",
        "-DZEND_ENABLE_STATIC_TSRMLS_CACHE=1",
        "-fno-strict-aliasing",
        "-ffp-contract=off",
        "-Wno-incompatible-function-pointer-types",
    ];
    let include = |folder: PathBuf| format!("-I{}", folder.display());
    let own = ["config", "config/main"].map(|name| include(headers.join(name)));
    let theirs = [
        "",
        "main",
        "Zend",
        "TSRM",
        "ext/date/lib",
        "ext/mbstring",
        "ext/mbstring/libmbfl",
        "ext/mbstring/libmbfl/mbfl",
        "ext/bcmath/libbcmath/src",
        "ext/pcre/pcre2lib",
        "ext/hash/sha3/generic32lc",
    ];
    let theirs = theirs.map(|name| include(php.join(name)));
    let system = ["-isystem".to_owned(), headers.join("system").display().to_string()];
    let first = ["-include".to_owned(), "wasi.h".to_owned()];
    plain.iter().chain(jumps).map(|&flag| flag.to_owned()).chain(system).chain(first).chain(own).chain(theirs).collect()
}

/// The project's headers for PHP's files, in a folder that is named after them: object files are known by the command that made them,
/// and that names neither what is in a header nor this clone.
fn headers(sources: &Sources, package: &Path) -> Result<PathBuf> {
    let mut hasher = blake3::Hasher::new();
    let mut found = Vec::new();
    for folder in ["config", "config/libmbfl", "config/main", "system"] {
        for file in entries(&sources.own.join(folder))? {
            if file.is_file() {
                let bytes = fs::read(&file)?;
                let name = file.strip_prefix(&sources.own)?.to_owned();
                hasher.update(name.as_os_str().as_encoded_bytes()).update(&bytes.len().to_le_bytes()).update(&bytes);
                found.push((name, bytes));
            }
        }
    }
    let into = package.join(format!("headers-{}", &hasher.finalize().to_hex()[..16]));
    for (name, bytes) in found {
        let file = into.join(name);
        fs::create_dir_all(file.parent().unwrap_or(&into))?;
        fs::write(file, bytes)?;
    }
    Ok(into)
}

/// The folder of the sources, fetched and unpacked if they are not there yet.
fn source(folder: &Path) -> Result<PathBuf> {
    let unpacked = |folder: &Path| -> Result<Option<PathBuf>> {
        let found = entries(folder)?;
        Ok(found.into_iter().find(|path| path.join("main/main.c").is_file()))
    };
    let into = folder.join("source");
    if into.is_dir()
        && let Some(found) = unpacked(&into)?
    {
        return Ok(found);
    }
    let archive = Unpacked::of(folder, ARCHIVE)?.source(PACKAGE)?;
    let unfinished = folder.join("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let _ = fs::remove_dir_all(&into);
    fs::create_dir_all(&unfinished)?;
    output(Command::new("tar").arg("-xf").arg(&archive).arg("-C").arg(&unfinished))?;
    fs::remove_file(&archive)?;
    ensure!(unpacked(&unfinished)?.is_some(), "{} holds no PHP", archive.display());
    fs::rename(&unfinished, &into)?;
    unpacked(&into)?.context("PHP's sources are gone again")
}
