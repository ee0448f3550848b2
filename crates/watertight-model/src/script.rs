//! Scripts, and the language runtimes that run them: what a runtime says of itself, and what a component whose source is a script
//! gets from the checker.
//!
//! A runtime is a component that finds the path of a script in its first argument. It runs that as a command
//! (`wasi:cli/run`), or has it answer a request (`wasi:http/incoming-handler`), in the way that people of the language know. The
//! script's folder is mounted read-only at [`FOLDER`]; nothing else is granted for it. This file never reads a script.

use std::path::{Path, PathBuf};

/// Where a script finds its folder.
pub const FOLDER: &str = "/app";

/// Languages that a runtime is looked for by the ending of a file, whether one is there or not.
const LANGUAGES: [(&str, &[&str]); 5] =
    [("Python", &["py"]), ("JavaScript", &["js", "mjs"]), ("Ruby", &["rb"]), ("PHP", &["php"]), ("Lua", &["lua"])];

/// The longest file that can describe a runtime.
pub const MAX_SPEC_BYTES: u64 = 64 << 10;

/// A runtime, as the TOML beside its component describes it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeSpec {
    /// The language, as people write it.
    pub language: String,
    /// The version of the language, or of its interpreter.
    pub version: String,
    /// Endings of the scripts that it runs, without the dot.
    pub extensions: Vec<String>,
    /// How a script answers requests.
    pub protocol: Protocol,
    /// The component, a file beside the TOML.
    pub component: PathBuf,
    /// How the component is made, where `watertight runtime build` is to make it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<RuntimeBuild>,
    /// How snapshots are taken: of its interpreter when it is added, and of each script that answers requests when that is started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SnapshotSpec>,
}

/// How a script answers requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// Python: a callable named `app` or `application`.
    Wsgi,
    /// JavaScript: `export default { fetch(request) { … } }`.
    Fetch,
    /// PHP: the script's output is the answer, `header()` sets its head.
    Cgi,
    /// Ruby: an object with `call(env)`.
    Rack,
    /// Lua: a function that takes a request and returns status, headers and body.
    Function,
    /// There is no script: the files of the folder are the answers.
    Files,
    /// It does not.
    None,
}

impl Protocol {
    /// Its name, as the TOML has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wsgi => "wsgi",
            Self::Fetch => "fetch",
            Self::Cgi => "cgi",
            Self::Rack => "rack",
            Self::Function => "function",
            Self::Files => "files",
            Self::None => "none",
        }
    }
}

/// How a runtime's component is made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimeBuild {
    /// A program and its arguments; `{output}` in them is the file to write.
    pub command: Vec<String>,
    /// Where it runs, relative to the TOML; beside it if not given.
    #[serde(default = "here")]
    pub folder: PathBuf,
}

fn here() -> PathBuf {
    PathBuf::from(".")
}

/// How a snapshot is taken.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotSpec {
    /// The exported function that makes the interpreter ready, and the script that the first argument names. It returns whether all of that
    /// may be frozen in.
    pub init: String,
    /// Whether the component holds a snapshot of the interpreter already: then it is only taken with a script.
    #[serde(default)]
    pub taken: bool,
    /// Whether a script that answers requests is loaded into a snapshot of its own: not where each request reads it anyway.
    #[serde(default = "yes")]
    pub scripts: bool,
    /// Whether that function forgets the handles of files that were opened meanwhile: without this, a script that opens one is loaded in each
    /// cell.
    #[serde(default)]
    pub forgets_files: bool,
}

const fn yes() -> bool {
    true
}

/// Text that does not describe a runtime.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// It is not TOML, a key is missing, or one is not known.
    #[error("{}", .0.message())]
    Toml(#[from] toml::de::Error),
    /// An ending that no file name has after its last dot.
    #[error("`{0}` in `extensions` is not the ending of a file's name: write it in lower case and without the dot")]
    Extension(String),
    /// No script would ever be run by it.
    #[error("`extensions` is empty: name the endings of the scripts that it runs")]
    NoExtensions,
    /// A build that nothing would be run for.
    #[error("`build.command` is empty: name a program and its arguments")]
    NoCommand,
    /// A component elsewhere.
    #[error("`component` names {}: it is a file beside the TOML", .0.display())]
    Elsewhere(PathBuf),
}

impl RuntimeSpec {
    /// Reads a description.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let spec: Self = toml::from_str(text)?;
        let fits = |ending: &&String| {
            !ending.is_empty() && ending.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if let Some(bad) = spec.extensions.iter().find(|ending| !fits(ending)) {
            return Err(SpecError::Extension(bad.clone()));
        }
        if spec.extensions.is_empty() {
            return Err(SpecError::NoExtensions);
        }
        if spec.build.as_ref().is_some_and(|build| build.command.is_empty()) {
            return Err(SpecError::NoCommand);
        }
        if spec.component.file_name().is_none_or(|name| name != spec.component.as_os_str()) {
            return Err(SpecError::Elsewhere(spec.component));
        }
        Ok(spec)
    }

    /// The text that [`RuntimeSpec::parse`] reads.
    ///
    /// # Errors
    /// When it cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// Whether it runs files with this ending.
    #[must_use]
    pub fn runs(&self, ending: &str) -> bool {
        self.extensions.iter().any(|own| own == ending)
    }

    /// What a component is told of the script that this runtime runs as it.
    #[must_use]
    pub fn script(&self, file: &Path) -> Script {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        Script {
            language: self.language.clone(),
            version: self.version.clone(),
            folder: file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into(),
            entry: format!("{FOLDER}/{name}"),
            snapshot: self.snapshot.clone().filter(|snapshot| snapshot.scripts),
        }
    }
}

/// The script that a runtime runs as a component.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
pub struct Script {
    /// The language, as people write it.
    pub language: String,
    /// The runtime's version.
    pub version: String,
    /// The folder that it lies in, relative to the manifest: mounted read-only.
    pub folder: PathBuf,
    /// Its path, as the guest sees it: the first of its arguments.
    pub entry: String,
    /// How it is loaded once for all cells, where that can be done.
    pub snapshot: Option<SnapshotSpec>,
}

/// The ending of a file's name, in lower case.
#[must_use]
pub fn ending(file: &Path) -> Option<String> {
    Some(file.extension()?.to_str()?.to_ascii_lowercase())
}

/// The language that files with this ending are written in, for those that a runtime is looked for.
#[must_use]
pub fn language(ending: &str) -> Option<&'static str> {
    LANGUAGES.iter().find(|(_, endings)| endings.contains(&ending)).map(|(language, _)| *language)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PYTHON: &str = "language = \"Python\"\nversion = \"3.14\"\nextensions = [\"py\"]\nprotocol = \"wsgi\"\n\
                          component = \"python.wasm\"\n";

    #[test]
    fn a_runtime_is_described_by_its_toml() {
        let spec = RuntimeSpec::parse(PYTHON).expect("it is good");
        assert!(spec.runs("py") && !spec.runs("rb"));
        assert_eq!((spec.protocol, &spec.snapshot), (Protocol::Wsgi, &None));
        let with_snapshot = format!("{PYTHON}[snapshot]\ninit = \"prepare\"\n");
        let spec = RuntimeSpec::parse(&with_snapshot).expect("it is good");
        let snapshot = spec.snapshot.expect("it has one");
        assert_eq!((snapshot.init.as_str(), snapshot.taken), ("prepare", false));
        assert!(snapshot.scripts, "unless it says otherwise");
        let without = RuntimeSpec::parse(&format!("{with_snapshot}scripts = false\n")).expect("it is good");
        assert_eq!(without.script(Path::new("app.py")).snapshot, None);
        assert!(without.snapshot.is_some(), "its interpreter is taken all the same");
    }

    #[test]
    fn what_is_wrong_with_a_description_is_said() {
        for (from, to, message) in [
            ("\"py\"", "\".py\"", "`.py` in `extensions`"),
            ("\"py\"", "", "`extensions` is empty"),
            ("python.wasm", "../python.wasm", "it is a file beside the TOML"),
            ("wsgi", "asgi", "unknown variant `asgi`"),
            ("protocol", "protcol", "unknown field `protcol`"),
            ("version = \"3.14\"", "", "missing field `version`"),
            (
                "component = \"python.wasm\"\n",
                "component = \"p.wasm\"\n[build]\ncommand = []\n",
                "`build.command` is empty",
            ),
        ] {
            let error = RuntimeSpec::parse(&PYTHON.replace(from, to)).expect_err("it is not good").to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn a_script_is_seen_below_its_mounted_folder() {
        let spec = RuntimeSpec::parse(PYTHON).expect("it is good");
        for (file, folder, entry) in [("app.py", ".", "/app/app.py"), ("src/web.py", "src", "/app/web.py")] {
            let script = spec.script(Path::new(file));
            assert_eq!((script.folder.as_path(), script.entry.as_str()), (Path::new(folder), entry));
        }
    }

    #[test]
    fn a_language_is_known_by_the_ending() {
        assert_eq!(ending(Path::new("a/b.PY")).as_deref().and_then(language), Some("Python"));
        assert_eq!(ending(Path::new("watertight.toml")).as_deref().and_then(language), None);
    }
}
