//! `cargo xtask runtimes`: builds the language runtimes of `runtimes/` from packages, and adds them to the folder of runtimes.
//!
//! Toolchains are installed by package name into `$WATERTIGHT_TOOLCHAINS` (default `~/.cache/watertight/toolchains`), never into the
//! repository. What was built from the same sources already is left as it is. It never runs a script.

mod clang;
mod javascript;
mod linked;
mod lua;
mod module;
mod php;
mod python;
mod ruby;
mod static_files;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::guests::{debian::run as output, entries, repository, tools_folder};

/// What `cargo xtask runtimes` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Runtimes to build; all of them by default
    names: Vec<String>,
    /// Folder that they are added to; the one where `watertight` looks by default
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Also install the packages that tests of the languages use
    #[arg(long)]
    for_tests: bool,
    /// Add them with the release build of watertight, which is built if need be; else with that of the tests
    #[arg(long)]
    release: bool,
    /// List the runtimes and build nothing
    #[arg(long)]
    list: bool,
    /// Build also what was built from the same sources
    #[arg(long)]
    force: bool,
}

/// Builds a runtime's component: its sources, the tools' folder, and the file to write.
type Build = fn(&Sources, &Path, &Path) -> Result<()>;

const RUNTIMES: [(&str, Build); 6] = [
    ("javascript", javascript::build),
    ("lua", lua::build),
    ("php", php::build),
    ("python", python::build),
    ("ruby", ruby::build),
    ("static", static_files::build),
];

/// Where a runtime's sources are.
struct Sources {
    /// `runtimes/NAME`.
    own: PathBuf,
    /// What all of them share.
    wit: PathBuf,
    /// WASI.
    wasi: PathBuf,
}

/// Builds all of them, with what tests need, and adds them where the tests look.
pub(crate) fn for_tests() -> Result<()> {
    run(&Args { names: Vec::new(), to: None, for_tests: true, release: false, list: false, force: false })
}

/// Builds and adds.
#[expect(clippy::print_stdout, reason = "what was built is the output of this chore")]
pub(crate) fn run(args: &Args) -> Result<()> {
    for name in &args.names {
        let known = RUNTIMES.iter().any(|(known, _)| known == name);
        ensure!(known, "there is no runtime `{name}`; `cargo xtask runtimes --list` shows all");
    }
    let repository = repository();
    let tools = tools_folder()?.join("runtimes");
    for (name, build) in
        RUNTIMES.iter().filter(|(name, _)| args.names.is_empty() || args.names.iter().any(|n| n == name))
    {
        if args.list {
            println!("{name}");
            continue;
        }
        let sources = Sources {
            own: repository.join("runtimes").join(name),
            wit: repository.join("runtimes/wit"),
            wasi: repository.join("guests/wit/deps"),
        };
        let built = tools.join("built");
        fs::create_dir_all(&built)?;
        let stamp = sources.stamp(&repository)?;
        let stamped = built.join(format!("{name}.stamp"));
        let component = built.join(format!("{name}.wasm"));
        if args.force || fs::read_to_string(&stamped).ok().as_ref() != Some(&stamp) || !component.exists() {
            let began = std::time::Instant::now();
            build(&sources, &tools, &component).with_context(|| format!("the runtime {name} does not build"))?;
            fs::copy(sources.own.join("runtime.toml"), built.join(format!("{name}.toml")))?;
            fs::write(&stamped, &stamp)?;
            println!("{name}: built in {} s", began.elapsed().as_secs());
        }
        add(&built.join(format!("{name}.toml")), args)?;
        if args.for_tests && *name == "python" {
            python::packages_for_tests(&folder(args.to.as_deref())?.join("test-packages/python"))?;
        }
    }
    Ok(())
}

/// Has `watertight runtime add` take its part.
#[expect(clippy::print_stdout, reason = "where it is now is the output of this chore")]
fn add(toml: &Path, args: &Args) -> Result<()> {
    // Each with the features that it is built with otherwise: else Wasmtime would be compiled once more.
    let build: &[&str] = if args.release { &["--release"] } else { &["--workspace", "--bins"] };
    let mut building = crate::cargo();
    building.current_dir(repository()).args(["build", "--quiet"]).args(build);
    ensure!(building.status()?.success(), "watertight does not build");
    let chores = std::env::current_exe().context("where is this chore?")?;
    let profile = if args.release { "../release/watertight" } else { "watertight" };
    let mut command = Command::new(chores.with_file_name(profile));
    command.args(["runtime", "add"]).arg(toml);
    command.arg("--runtimes").arg(folder(args.to.as_deref())?);
    print!("{}", output(&mut command)?);
    Ok(())
}

/// Where runtimes are added.
fn folder(to: Option<&Path>) -> Result<PathBuf> {
    let named = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = to
        .map(Path::to_owned)
        .or_else(|| named("WATERTIGHT_RUNTIMES"))
        .or_else(|| named("XDG_DATA_HOME").map(|data| data.join("watertight/runtimes")))
        .or_else(|| named("HOME").map(|home| home.join(".local/share/watertight/runtimes")));
    Ok(std::path::absolute(folder.context("HOME is not set")?)?)
}

impl Sources {
    /// What the runtimes in C share.
    fn shared(&self) -> PathBuf {
        self.wit.with_file_name("shared")
    }

    /// What tells these sources from others.
    fn stamp(&self, repository: &Path) -> Result<String> {
        let mut hasher = blake3::Hasher::new();
        for folder in [&self.own, &self.wit, &self.wasi, &self.shared(), &repository.join("xtask/src/runtimes")] {
            for file in files(folder)? {
                let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
                hasher.update(file.strip_prefix(repository)?.as_os_str().as_encoded_bytes());
                hasher.update(&bytes.len().to_le_bytes()).update(&bytes);
            }
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The world and WASI in one folder, as generators of bindings want it.
    fn wit_folder(&self, at: &Path) -> Result<()> {
        fs::create_dir_all(at.join("deps"))?;
        for (from, to) in [(&self.wit, at), (&self.wasi, &at.join("deps"))] {
            for file in entries(from)? {
                fs::copy(&file, to.join(file.file_name().unwrap_or_default()))?;
            }
        }
        Ok(())
    }
}

/// Every file below a folder, in a fixed order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in entries(&folder)? {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    if found.is_empty() {
        bail!("there is nothing in {}", folder.display());
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_has_its_sources_and_every_source_its_runtime() {
        let runtimes = repository().join("runtimes");
        for (name, _) in RUNTIMES {
            assert!(runtimes.join(name).join("runtime.toml").is_file(), "{name}");
        }
        for folder in entries(&runtimes).expect("there are runtimes") {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let known = ["wit", "shared"].contains(&name.as_str()) || RUNTIMES.iter().any(|(known, _)| *known == name);
            assert!(known, "nothing builds runtimes/{name}");
        }
    }
}
