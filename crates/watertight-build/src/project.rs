//! New projects: a manifest, its interfaces, a first component that does something, and a test of it, in a folder of their own.
//!
//! What is written is in `templates/`, as files. A project is made beside its place and renamed, so that it is there whole or not at
//! all; nothing that is there already is ever touched.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// The longest name of a project: that of an app.
const NAME_MAX: usize = 63;

/// The release of WASI that projects are written for; componentize-js has one of its own.
const WASI: &str = "0.2.12";
const WASI_OF_JS: &str = "0.2.10";

/// Words that WIT, or one of the languages, keeps for itself.
const RESERVED: [&str; 40] = [
    "abstract",
    "as",
    "async",
    "await",
    "bool",
    "borrow",
    "char",
    "const",
    "crate",
    "default",
    "else",
    "enum",
    "export",
    "fn",
    "for",
    "func",
    "if",
    "impl",
    "import",
    "in",
    "interface",
    "let",
    "list",
    "loop",
    "match",
    "mod",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "static",
    "stream",
    "string",
    "test",
    "tuple",
    "type",
    "use",
    "world",
];

/// A language that projects can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// JavaScript.
    Js,
    /// C.
    C,
    /// Go.
    Go,
    /// PHP: a script, which is not built.
    Php,
    /// Ruby: a script as well.
    Ruby,
}

/// What a project is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectKind {
    /// It answers HTTP.
    Http,
    /// It is run.
    Command,
    /// Others call it.
    Library,
}

/// A project that is to be made.
#[derive(Clone, Debug)]
pub struct Project {
    name: String,
    folder: PathBuf,
    language: Language,
    kind: ProjectKind,
    /// What the file it begins with holds, before it is filled in.
    begins: &'static str,
}

/// Why a project was not made.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// No name for an app.
    #[error(
        "`{name}` cannot name a project: a name is at most {NAME_MAX} lower-case letters, digits, `-` and `_`, and begins with a letter{}",
        instead(name)
    )]
    BadName {
        /// It.
        name: String,
    },
    /// A word with another meaning.
    #[error("`{0}` cannot name a project: it is a word of WIT or of the language")]
    Reserved(String),
    /// There is no template for it.
    #[error(
        "there is no command in JavaScript to begin with: write a script, and `watertight run` it, or choose another --kind"
    )]
    NoTemplate,
    /// Others cannot call a script.
    #[error(
        "there is no library in {0} to begin with: a script answers requests or is a command. Choose another --kind, or another --lang"
    )]
    NoLibrary(Language),
    /// Something is there.
    #[error("there is a `{}` already: choose another name; nothing was changed", .0.display())]
    Exists(PathBuf),
    /// Nothing is there that could hold it.
    #[error("there is no folder {}: create it first", .0.display())]
    NoPlace(PathBuf),
    /// The system would not let it be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// A name like this one that would do.
fn instead(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(plain).collect();
    match name.trim_matches(|letter: char| !letter.is_ascii_lowercase() && !letter.is_ascii_digit()) {
        name if name.starts_with(|first: char| first.is_ascii_lowercase()) && name.len() <= NAME_MAX => {
            format!(": `{name}` would do")
        }
        _ => String::new(),
    }
}

/// A file of a template.
macro_rules! file {
    ($to:literal) => {
        ($to, include_str!(concat!("../templates/", $to)))
    };
    ($to:literal, $from:literal) => {
        ($to, include_str!(concat!("../templates/", $from)))
    };
}

type Files = &'static [(&'static str, &'static str)];

const WASI_FILES: Files = &[
    ("wit/deps/cli.wit", include_str!("../templates/wasi/cli.wit")),
    ("wit/deps/clocks.wit", include_str!("../templates/wasi/clocks.wit")),
    ("wit/deps/filesystem.wit", include_str!("../templates/wasi/filesystem.wit")),
    ("wit/deps/http.wit", include_str!("../templates/wasi/http.wit")),
    ("wit/deps/io.wit", include_str!("../templates/wasi/io.wit")),
    ("wit/deps/random.wit", include_str!("../templates/wasi/random.wit")),
    ("wit/deps/sockets.wit", include_str!("../templates/wasi/sockets.wit")),
];

impl Language {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Rust, Self::Python, Self::Js, Self::C, Self::Go, Self::Php, Self::Ruby];

    /// Whether it runs as it is written, on a language runtime.
    const fn is_script(self) -> bool {
        matches!(self, Self::Php | Self::Ruby)
    }

    /// What its components need beyond what every budget has: Ruby itself takes more memory than that.
    const fn budget(self) -> &'static str {
        match self {
            Self::Ruby => "budget = { memory = \"128MiB\" }\n",
            Self::Rust | Self::Python | Self::Js | Self::C | Self::Go | Self::Php => "",
        }
    }

    /// That of `build.recipe`; of a script, how its runtime is called.
    const fn recipe(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::Js => "js",
            Self::C => "c",
            Self::Go => "go",
            Self::Php => "php",
            Self::Ruby => "ruby",
        }
    }

    /// The file it begins with.
    const fn main(self, kind: ProjectKind) -> &'static str {
        match self {
            Self::Go if matches!(kind, ProjectKind::Library) => "export_app_{{ident}}_greeting/greeting.go",
            Self::Rust => "src/lib.rs",
            Self::Python => "app.py",
            Self::Js => "index.js",
            Self::C => "main.c",
            Self::Go => "main.go",
            Self::Php => match kind {
                ProjectKind::Http => "index.php",
                ProjectKind::Command | ProjectKind::Library => "main.php",
            },
            Self::Ruby => match kind {
                ProjectKind::Http => "app.rb",
                ProjectKind::Command | ProjectKind::Library => "main.rb",
            },
        }
    }

    /// How its tests are run.
    const fn test(self) -> &'static str {
        match self {
            Self::Rust => "cargo test",
            Self::Python => "python3 -m unittest",
            Self::Js => "npm test",
            Self::C => "make test",
            Self::Go => "go test ./greeting",
            Self::Php => "watertight run _test.php",
            Self::Ruby => "watertight run _test.rb",
        }
    }

    /// How its tools are had.
    const fn setup(self) -> &'static str {
        match self {
            Self::Rust => "rustup target add wasm32-wasip2",
            Self::Python => "python3 -m venv .venv && .venv/bin/pip install componentize-py",
            Self::Js => "npm install",
            Self::C => "apt install clang lld wasi-libc libclang-rt-dev-wasm32",
            Self::Go => "go version # 1.24 or newer, from https://go.dev/dl",
            Self::Php => "watertight runtime list # PHP has to be there",
            Self::Ruby => "watertight runtime list # Ruby has to be there",
        }
    }

    /// Files of every kind of project.
    const fn files(self) -> Files {
        match self {
            Self::Rust => &[file!("Cargo.toml", "rust/Cargo.toml"), file!("src/greeting.rs", "rust/greeting.rs")],
            Self::Python => {
                &[file!("greeting.py", "python/greeting.py"), file!("test_greeting.py", "python/test_greeting.py")]
            }
            Self::Js => &[
                file!("package.json", "js/package.json"),
                file!("greeting.js", "js/greeting.js"),
                file!("greeting.test.js", "js/greeting.test.js"),
            ],
            Self::C => &[
                file!("Makefile", "c/Makefile"),
                file!("greeting.h", "c/greeting.h"),
                file!("greeting.c", "c/greeting.c"),
                file!("test/greeting.c", "c/test/greeting.c"),
            ],
            Self::Php => &[file!("_greeting.php", "php/greeting.php"), file!("_test.php", "php/test.php")],
            Self::Ruby => &[file!("_greeting.rb", "ruby/greeting.rb"), file!("_test.rb", "ruby/test.rb")],
            Self::Go => &[
                file!("go.mod", "go/go.mod"),
                file!("greeting/greeting.go", "go/greeting.go"),
                file!("greeting/greeting_test.go", "go/greeting_test.go"),
            ],
        }
    }

    /// What the file it begins with holds; none where no sound component comes of it: of commands in JavaScript.
    const fn begins(self, kind: ProjectKind) -> Option<&'static str> {
        Some(match (self, kind) {
            (Self::Rust, ProjectKind::Http) => include_str!("../templates/rust/http.rs"),
            (Self::Rust, ProjectKind::Command) => include_str!("../templates/rust/command.rs"),
            (Self::Rust, ProjectKind::Library) => include_str!("../templates/rust/library.rs"),
            (Self::Python, ProjectKind::Http) => include_str!("../templates/python/http.py"),
            (Self::Python, ProjectKind::Command) => include_str!("../templates/python/command.py"),
            (Self::Python, ProjectKind::Library) => include_str!("../templates/python/library.py"),
            (Self::Js, ProjectKind::Http) => include_str!("../templates/js/http.js"),
            // componentize-js makes no sound component of the world of commands.
            (Self::Js, ProjectKind::Command) => return None,
            (Self::Js, ProjectKind::Library) => include_str!("../templates/js/library.js"),
            (Self::C, ProjectKind::Http) => include_str!("../templates/c/http.c"),
            (Self::C, ProjectKind::Command) => include_str!("../templates/c/command.c"),
            (Self::C, ProjectKind::Library) => include_str!("../templates/c/library.c"),
            (Self::Go, ProjectKind::Http) => include_str!("../templates/go/http.go"),
            (Self::Go, ProjectKind::Command) => include_str!("../templates/go/command.go"),
            (Self::Go, ProjectKind::Library) => include_str!("../templates/go/library.go"),
            (Self::Php, ProjectKind::Http) => include_str!("../templates/php/http.php"),
            (Self::Php, ProjectKind::Command) => include_str!("../templates/php/command.php"),
            (Self::Ruby, ProjectKind::Http) => include_str!("../templates/ruby/http.rb"),
            (Self::Ruby, ProjectKind::Command) => include_str!("../templates/ruby/command.rb"),
            (Self::Php | Self::Ruby, ProjectKind::Library) => return None,
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::Js => "JavaScript",
            Self::C => "C",
            Self::Go => "Go",
            Self::Php => "PHP",
            Self::Ruby => "Ruby",
        })
    }
}

impl ProjectKind {
    const fn files(self) -> Files {
        match self {
            Self::Http => &[file!("watertight.toml", "http.toml"), file!("wit/world.wit", "wit/http.wit")],
            Self::Command => &[file!("watertight.toml", "command.toml"), file!("wit/world.wit", "wit/command.wit")],
            Self::Library => &[file!("watertight.toml", "library.toml"), file!("wit/world.wit", "wit/library.wit")],
        }
    }

    /// The same, of scripts: what they export is their runtime's to say.
    const fn files_of_script(self) -> Files {
        match self {
            Self::Http => &[file!("watertight.toml", "script/http.toml")],
            Self::Command | Self::Library => &[file!("watertight.toml", "script/command.toml")],
        }
    }

    const fn wasi(self) -> Files {
        match self {
            Self::Http | Self::Command => WASI_FILES,
            Self::Library => &[],
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Http => "A web service",
            Self::Command => "A program",
            Self::Library => "A library for other components",
        }
    }

    const fn start(self) -> &'static str {
        match self {
            Self::Http => "watertight serve",
            Self::Command => "watertight run . -- Ada",
            Self::Library => "watertight run . --invoke 'greet(\"Ada\")'",
        }
    }

    /// What makes it anew when a file changes.
    const fn work(self) -> &'static str {
        match self {
            Self::Http => "watertight dev",
            Self::Command | Self::Library => "watertight build",
        }
    }
}

impl Project {
    /// A project at this path, whose last part is its name.
    ///
    /// # Errors
    /// When the name cannot be one.
    pub fn new(path: &Path, language: Language, kind: ProjectKind) -> Result<Self, ProjectError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let fits = name.starts_with(|first: char| first.is_ascii_lowercase()) && name.bytes().all(part);
        if !fits || name.len() > NAME_MAX {
            return Err(ProjectError::BadName { name });
        }
        let missing =
            || if language.is_script() { ProjectError::NoLibrary(language) } else { ProjectError::NoTemplate };
        let begins = language.begins(kind).ok_or_else(missing)?;
        if RESERVED.contains(&name.as_str()) {
            return Err(ProjectError::Reserved(name));
        }
        Ok(Self { name, folder: path.to_owned(), language, kind, begins })
    }

    /// Writes it.
    ///
    /// # Errors
    /// When something is there already, or it cannot be written; then nothing is there that was not there before.
    pub fn create(&self) -> Result<(), ProjectError> {
        let writing = |error| ProjectError::Write { path: self.folder.clone(), error };
        if self.folder.symlink_metadata().is_ok() {
            return Err(ProjectError::Exists(self.folder.clone()));
        }
        let parent = match self.folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !parent.is_dir() {
            return Err(ProjectError::NoPlace(parent.to_owned()));
        }
        let made = tempfile::Builder::new().prefix(".watertight-").tempdir_in(parent).map_err(writing)?;
        // A temporary folder is its owner's alone; a project is as the user's other folders.
        let folder = made.path().join("project");
        for (name, text) in self.files() {
            let path = folder.join(&name);
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(writing)?;
            fs::write(&path, text).map_err(writing)?;
        }
        let placed = renameat_with(CWD, &folder, CWD, &self.folder, RenameFlags::NOREPLACE);
        placed.map_err(|error| match error {
            rustix::io::Errno::EXIST => ProjectError::Exists(self.folder.clone()),
            error => writing(error.into()),
        })
    }

    /// Its files, as they are to be.
    fn files(&self) -> Vec<(String, String)> {
        let Self { language, kind, begins, .. } = self;
        let mut files: Vec<(String, String)> = Vec::new();
        let all = if language.is_script() {
            [kind.files_of_script(), &[], language.files()]
        } else {
            [kind.files(), kind.wasi(), language.files()]
        };
        let readme = if language.is_script() {
            include_str!("../templates/script/README")
        } else {
            include_str!("../templates/README")
        };
        for (name, text) in all.into_iter().flatten() {
            files.push(((*name).to_owned(), self.filled(text)));
        }
        files.push((self.filled(language.main(*kind)), self.filled(begins)));
        files.push(("README.md".to_owned(), self.filled(readme)));
        files.push((".gitignore".to_owned(), include_str!("../templates/gitignore").to_owned()));
        files
    }

    /// A template's text with what this project is called, and so on.
    fn filled(&self, text: &str) -> String {
        let Self { name, language, kind, .. } = self;
        let package = package(name);
        // Nothing is made of it: it is run again.
        let script_command = language.is_script() && *kind == ProjectKind::Command;
        let wasi = if *language == Language::Js { WASI_OF_JS } else { WASI };
        let (engine, engine_version) = match kind {
            ProjectKind::Library => ("componentize-qjs", "^0.4.5"),
            ProjectKind::Http | ProjectKind::Command => ("@bytecodealliance/componentize-js", "^0.23.0"),
        };
        let words = [
            // The first, as its value has words to fill in.
            ("{{main}}", language.main(*kind)),
            ("{{name}}", name.as_str()),
            ("{{budget}}", language.budget()),
            ("{{ident}}", &package.replace('-', "_")),
            ("{{package}}", &package),
            ("{{wasi}}", wasi),
            ("{{recipe}}", language.recipe()),
            ("{{language}}", &language.to_string()),
            ("{{what}}", kind.what()),
            ("{{setup}}", language.setup()),
            ("{{start}}", kind.start()),
            ("{{work}}", if script_command { kind.start() } else { kind.work() }),
            ("{{test}}", language.test()),
            ("{{engine-version}}", engine_version),
            ("{{engine}}", engine),
        ];
        let filled = words.iter().fold(text.to_owned(), |text, (word, value)| text.replace(word, value));
        // In a package of an earlier release nothing can be newer than that.
        [WASI, "0.2.11"].iter().fold(filled, |text, release| text.replace(release, wasi))
    }

    /// What it is called.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What to do next, one command of a shell after the other.
    #[must_use]
    pub fn next_steps(&self) -> Vec<String> {
        let cd = format!("cd {}", self.folder.display());
        let build = (!self.language.is_script()).then(|| "watertight build".to_owned());
        let before = [cd, self.language.setup().to_owned()];
        before.into_iter().chain(build).chain([self.kind.start().to_owned()]).collect()
    }
}

/// A name as WIT has it: words of letters and digits that begin with a letter, joined by `-`.
fn package(name: &str) -> String {
    let mut package = String::new();
    for word in name.split(['-', '_']).filter(|word| !word.is_empty()) {
        if !package.is_empty() && word.starts_with(|first: char| first.is_ascii_lowercase()) {
            package.push('-');
        }
        package.push_str(word);
    }
    package
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: [ProjectKind; 3] = [ProjectKind::Http, ProjectKind::Command, ProjectKind::Library];

    fn has_template((_, made): &(usize, (Language, ProjectKind))) -> bool {
        *made != (Language::Js, ProjectKind::Command) && !(made.0.is_script() && made.1 == ProjectKind::Library)
    }

    #[test]
    fn every_project_has_a_sound_manifest_sound_interfaces_and_nothing_left_to_fill_in() {
        let place = tempfile::tempdir().expect("there is room");
        for (index, (language, kind)) in Language::ALL
            .iter()
            .flat_map(|language| KINDS.map(|kind| (*language, kind)))
            .enumerate()
            .filter(has_template)
        {
            let folder = place.path().join(format!("my-2nd_app{index}"));
            Project::new(&folder, language, kind).expect("it is a name").create().expect("there is room");
            if !language.is_script() {
                let read = crate::wit::read(&folder.join("wit"), None);
                read.unwrap_or_else(|error| panic!("{language} {kind:?}: {error}"));
            }
            let text = fs::read_to_string(folder.join("watertight.toml")).expect("it was written");
            let manifest = watertight_model::manifest::Manifest::parse("watertight.toml", &text);
            assert!(manifest.problems().is_empty(), "{language}: {:?}", manifest.problems());
            assert_eq!(manifest.builds().count(), usize::from(!language.is_script()));
            for (name, text) in Project::new(&folder, language, kind).expect("it is a name").files() {
                assert!(!text.contains("{{"), "{language} {kind:?} {name}: {text}");
                assert_eq!(fs::read_to_string(folder.join(&name)).expect("it was written"), text);
            }
            let readme = fs::read_to_string(folder.join("README.md")).expect("it was written");
            assert!(readme.lines().count() <= 12, "{readme}");
        }
    }

    #[test]
    fn what_cannot_be_made_is_said_and_nothing_is_touched() {
        let place = tempfile::tempdir().expect("there is room");
        let project = |name: &str| Project::new(&place.path().join(name), Language::C, ProjectKind::Library);
        for bad in ["9lives", "Upper", "ä", "with space", "-x", &"x".repeat(64)] {
            assert!(matches!(project(bad), Err(ProjectError::BadName { .. })), "{bad}");
        }
        assert!(matches!(project("interface"), Err(ProjectError::Reserved(_))));
        fs::write(place.path().join("taken"), "mine").expect("there is room");
        fs::create_dir(place.path().join("empty")).expect("there is room");
        for taken in ["taken", "empty"] {
            let made = project(taken).expect("it is a name").create();
            assert!(matches!(made, Err(ProjectError::Exists(_))), "{made:?}");
        }
        assert!(matches!(project("gone/x").expect("it is a name").create(), Err(ProjectError::NoPlace(_))));
        assert_eq!(fs::read_to_string(place.path().join("taken")).expect("it is there"), "mine");
        assert_eq!(fs::read_dir(place.path()).expect("it is there").count(), 2, "nothing is left behind");
    }
}
