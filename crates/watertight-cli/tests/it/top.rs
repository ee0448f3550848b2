//! `watertight top` in a real terminal, tmux's, at two sizes, while a component fails; and once, for machines.

use std::{
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::get,
    files::site,
    program::{Server, ended, watertight},
};

/// A terminal of its own, with a command in it.
struct Tmux {
    folder: TempDir,
}

impl Tmux {
    fn start(width: u16, height: u16, command: &str) -> Self {
        let tmux = Self { folder: tempfile::tempdir().expect("the temporary folder is writable") };
        let (width, height) = (width.to_string(), height.to_string());
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &width, "-y", &height, command]);
        tmux
    }

    fn run(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(self.folder.path().join("tmux"))
            .args(["-u"])
            .args(args)
            .env_remove("TMUX")
            .env("SHELL", "/bin/sh")
            .env("LANG", "C.UTF-8")
            .output()
            .expect("tmux is on PATH: apt-get install tmux");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("tmux writes text")
    }

    fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// What is on the screen, once it is as wanted.
    fn until(&self, wanted: impl Fn(&str) -> bool) -> String {
        let began = Instant::now();
        loop {
            let screen = self.run(&["capture-pane", "-p"]);
            if wanted(&screen) {
                return screen;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "this is not it:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // One whose command has ended is gone already.
        let socket = self.folder.path().join("tmux");
        let _ = Command::new("tmux").arg("-S").arg(socket).arg("kill-server").output();
    }
}

/// Says how `top` ended, and whether the terminal takes lines again; then stays.
fn in_shell(runtime: &Path, args: &str) -> String {
    let program = env!("CARGO_BIN_EXE_watertight");
    let runtime = runtime.display();
    format!(
        "XDG_RUNTIME_DIR={runtime} {program} top {args}; echo ended $?; stty -a | grep -q ' icanon' && echo lines again; cat"
    )
}

/// Asks for something again and again, until it is dropped.
pub(crate) struct Load(Arc<AtomicBool>);

impl Load {
    pub(crate) fn on(server: &Server, path: &'static str) -> Self {
        let (address, over) = (server.address, Arc::new(AtomicBool::new(false)));
        let ended = Arc::clone(&over);
        tokio::spawn(async move {
            while !ended.load(Relaxed) {
                // The node may be gone for a moment.
                if tokio::net::TcpStream::connect(address).await.is_ok() {
                    let _ = get(address, path).await;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        Self(over)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_terminal_a_component_that_fails_is_seen_at_any_size_and_the_terminal_is_given_back() {
    let runtime = tempfile::tempdir().expect("the temporary folder is writable");
    let app = site("trap");
    let server = Server::start_in(app.path(), &["--workers", "2"], runtime.path());
    let load = Load::on(&server, "/run/0");
    let tmux = Tmux::start(80, 24, &in_shell(runtime.path(), "site --every 300ms"));
    let busy = |screen: &str| {
        let line = screen.lines().find(|line| line.starts_with("behaviour ")).unwrap_or_default().to_owned();
        let failed = line.split_whitespace().nth(4).and_then(|rate| rate.parse::<f64>().ok());
        failed.is_some_and(|failed| failed > 0.0) && screen.contains("wasm `unreachable`")
    };
    let screen = tmux.until(busy);
    assert!(screen.contains("site 1.2.3") && screen.contains("web → behaviour"), "{screen}");
    assert!(screen.lines().all(|line| line.chars().count() <= 80), "{screen}");

    tmux.run(&["resize-window", "-x", "200", "-y", "60"]);
    let screen = tmux.until(|screen| screen.contains("of 16MiB") && screen.contains("BREAKER") && busy(screen));
    assert!(screen.lines().count() > 50, "{screen}");

    tmux.keys(&["f", "Enter"]);
    tmux.until(|screen| screen.contains("thrown out") && screen.contains("≤") && screen.contains("site/behaviour/"));
    tmux.keys(&["Escape"]);
    tmux.keys(&["/", "w", "e", "b", "Enter"]);
    tmux.until(|screen| !screen.contains("\nbehaviour ") && screen.contains("showing `web`"));
    // Alone: with what comes right after it, it would be another key.
    tmux.keys(&["Escape"]);
    tmux.until(|screen| !screen.contains("showing"));
    tmux.keys(&["?"]);
    tmux.until(|screen| screen.contains("by the 99th percentile"));
    tmux.keys(&["Escape"]);

    // Another node takes its place.
    server.stop();
    tmux.until(|screen| screen.contains("GONE"));
    let server = Server::start_in(app.path(), &["--workers", "1"], runtime.path());
    let other = Load::on(&server, "/run/0");
    tmux.until(|screen| screen.contains("of 1 workers") && !screen.contains("GONE") && busy(screen));
    tmux.keys(&["q"]);
    let screen = tmux.until(|screen| screen.contains("lines again"));
    assert!(screen.contains("ended 0") && !screen.contains("COMPONENT"), "{screen}");
    drop((load, other));

    // However it ends.
    for (signal, how) in [("-TERM", "ended 0"), ("-INT", "ended 0")] {
        let tmux = Tmux::start(80, 24, &in_shell(runtime.path(), "site"));
        tmux.until(|screen| screen.contains("COMPONENT"));
        let pane = tmux.run(&["display-message", "-p", "#{pane_pid}"]);
        let stopped = Command::new("pkill").args([signal, "-P", pane.trim(), "watertight"]).status();
        assert!(stopped.is_ok_and(|status| status.success()), "it was there");
        let screen = tmux.until(|screen| screen.contains("lines again"));
        assert!(screen.contains(how) && !screen.contains("COMPONENT"), "{screen}");
    }
    server.stop();
}

#[tokio::test]
async fn without_a_terminal_it_says_so_and_once_is_for_machines() {
    let runtime = tempfile::tempdir().expect("the temporary folder is writable");
    let server = Server::start_in(site("trap").path(), &["--workers", "1"], runtime.path());
    let top = |args: &[&str]| ended(watertight(&["top"]).args(args).env("XDG_RUNTIME_DIR", runtime.path()));
    let none = top(&[]);
    assert!(none.code == Some(2) && none.stderr.contains("no terminal") && none.stderr.contains("--once"), "{none:?}");
    for _ in 0..3 {
        assert_eq!(get(server.address, "/run/0").await.expect("it answers").0, 502);
    }
    let once = top(&["--once", "--every", "10ms"]);
    assert_eq!(once.code, Some(0), "{once:?}");
    assert!(once.stdout.contains("site 1.2.3") && once.stdout.contains("web → behaviour"), "{}", once.stdout);
    let json = top(&["--format", "json", "--every", "10ms"]);
    let told: Value = serde_json::from_str(&json.stdout).expect("it is one JSON object");
    assert_eq!((&told["app"], &told["components"][1]["name"]), (&"site".into(), &"behaviour".into()), "{told}");
    assert_eq!((&told["components"][1]["failed"], &told["edges"][0]["calls"]), (&3.into(), &3.into()), "{told}");
    server.stop();
    assert_eq!(top(&["--once"]).code, Some(67));
}
