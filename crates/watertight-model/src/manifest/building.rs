//! What a manifest says of how a component is made.

use std::path::{Component, Path, PathBuf};

use super::{
    At, path_fits,
    reader::{Reader, Table},
    without_nul,
};
use crate::problem::{Code, Problem};

/// How a component is made from something else. Paths are relative to `folder`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSpec {
    /// What makes it.
    pub maker: Maker,
    /// Where it is made, relative to the manifest.
    pub folder: PathBuf,
    /// Files and folders that it is made from; none if the manifest does not say.
    pub inputs: Vec<PathBuf>,
}

/// What makes a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A program and its arguments.
    Command {
        /// At least the program.
        command: Vec<String>,
        /// The file that it writes, if not where it is told to.
        output: Option<PathBuf>,
    },
    /// The usual tools of a language.
    Recipe {
        /// The language.
        recipe: Recipe,
        /// The file it begins with.
        main: Option<PathBuf>,
        /// The folder of its WIT.
        wit: PathBuf,
        /// The world in it.
        world: Option<String>,
    },
}

/// A language with a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Cargo.
    Rust,
    /// componentize-py.
    Python,
    /// componentize-js, or QuickJS by componentize-qjs.
    Js,
    /// The Go tools.
    Go,
    /// clang.
    C,
}

impl Recipe {
    /// All, in the order of the table of keys.
    pub const ALL: [Self; 5] = [Self::Rust, Self::Python, Self::Js, Self::Go, Self::C];

    /// Its name in a manifest.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::Go => "go",
            Self::C => "c",
        }
    }
}

pub(super) fn read_build(reader: &mut Reader, component: Table<'_>, source: Option<&At<String>>) -> Option<BuildSpec> {
    let table = reader.inner(component, "build")?;
    let recipe = reader.choice(table, "recipe").map(|choice| Recipe::ALL[choice.value]);
    let has_command = table.span_of("command").is_some();
    let command: Vec<_> = texts(reader, table, "command");
    let mut path = |name| reader.text(table, name).filter(|path| path_fits(reader, path));
    let (folder, output, main, wit) = (path("folder"), path("output"), path("main"), path("wit"));
    let world = reader.text(table, "world").map(|world| world.value);
    let inputs = reader.list(table, "inputs").into_iter().filter(|path| path_fits(reader, path));
    let inputs: Vec<PathBuf> = inputs.collect::<Vec<_>>().into_iter().map(|path| path.value.into()).collect();
    let folder = folder.map_or_else(|| PathBuf::from("."), |folder| folder.value.into());

    let unclear = |what: &str, help: &str| Problem::new(Code::UnclearBuild, what).help(help);
    match (table.span_of("recipe"), has_command) {
        (Some(span), true) => {
            let help = "drop one of the two: a recipe knows its own commands";
            reader.report(unclear("`build` has a `recipe` and a `command`", help), span, "");
        }
        (None, false) => {
            let help = "add recipe = \"python\", or whatever it is written in, or command = [\"make\", \"web.wasm\"]";
            let problem = unclear("`build` does not say how: it has no `recipe` and no `command`", help);
            reader.report(problem, table.span.0..table.span.1, "");
        }
        (Some(_), false) | (None, true) => {}
    }
    let foreign: &[&str] = if has_command { &["main", "wit", "world"] } else { &["output"] };
    for key in foreign {
        let Some(span) = table.span_of(key) else { continue };
        let (whose, help) = if has_command {
            ("command", "drop it, and tell the command itself")
        } else {
            ("recipe", "drop it: a recipe writes `source`")
        };
        let problem = Problem::warning(Code::NoEffect, format!("`{key}` has no effect on a build by `{whose}`"));
        reader.report(problem.help(help), span, "");
    }
    if has_command {
        if command.is_empty() {
            let span = table.span_of("command").unwrap_or(table.span.0..table.span.1);
            let help = "name the program and its arguments: command = [\"make\", \"web.wasm\"]";
            reader.report(unclear("the `command` is empty", help), span, "");
            return None;
        }
        if let (Some(output), Some(source)) = (&output, source)
            && plain(Path::new(&source.value)) == plain(&folder.join(&output.value))
        {
            let help =
                "have the command write another file, or to {output}: what serves must never see half a component";
            reader.report(unclear("`output` is `source` itself", help), output.span.clone(), "");
        }
        let output = output.map(|output| output.value.into());
        return Some(BuildSpec { maker: Maker::Command { command, output }, folder, inputs });
    }
    let main = main.map(|main| main.value.into());
    let wit = wit.map_or_else(|| PathBuf::from("wit"), |wit| wit.value.into());
    Some(BuildSpec { maker: Maker::Recipe { recipe: recipe?, main, wit, world }, folder, inputs })
}

/// A path without the `.`s in it.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

fn texts(reader: &mut Reader, table: Table<'_>, name: &'static str) -> Vec<String> {
    let listed = reader.list(table, name);
    let sound = listed.into_iter().filter(|text| reader.parsed(Code::BadText, text, without_nul).is_some());
    sound.map(|text| text.value).collect()
}
