//! `cargo xtask tidy`: the rules of this repository that no compiler checks. It reads files, changes none, and tells every
//! breach at once, with its place.
//!
//! Each rule is a function from a [`Tree`] of texts to breaches, so that its test is a small tree that breaks it.

mod bare;
mod dependencies;
mod documents;
mod grants;
mod layout;
mod purity;
mod unsafe_code;

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result, bail};

/// One rule that is broken in one place.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Breach {
    /// File, or file and line.
    place: String,
    /// What is wrong, and the next step.
    what: String,
}

/// The repository's texts.
struct Tree {
    files: Vec<File>,
}

/// One text.
struct File {
    /// From the repository's root, with `/` between folders.
    path: String,
    text: String,
}

/// Folders that are not the project's own.
const SKIPPED: [&str; 5] = [".git", "artifacts", "corpus", "node_modules", "target"];

/// Tells every breach, and fails if there is one.
#[expect(clippy::print_stdout, reason = "the breaches are the output of this chore")]
pub(crate) fn run() -> Result<()> {
    let repository = crate::guests::repository();
    let tree = Tree::read(&repository)?;
    let mut breaches = Vec::new();
    breaches.extend(unsafe_code::check(&tree));
    breaches.extend(dependencies::check(&dependencies::packages(&repository)?));
    breaches.extend(purity::check(&tree));
    breaches.extend(grants::check(&tree));
    breaches.extend(layout::check(&tree, &repository.display().to_string()));
    breaches.extend(documents::check(&tree, &repository));
    breaches.sort();
    for breach in &breaches {
        println!("{breach}");
    }
    match breaches.len() {
        0 => println!("{} files are tidy", tree.files.len()),
        n => bail!("{n} breaches of the rules in xtask/src/tidy.rs"),
    }
    Ok(())
}

impl Tree {
    /// Reads every text below a folder; what is not UTF-8 is no text.
    fn read(root: &Path) -> Result<Self> {
        let mut files = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
                let entry = entry?;
                let (path, kind) = (entry.path(), entry.file_type()?);
                if kind.is_dir() && !SKIPPED.iter().any(|name| entry.file_name() == *name) {
                    folders.push(path);
                } else if kind.is_file()
                    && let Ok(text) = String::from_utf8(fs::read(&path).unwrap_or_default())
                {
                    let path = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                    files.push(File { path, text });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    fn find(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The Rust of the workspace: guests and examples have rules of their own.
    fn rust(&self) -> impl Iterator<Item = &File> {
        let ours = |path: &str| ["crates/", "xtask/", "fuzz/"].iter().any(|folder| path.starts_with(folder));
        self.files.iter().filter(move |file| ours(&file.path) && file.path.ends_with(".rs"))
    }
}

impl File {
    fn breach(&self, line: usize, what: impl Into<String>) -> Breach {
        Breach { place: format!("{}:{line}", self.path), what: what.into() }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Where a byte of a text is, as people count lines.
fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The code before the tests at the end of a file.
fn shipped(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod ").next().unwrap_or(code)
}

/// For the tests of the rules: a tree of made-up files.
#[cfg(test)]
fn tree(files: &[(&str, &str)]) -> Tree {
    let file = |(path, text): &(&str, &str)| File { path: (*path).to_owned(), text: (*text).to_owned() };
    Tree { files: files.iter().map(file).collect() }
}

/// For the tests of the rules: places and texts in one line each.
#[cfg(test)]
fn told(breaches: Vec<Breach>) -> Vec<String> {
    breaches.iter().map(Breach::to_string).collect()
}
