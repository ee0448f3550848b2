//! What serves the files of a folder: a small program in C of the project's own.

use std::path::Path;

use anyhow::Result;

use super::{
    Sources,
    clang::{Clang, Program},
};

pub(super) fn build(sources: &Sources, tools: &Path, out: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let program = Program {
        files: ["folder.c", "host.c"]
            .map(|name| sources.shared().join(name))
            .into_iter()
            .chain([sources.own.join("glue.c")])
            .map(|file| (file, &[][..]))
            .collect(),
        flags: vec!["-D_GNU_SOURCE".to_owned(), format!("-I{}", sources.shared().display())],
        link: Vec::new(),
    };
    Clang::ready(tools)?.component(&program, sources, scratch.path(), out)
}
