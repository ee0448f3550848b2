//! `watertight compile`: fills the cache.

use watertight::CompileCache;

use crate::{
    args::{Compile, Format},
    exit::Exit,
    failure::Failure,
    progress::CompileProgress,
    terminal::{self, Look},
};

pub(crate) fn compile(args: Compile) -> Result<(), Failure> {
    let (_, checked) = super::checked(&args.app, &args.runtimes)?;
    let folder = super::cache_folder(args.cache)?;
    let progress = CompileProgress::new(&checked.app, Look::of_stderr());
    checked.compile(CompileCache::open(&folder)?, &checked.all_roots(), &progress)?;
    let (compiled, cached) = (progress.compiled(), progress.cached());
    let unkept = progress.unkept();
    if unkept > 0 {
        let message =
            format!("{unkept} of the components were compiled, and cannot be written to {}", folder.display());
        return Err(
            Failure::new(Exit::NoCache, message).help("make room there, or choose another folder with --cache-dir")
        );
    }
    match args.format {
        Format::Text => terminal::print(&format!(
            "{}: {compiled} compiled, {cached} were there already, in {}\n",
            checked.app.name,
            folder.display()
        )),
        Format::Json => terminal::print_json(&serde_json::json!({
            "app": checked.app.name, "compiled": compiled, "cached": cached, "cache_dir": folder,
        })),
    }
}
