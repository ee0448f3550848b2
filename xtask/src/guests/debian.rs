//! Debian packages unpacked into a folder, by name and without root. It never installs anything into the system.
//!
//! The lists of packages are fetched into the same folder, so that neither the machine's own lists nor its `dpkg` state
//! matter. Fails where there is no apt: the guests can then not be rebuilt, and the checked-in ones still work.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// Packages of the base system that every machine with apt has; unpacked copies would only get in the way.
const PRESENT: [&str; 4] = ["libc6", "libgcc-s1", "libstdc++6", "gcc-12-base"];

/// One folder with unpacked packages and apt's own state beside them.
pub(crate) struct Unpacked {
    folder: PathBuf,
    /// A file that stands in for the machine's own lists of archives.
    sources: Option<PathBuf>,
}

impl Unpacked {
    /// Packages go to `folder/root`.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        Self::with(folder, None)
    }

    /// The same, from one archive that the machine need not know: a line as in `sources.list`.
    pub(crate) fn of(folder: &Path, archive: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let sources = folder.join("sources.list");
        std::fs::write(&sources, format!("{archive}\n"))?;
        Self::with(folder, Some(sources))
    }

    fn with(folder: &Path, sources: Option<PathBuf>) -> Result<Self> {
        for part in ["root", "lists/partial", "cache/archives/partial", "deb"] {
            std::fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let unpacked = Self { folder: folder.to_owned(), sources };
        run(unpacked.apt("apt-get").arg("update"))?;
        Ok(unpacked)
    }

    /// The packages that `name` needs to run, itself among them, without those of the base system.
    pub(crate) fn closure(&self, name: &str) -> Result<BTreeSet<String>> {
        let text = run(self.apt("apt-cache").args([
            "depends",
            "--recurse",
            "--no-recommends",
            "--no-suggests",
            "--no-conflicts",
            "--no-breaks",
            "--no-replaces",
            "--no-enhances",
            name,
        ]))?;
        // A package starts at the margin; its relations are indented, virtual ones stand in angle brackets.
        let names = text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()));
        Ok(names.filter(|name| !PRESENT.contains(name)).map(str::to_owned).collect())
    }

    /// What `name` depends on directly and starts with `prefix`: for packages whose name holds a version.
    pub(crate) fn dependency(&self, name: &str, prefix: &str) -> Result<String> {
        let text = run(self.apt("apt-cache").args(["depends", name]))?;
        let found =
            text.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).find(|dep| dep.starts_with(prefix));
        Ok(found.with_context(|| format!("{name} depends on no {prefix}*"))?.to_owned())
    }

    /// Downloads and unpacks.
    pub(crate) fn unpack(&self, names: impl IntoIterator<Item = String>) -> Result<()> {
        let deb = self.folder.join("deb");
        let names: Vec<String> = names.into_iter().collect();
        run(self.apt("apt-get").arg("download").args(&names).current_dir(&deb))?;
        for entry in std::fs::read_dir(&deb)? {
            let file = entry?.path();
            run(Command::new("dpkg").arg("-x").arg(&file).arg(self.folder.join("root")))?;
            std::fs::remove_file(&file)?;
        }
        Ok(())
    }

    /// Downloads what a package is made from: the authors' own archive, without the distribution's changes.
    pub(crate) fn source(&self, name: &str) -> Result<PathBuf> {
        let deb = self.folder.join("deb");
        run(self.apt("apt-get").args(["source", "--download-only", name]).current_dir(&deb))?;
        let mut archive = None;
        for entry in std::fs::read_dir(&deb)? {
            let file = entry?.path();
            let kept = file.file_name().is_some_and(|name| name.to_string_lossy().contains(".orig.tar."));
            if kept && file.extension().is_some_and(|ending| ending != "asc") {
                archive = Some(file);
            } else {
                std::fs::remove_file(&file)?;
            }
        }
        archive.with_context(|| format!("the source of {name} has no archive of its authors"))
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for (key, part) in [("Dir::State::lists", "lists"), ("Dir::Cache", "cache")] {
            command.arg("-o").arg(format!("{key}={}", self.folder.join(part).display()));
        }
        if let Some(sources) = &self.sources {
            command.arg("-o").arg(format!("Dir::Etc::SourceList={}", sources.display()));
            command.args(["-o", "Dir::Etc::SourceParts=/dev/null"]);
        }
        // As root, apt fetches as a user who may not enter the folder.
        command.args(["-o", "APT::Sandbox::User=", "-qq"]);
        command
    }
}

/// Runs to the end and gives what it printed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run `{program}`: is it installed?"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{program}` failed ({}): {}", output.status, errors.trim());
    String::from_utf8(output.stdout).with_context(|| format!("`{program}` printed something that is not text"))
}
