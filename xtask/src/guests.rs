//! `cargo xtask guests`: rebuilds the checked-in `.wasm` files of `guests/` and `examples/` from their sources.
//!
//! Toolchains are installed by package name into `$WATERTIGHT_TOOLCHAINS` (default `~/.cache/watertight/toolchains`), never into the
//! system and never into the repository. A file that would carry a path of the building machine is not written.

pub(crate) mod debian;
mod encode;
mod rust;
mod script;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

/// What `cargo xtask guests` was asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Guests to rebuild, by name or by folder (`press`); all of them by default
    names: Vec<String>,
    /// List the guests and build nothing
    #[arg(long)]
    list: bool,
}

/// One checked-in file and where it comes from.
struct Guest {
    name: String,
    source: Source,
    out: PathBuf,
}

enum Source {
    /// A `.wat` file.
    Wat(PathBuf),
    /// A package of a Cargo workspace.
    Rust { workspace: PathBuf, package: String },
    /// A folder with a `package.json`.
    Script(PathBuf),
}

/// Rebuilds and prints sizes.
#[expect(clippy::print_stdout, reason = "the table is the output of this chore")]
pub(crate) fn run(args: &Args) -> Result<()> {
    let repository = repository();
    let guests = chosen(all(&repository)?, &args.names)?;
    if !args.list {
        build(&guests, &repository)?;
    }
    for guest in &guests {
        let size = std::fs::metadata(&guest.out)
            .map(|data| format!("{:>9}", data.len()))
            .unwrap_or_else(|_| "  missing".into());
        println!("{size}  {}", guest.name);
    }
    Ok(())
}

fn build(guests: &[Guest], repository: &Path) -> Result<()> {
    let tools = tools_folder()?;
    let remap = [(cargo_home()?, "/cargo"), (repository.to_owned(), "/watertight")];
    let (mut rust, mut scripts) = (None, None);
    for guest in guests {
        let bytes = match &guest.source {
            Source::Wat(file) => encode::wat(file, &repository.join("guests"))?,
            Source::Rust { workspace, package } => {
                let toolchain = match &rust {
                    Some(toolchain) => toolchain,
                    None => rust.insert(rust::Toolchain::ready(&tools)?),
                };
                let built = toolchain.build(workspace, package, &remap)?;
                let module = std::fs::read(&built).with_context(|| format!("cargo built no {}", built.display()))?;
                encode::module(&module).with_context(|| format!("{} makes no component", guest.name))?
            }
            Source::Script(folder) => {
                let tools = match &scripts {
                    Some(tools) => tools,
                    None => scripts.insert(script::Tools::ready(&tools)?),
                };
                tools.build(folder, &folder.join("../../wit"))?
            }
        };
        write(&guest.out, &bytes, repository, &tools)?;
    }
    Ok(())
}

/// Unpacks the compiler of Rust guests, where it is not yet.
pub(crate) fn rust_ready(tools: &Path) -> Result<()> {
    rust::Toolchain::ready(tools).map(drop)
}

/// Runs an installer to its end.
pub(crate) fn installed_by(command: &mut std::process::Command) -> Result<()> {
    debian::run(command).map(drop)
}

/// Every guest there is, in the order of their names.
fn all(repository: &Path) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for file in entries(&repository.join("guests/src/wat"))? {
        if file.extension().is_some_and(|extension| extension == "wat") {
            let name = stem(&file);
            guests.push(Guest {
                out: repository.join(format!("guests/built/{name}.wasm")),
                source: Source::Wat(file),
                name,
            });
        }
    }
    let roots = [
        ("", repository.join("guests/src/rust"), repository.join("guests/built")),
        ("press/", repository.join("examples/press/src"), repository.join("examples/press")),
    ];
    for (prefix, workspace, out) in roots {
        for folder in entries(&workspace)? {
            let package = stem(&folder);
            // A crate that only others use has no component to give.
            let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
            let source = if manifest.contains("cdylib") {
                Source::Rust { workspace: workspace.clone(), package: package.clone() }
            } else if folder.join("package.json").exists() {
                Source::Script(folder)
            } else {
                continue;
            };
            guests.push(Guest { name: format!("{prefix}{package}"), source, out: out.join(format!("{package}.wasm")) });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(guests)
}

fn chosen(guests: Vec<Guest>, names: &[String]) -> Result<Vec<Guest>> {
    let is = |guest: &Guest, name: &str| guest.name == name || guest.name.starts_with(&format!("{name}/"));
    for name in names {
        if !guests.iter().any(|guest| is(guest, name)) {
            bail!("there is no guest `{name}`; `cargo xtask guests --list` shows all");
        }
    }
    Ok(guests.into_iter().filter(|guest| names.is_empty() || names.iter().any(|name| is(guest, name))).collect())
}

fn write(out: &Path, bytes: &[u8], repository: &Path, tools: &Path) -> Result<()> {
    let mut paths = machine_paths(repository);
    paths.push(tools.display().to_string());
    let found = leaked(bytes, &paths);
    ensure!(found.is_empty(), "{} would carry paths of this machine: {}", out.display(), found.join(", "));
    std::fs::write(out, bytes).with_context(|| format!("cannot write {}", out.display()))
}

/// Texts that must not be in a built file: folders where people build, and those of this machine.
fn machine_paths(repository: &Path) -> Vec<String> {
    let mut paths: Vec<String> = ["/home/", "/root/", "/Users/", "\\Users\\"].map(str::to_owned).into();
    paths.push(repository.display().to_string());
    paths.extend(cargo_home().ok().map(|home| home.display().to_string()));
    paths
}

fn leaked(bytes: &[u8], paths: &[String]) -> Vec<String> {
    let holds = |path: &&String| bytes.windows(path.len()).any(|window| window == path.as_bytes());
    paths.iter().filter(holds).cloned().collect()
}

pub(crate) fn tools_folder() -> Result<PathBuf> {
    match std::env::var_os("WATERTIGHT_TOOLCHAINS") {
        Some(folder) => Ok(folder.into()),
        None => Ok(home()?.join(".cache/watertight/toolchains")),
    }
}

fn cargo_home() -> Result<PathBuf> {
    std::env::var_os("CARGO_HOME").map_or_else(|| Ok(home()?.join(".cargo")), |folder| Ok(folder.into()))
}

fn home() -> Result<PathBuf> {
    Ok(std::env::var_os("HOME").context("HOME is not set")?.into())
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The entries of a folder; none if it does not exist.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let read = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    read.map(|entry| Ok(entry?.path())).collect()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guest_is_checked_in_and_carries_no_path_of_a_building_machine() {
        let repository = repository();
        let guests = all(&repository).expect("the guests are listed");
        assert!(!guests.is_empty());
        let paths = machine_paths(&repository);
        for guest in guests {
            let bytes = std::fs::read(&guest.out).unwrap_or_else(|error| {
                panic!("{}: {error}; run `cargo xtask guests {}`", guest.out.display(), guest.name)
            });
            assert_eq!(leaked(&bytes, &paths), Vec::<String>::new(), "{}", guest.name);
        }
    }

    #[test]
    fn every_checked_in_guest_has_a_source() {
        let repository = repository();
        let known: Vec<PathBuf> =
            all(&repository).expect("the guests are listed").into_iter().map(|guest| guest.out).collect();
        for folder in ["guests/built", "examples/press"] {
            for file in entries(&repository.join(folder)).expect("the folder is listed") {
                let stray = file.extension().is_some_and(|extension| extension == "wasm") && !known.contains(&file);
                assert!(!stray, "{} has no source", file.display());
            }
        }
    }

    #[test]
    fn the_readme_lists_every_guest() {
        let repository = repository();
        let readme = std::fs::read_to_string(repository.join("guests/README.md")).expect("there is a README");
        for guest in all(&repository).expect("the guests are listed") {
            let named = guest.name.contains('/') || readme.contains(&format!("`{}`", guest.name));
            assert!(named, "guests/README.md does not name `{}`", guest.name);
        }
    }

    #[test]
    fn a_path_is_found_wherever_it_is() {
        let paths = ["/home/".to_owned()];
        assert_eq!(leaked(b"\0asm /home/someone/src", &paths), paths);
        assert!(leaked(b"\0asm", &paths).is_empty());
    }
}
