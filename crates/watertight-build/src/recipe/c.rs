//! C: clang with a C library for WASI. The bindings are made here, on the way; `NAME.h` of the world `NAME` can be included.
//!
//! All `.c` files of the folder are compiled, or the one that `main` names.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use wit_bindgen_core::Files;

use super::{Site, absolute, missing};
use crate::{
    cancel::Cancel,
    encode,
    make::{BuildError, run},
    tools::find,
    wit::{self, World},
};

/// What a compiler must be able to do.
const PROBE: &str = "#include <stdlib.h>\nint main(void) { return atoi(\"0\"); }\n";

#[derive(Debug)]
pub(crate) struct Kit {
    clang: PathBuf,
}

impl Kit {
    pub(super) fn find() -> Result<Self, BuildError> {
        let sdk = std::env::var_os("WASI_SDK_PATH").map_or_else(|| PathBuf::from("/opt/wasi-sdk"), PathBuf::from);
        let get = ["apt install clang lld wasi-libc libclang-rt-dev-wasm32".to_owned()];
        let Some(clang) = find(&["clang"], &[sdk.join("bin")]) else {
            return Err(missing("clang", "compiles C for WebAssembly, with a linker and a C library for it", get));
        };
        // It may be there without the rest.
        match probe(&clang) {
            None => Ok(Self { clang }),
            Some(why) => Err(missing("clang's linker and C library for WebAssembly", &why, get)),
        }
    }

    pub(super) fn make(&self, site: &Site<'_>) -> Result<(), BuildError> {
        let world = wit::read(site.wit, site.world).map_err(BuildError::Wit)?;
        let bindings = bindings(world)?;
        let mut generated = Vec::new();
        for (name, content) in bindings.iter() {
            let path = site.scratch.join(name);
            fs::write(&path, content).map_err(|error| BuildError::Write { path: path.clone(), error })?;
            if !name.ends_with(".h") {
                generated.push(path);
            }
        }
        let sources = match site.main {
            Some(main) => vec![main.to_owned()],
            None => sources(site.folder)?,
        };
        let module = site.scratch.join("module.wasm");
        let mut compile = Command::new(&self.clang);
        compile.current_dir(site.folder).args(ARGUMENTS).args(["-Os", "-s", "-Wall", "-I."]);
        compile.arg("-I").arg(site.scratch).args(sources).args(generated).arg("-o").arg(&module);
        run(&mut compile, site.cancel)?;
        let bytes = fs::read(&module).map_err(|error| BuildError::Write { path: module.clone(), error })?;
        let bytes = encode::component(&bytes).map_err(BuildError::Wit)?;
        fs::write(site.output, bytes).map_err(|error| BuildError::Write { path: site.output.to_owned(), error })
    }
}

/// A library that is started by `_initialize`, for WASI.
const ARGUMENTS: [&str; 2] = ["--target=wasm32-wasi", "-mexec-model=reactor"];

/// The C of a world's imports and exports.
pub(crate) fn bindings(World { mut resolve, world, .. }: World) -> Result<Files, BuildError> {
    let mut files = Files::default();
    let mut generator = wit_bindgen_c::Opts::default().build();
    let made = generator.generate(&mut resolve, world, &mut files);
    made.map_err(|error| BuildError::Wit(format!("{error:#}")))?;
    Ok(files)
}

fn sources(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let entries = fs::read_dir(folder).map_err(|error| BuildError::Write { path: folder.to_owned(), error })?;
    let names = entries.flatten().map(|entry| PathBuf::from(entry.file_name()));
    let mut sources: Vec<_> = names.filter(|name| name.extension().is_some_and(|kind| kind == "c")).collect();
    sources.sort();
    if sources.is_empty() {
        return Err(BuildError::Wit(format!("there is no .c file in {}", absolute(folder).display())));
    }
    Ok(sources)
}

/// What a small program says that cannot be compiled.
fn probe(clang: &Path) -> Option<String> {
    let try_it = || -> std::io::Result<Option<String>> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("probe.c"), PROBE)?;
        let mut command = Command::new(clang);
        command.current_dir(folder.path()).args(ARGUMENTS).args(["probe.c", "-o", "probe.wasm"]);
        let ran = Cancel::default().run(&mut command)?;
        Ok(ran.filter(|ran| !ran.status.success()).map(|ran| ran.output))
    };
    let said = try_it().unwrap_or_else(|error| Some(error.to_string()))?;
    let line = said.lines().find(|line| line.contains("error")).unwrap_or("it does not say why");
    Some(format!("clang cannot make a small program: {}", line.trim()))
}
