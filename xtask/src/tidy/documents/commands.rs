//! Which commands there are: those of `watertight`, read from its source, and those of Cargo that this project uses.

use std::collections::BTreeSet;

use clap::{CommandFactory as _, Parser as _};

use super::super::Tree;
use crate::Chore;

/// Where the command line of `watertight` is described, and where parts of it are.
const ARGUMENTS: &str = "crates/watertight-cli/src/args.rs";
const PARTS: &str = "crates/watertight-cli/src/args/";

/// Commands of Cargo, its own and installed ones.
const CARGO: [&str; 11] =
    ["bench", "build", "clippy", "deny", "fmt", "fuzz", "install", "nextest", "run", "test", "xtask"];

/// What can be typed.
pub(super) struct Commands {
    watertight: BTreeSet<String>,
    /// Long options of any command of `watertight`.
    options: BTreeSet<String>,
}

impl Commands {
    pub(super) fn read(tree: &Tree) -> Self {
        let source = tree.find(ARGUMENTS).map(|file| file.text.as_str()).unwrap_or_default();
        let parts = tree.rust().filter(|file| file.path.starts_with(PARTS));
        let options = parts.map(|file| long_options(&file.text)).fold(long_options(source), |mut all, more| {
            all.extend(more);
            all
        });
        Self { watertight: variants(source), options }
    }

    /// What is wrong with a line for a shell, if it runs `watertight` or Cargo.
    pub(super) fn problem(&self, line: &str) -> Option<String> {
        pipeline(line).iter().find_map(|words| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["watertight", rest @ ..] => self.watertight(rest),
                ["cargo", toolchain, rest @ ..] if toolchain.starts_with('+') => self.cargo(rest),
                ["cargo", rest @ ..] => self.cargo(rest),
                _ => None,
            }
        })
    }

    fn watertight(&self, words: &[&str]) -> Option<String> {
        let (command, rest) = words.split_first()?;
        if !command.starts_with('-') && !self.watertight.contains(*command) {
            return Some(format!("there is no `watertight {command}`"));
        }
        // After `--` come the arguments of a command that is run.
        let own = rest.iter().take_while(|word| **word != "--");
        let long = own.filter_map(|word| word.strip_prefix("--")).map(|word| word.split('=').next().unwrap_or(word));
        let unknown = long.into_iter().find(|option| !self.options.contains(*option))?;
        Some(format!("`watertight {command}` has no --{unknown}"))
    }

    fn cargo(&self, words: &[&str]) -> Option<String> {
        // `cargo +nightly …` names the toolchain first.
        let words = if words.first().is_some_and(|word| word.starts_with('+')) { &words[1..] } else { words };
        let (command, rest) = words.split_first()?;
        if !CARGO.contains(command) {
            return Some(format!("`cargo {command}` is not among the commands that documents may show"));
        }
        match *command {
            "xtask" => chore(rest),
            // The default package is the command line.
            "run" if !rest.contains(&"-p") && !rest.contains(&"--package") => {
                let arguments = rest.iter().position(|word| *word == "--").map_or(&[][..], |at| &rest[at + 1..]);
                self.watertight(arguments)
            }
            _ => None,
        }
    }
}

/// Asks this very program whether it would take the words.
fn chore(words: &[&str]) -> Option<String> {
    let whole = std::iter::once("cargo xtask").chain(words.iter().copied());
    // A chore may be named without what it needs.
    let named = matches!(words, [name] if Chore::command().find_subcommand(name).is_some());
    match Chore::try_parse_from(whole) {
        Err(error) if error.use_stderr() && !named => {
            Some(format!("`cargo xtask {}` is not to be had", words.join(" ")))
        }
        _ => None,
    }
}

/// The commands, as the variants of `enum Command` name them.
fn variants(source: &str) -> BTreeSet<String> {
    let body = source.split("enum Command {").nth(1).and_then(|rest| rest.split("\n}").next()).unwrap_or_default();
    let names = body.lines().map(str::trim).filter(|line| line.starts_with(|letter: char| letter.is_ascii_uppercase()));
    let mut found: BTreeSet<String> =
        names.filter_map(|line| line.split(['(', ',', ' ']).next()).map(str::to_lowercase).collect();
    found.insert("help".to_owned());
    found
}

/// The options with a long name: the one they are given, or else that of their field.
fn long_options(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::from(["help".to_owned(), "version".to_owned()]);
    for part in source.split("#[arg(").skip(1) {
        let Some((attribute, after)) = part.split_once(")]\n") else { continue };
        if let Some(given) = attribute.split("long = \"").nth(1).and_then(|rest| rest.split('"').next()) {
            found.insert(given.to_owned());
            continue;
        }
        let is_long =
            attribute.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "long");
        let field = after.trim_start().trim_start_matches("pub(crate) ").split(':').next();
        found.extend(field.filter(|_| is_long).map(|name| name.replace('_', "-")));
    }
    found
}

/// The commands of a line, each as its words: enough of a shell for quotes, pipes, `&&`, redirection and comments.
fn pipeline(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for letter in line.chars().chain([' ']) {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
            (None, ' ' | '|' | '&' | ';') => {
                if begun || !word.is_empty() {
                    commands.last_mut().expect("there is always one").push(std::mem::take(&mut word));
                    begun = false;
                }
                if letter != ' ' {
                    commands.push(Vec::new());
                }
            }
            (None, '#' | '>') if word.is_empty() => break,
            (_, _) => word.push(letter),
        }
    }
    commands.retain(|words| !words.is_empty());
    commands
}

#[cfg(test)]
mod tests {
    use super::{super::super::tree, *};

    const SOURCE: &str = r#"
        pub(crate) enum Command {
            Serve(Serve),
            /// Print
            #[command(after_help = "x")]
            Schema,
            #[command(hide = true)]
            Worker(Worker),
}
        struct Serve {
            #[arg(long, short, value_name = "ADDR", default_value = "127.0.0.1:8080")]
            pub(crate) listen: String,
            #[arg(long, value_parser = quantity::size)]
            max_body: ByteSize,
            #[arg(long = "for", value_name = "TIME")]
            pub(crate) time: Duration,
            #[arg(last = true)]
            pub(crate) args: Vec<String>,
        }
    "#;

    #[test]
    fn a_command_that_is_not_there_is_found() {
        let commands = Commands::read(&tree(&[(ARGUMENTS, SOURCE)]));
        let cases = [
            ("watertight serve examples/press --listen 127.0.0.1:80 --max-body=1MiB", None),
            ("watertight schema > watertight.schema.json", None),
            ("watertight --help", None),
            ("watertight launch", Some("there is no `watertight launch`")),
            ("echo x | watertight serve . -- --not-ours", None),
            ("watertight serve --for 10s", None),
            ("watertight serve --time 10s", Some("`watertight serve` has no --time")),
            ("watertight serve --fast", Some("`watertight serve` has no --fast")),
            ("echo 'watertight launch' # watertight launch", None),
            ("mkdir x && watertight launch", Some("there is no `watertight launch`")),
            ("cargo run --release -- serve examples/press", None),
            ("cargo run -- launch", Some("there is no `watertight launch`")),
            ("cargo run -p other -- launch", None),
            ("cargo nextest run --workspace", None),
            ("cargo +nightly fuzz run membrane", None),
            ("cargo frobnicate", Some("`cargo frobnicate` is not among the commands that documents may show")),
            ("cargo xtask guests trap relay", None),
            ("cargo xtask tidy", None),
            ("cargo xtask launch", Some("`cargo xtask launch` is not to be had")),
            ("cargo xtask guests --fast", Some("`cargo xtask guests --fast` is not to be had")),
        ];
        for (line, expected) in cases {
            assert_eq!(commands.problem(line).as_deref(), expected, "{line}");
        }
    }
}
