//! `watertight new`: what it makes builds, runs and passes its own test as it is, with the real tools of each language.
//!
//! `cargo xtask languages` installs those.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    client::{get, post},
    program::{Ended, Server, ended, watertight},
};

/// Go's programs, among the tools.
const GO: &str = concat!("go/", "root", "/usr/lib/go-1.24/bin");

/// Where the tools are.
fn toolchains() -> PathBuf {
    let given = env::var_os("WATERTIGHT_TOOLCHAINS").map(PathBuf::from);
    let cache = || env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let folder = given.or_else(|| Some(cache().or_else(home)?.join("watertight/toolchains")));
    let folder = folder.expect("there is a home");
    for part in ["python/bin/componentize-py", "javascript/node_modules", "rust/root", GO] {
        let part = folder.join(part);
        assert!(part.exists(), "there is no {}: run `cargo xtask languages`", part.display());
    }
    folder
}

/// A folder for projects, and the tools that are used in it.
struct Workplace {
    folder: TempDir,
    tools: PathBuf,
}

impl Workplace {
    fn new() -> Self {
        let (folder, tools) = (TempDir::new().expect("there is room"), toolchains());
        // As if every project had run `npm install`.
        symlink(tools.join("javascript/node_modules"), folder.path().join("node_modules")).expect("the folder is ours");
        Self { folder, tools }
    }

    /// Lets a program find the tools.
    fn equip<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let path = env::var_os("PATH").unwrap_or_default();
        let rust = self.tools.join("rust/root").join("usr");
        let path = ["python/bin", GO].map(|bin| self.tools.join(bin)).into_iter().chain(env::split_paths(&path));
        let path = env::join_paths(path);
        command
            .env("PATH", path.expect("no folder has a colon"))
            .env("RUSTC", rust.join("bin/rustc"))
            .env("LD_LIBRARY_PATH", rust.join("lib/x86_64-linux-gnu"))
            // Shared, so that Rust's standard library is built once.
            .env("CARGO_TARGET_DIR", self.tools.join("projects"))
            .env_remove("RUSTC_WRAPPER")
            .env_remove("VIRTUAL_ENV")
    }

    fn run(&self, folder: &Path, args: &[&str]) -> Ended {
        ended(self.equip(watertight(args).current_dir(folder)))
    }

    /// Makes a project, builds it, and has it test itself.
    fn project(&self, language: &str, kind: &str, test: &[&str]) -> PathBuf {
        // What is built lies in the shared folder by its name: other kinds are built meanwhile.
        let name = format!("my-{kind}");
        let made = self.run(self.folder.path(), &["new", &name, "--lang", language, "--kind", kind]);
        assert_eq!(made.code, Some(0), "{made:?}");
        assert!(made.stdout.contains("watertight build\n"), "{made:?}");
        let folder = self.folder.path().join(&name);
        let built = self.run(&folder, &["build"]);
        assert_eq!(
            (built.code, built.stdout.as_str()),
            (Some(0), format!("{name}: 1 built, 0 unchanged\n").as_str()),
            "{built:?}"
        );
        let again = self.run(&folder, &["build"]);
        assert_eq!(again.stdout, format!("{name}: 0 built, 1 unchanged\n"), "{again:?}");
        let mut tests = Command::new(test[0]);
        tests.args(&test[1..]).current_dir(&folder);
        if language != "rust" {
            self.equip(&mut tests);
        }
        let tested = ended(tests.env_remove("CARGO_TARGET_DIR"));
        assert_eq!(tested.code, Some(0), "{tested:?}");
        folder
    }

    async fn serves(&self, folder: &Path) {
        let server = Server::start(folder, &["--workers", "1"]);
        for (path, answer) in [("/Ada", "Hello, Ada!\n"), ("/?x=1", "Hello, world!\n")] {
            assert_eq!(get(server.address, path).await.expect("it answers"), (200, answer.to_owned()));
        }
        server.stop();
    }

    fn greets(&self, folder: &Path) {
        let ran = self.run(folder, &["run", ".", "--", "Ada", "Grace"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "Hello, Ada!\nHello, Grace!\n"), "{ran:?}");
    }

    fn is_called(&self, folder: &Path) {
        let ran = self.run(folder, &["run", ".", "--invoke", "greet(\"Ada\")"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "\"Hello, Ada!\"\n"), "{ran:?}");
    }
}

/// The three kinds of projects in one language.
macro_rules! projects {
    ($($language:ident: $name:literal, $test:expr;)*) => {
        $(mod $language {
            use super::*;

            #[tokio::test]
            async fn a_new_web_service_builds_and_serves_as_it_is() {
                let work = Workplace::new();
                work.serves(&work.project($name, "http", $test)).await;
            }

            #[test]
            fn a_new_command_builds_and_runs_as_it_is() {
                if $name == "js" {
                    let made = ended(&mut watertight(&["new", "no-app", "--lang", $name, "--kind", "command"]));
                    assert!(made.code == Some(2) && made.stderr.contains("write a script"), "{made:?}");
                    return;
                }
                let work = Workplace::new();
                work.greets(&work.project($name, "command", $test));
            }

            #[test]
            fn a_new_library_builds_and_is_called_as_it_is() {
                let work = Workplace::new();
                work.is_called(&work.project($name, "library", $test));
            }
        })*
    };
}

projects! {
    python: "python", &["python3", "-m", "unittest"];
    javascript: "js", &["npm", "test"];
    clang: "c", &["make", "test"];
    rust: "rust", &["cargo", "test", "--quiet"];
    golang: "go", &["go", "test", "./greeting"];
}

const NET_HTTP: &str = r#"package main

import (
	"io"
	"net/http"
)

var seen int

func main() {
	http.HandleFunc("POST /echo", func(answer http.ResponseWriter, request *http.Request) {
		answer.Header().Set("x-type", request.Header.Get("content-type"))
		io.Copy(answer, request.Body)
	})
	http.HandleFunc("GET /panic", func(http.ResponseWriter, *http.Request) { panic("it is lost") })
	http.HandleFunc("GET /ask", func(answer http.ResponseWriter, request *http.Request) {
		got, err := http.Get(request.URL.Query().Get("url"))
		if err != nil {
			http.Error(answer, err.Error(), http.StatusBadGateway)
			return
		}
		defer got.Body.Close()
		io.Copy(answer, got.Body)
	})
}
"#;

/// What `net/http` has registered answers: bodies for which Go has to collect garbage while it receives them, panics, requests of its own.
#[tokio::test]
async fn go_answers_and_asks_through_net_http() {
    let work = Workplace::new();
    let folder = work.project("go", "http", &["go", "vet", "./greeting"]);
    let other = work.folder.path().join("other");
    fs::rename(&folder, &other).expect("the folder is ours");
    let asked = Server::start(&other, &["--workers", "1"]);
    let folder = work.project("go", "http", &["go", "vet", "./greeting"]);
    fs::write(folder.join("main.go"), NET_HTTP).expect("the folder is ours");
    let manifest = fs::read_to_string(folder.join("watertight.toml")).expect("it is there");
    let grants = format!("grants = {{ stdio = true, http = [\"http://{}\"] }}", asked.address);
    // Other tests may keep the machine busy.
    let budget = "budget = { cpu = \"1m\", deadline = \"5m\" }";
    let manifest = manifest.replace("\n\n[[", &format!("\n{grants}\n{budget}\n\n[["));
    fs::write(folder.join("watertight.toml"), manifest).expect("the folder is ours");
    let built = work.run(&folder, &["build"]);
    assert_eq!(built.code, Some(0), "{built:?}");
    let server = Server::start(&folder, &["--workers", "1"]);
    let body: String = (0..1_000_000).map(|number| format!("{number:010}")).collect();
    for _ in 0..3 {
        let (status, echo) = post(server.address, "/echo", body.clone()).await.expect("it answers");
        assert!(status == 200 && echo == body, "{status}: {} bytes", echo.len());
    }
    let ask = |address| format!("/ask?url=http://{address}/Ada");
    assert_eq!(get(server.address, &ask(asked.address)).await.expect("it answers"), (200, "Hello, Ada!\n".to_owned()));
    let (status, said) = get(server.address, "/ask?url=http://127.0.0.1:1/").await.expect("it answers");
    assert!(status == 502 && said.contains("needs the grant `http`"), "{status} {said}");
    let (status, said) = get(server.address, "/panic").await.expect("it answers");
    assert_eq!((status, said.as_str()), (500, "Internal Server Error\n"));
    assert!(server.stop().contains("panic: it is lost"));
    asked.stop();
}

/// Projects of languages that run as they are written: there is nothing to build.
macro_rules! scripts {
    ($($language:ident: $shown:literal, $test:literal, $passed:literal;)*) => {
        $(mod $language {
            use super::*;

            fn project(work: &Workplace, kind: &str) -> PathBuf {
                let named = stringify!($language);
                let made = work.run(work.folder.path(), &["new", "my-app", "--lang", named, "--kind", kind]);
                assert_eq!(made.code, Some(0), "{made:?}");
                assert!(!made.stdout.contains("watertight build"), "{made:?}");
                let folder = work.folder.path().join("my-app");
                let tested = work.run(&folder, &["run", $test]);
                assert_eq!(tested.code, Some(0), "`cargo xtask runtimes` builds the runtime: {tested:?}");
                assert!(tested.stdout.contains($passed), "{tested:?}");
                folder
            }

            #[tokio::test]
            async fn a_new_web_service_serves_as_it_is() {
                let work = Workplace::new();
                work.serves(&project(&work, "http")).await;
            }

            #[test]
            fn a_new_command_runs_as_it_is() {
                let work = Workplace::new();
                work.greets(&project(&work, "command"));
            }

            #[test]
            fn there_is_no_library() {
                let named = stringify!($language);
                let made = ended(&mut watertight(&["new", "no-app", "--lang", named, "--kind", "library"]));
                let told = concat!("no library in ", $shown);
                assert!(made.code == Some(2) && made.stderr.contains(told), "{made:?}");
            }
        })*
    };
}

scripts! {
    php: "PHP", "_test.php", "someone is greeted by name";
    ruby: "Ruby", "_test.rb", "2 runs, 2 assertions, 0 failures";
}

#[test]
fn a_project_never_takes_the_place_of_anything() {
    let folder = TempDir::new().expect("there is room");
    fs::create_dir(folder.path().join("there")).expect("the folder is ours");
    for (name, said) in [
        ("there", "there is a `there` already"),
        ("Bad Name", "and begins with a letter: `bad-name` would do"),
        ("interface", "a word of WIT"),
        ("gone/app", "there is no folder gone"),
    ] {
        let made = ended(watertight(&["new", name, "--lang", "c"]).current_dir(folder.path()));
        assert!(matches!(made.code, Some(2 | 66)), "{made:?}");
        assert!(made.stderr.contains(said), "{said} in {made:?}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    let made = ended(watertight(&["new", "app", "--lang", "cobol"]).current_dir(folder.path()));
    assert_eq!(made.code, Some(2), "{made:?}");
    assert!(made.stderr.contains("python"), "the languages are listed: {made:?}");
}
