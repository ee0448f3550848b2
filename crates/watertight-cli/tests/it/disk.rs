//! A disk that is full, or refuses to go on: the guest gets the error, and loses nothing else.

use std::process::Command;

use crate::{
    files::AppFolder,
    program::{Ended, ended, run, watertight},
};

/// A guest of each version of WASI that does as it is told, and what it exports.
const VERSIONS: [(&str, &str); 2] = [("disk", "watertight:test/disk"), ("disk3", "watertight:later/disk")];

fn app(guest: &str) -> AppFolder {
    let manifest = format!(
        "[app]\nname = \"disk\"\n[component.writer]\nsource = \"{guest}.wasm\"\n\
         grants = {{ dirs = [{{ host = \"data\", guest = \"/data\", mode = \"rw\" }}] }}\n"
    );
    let app = AppFolder::new(&manifest, &[guest]);
    std::fs::create_dir(app.path().join("data")).expect("it is empty");
    // What follows may not write as much as a compiled component.
    assert_eq!(run(&["compile", app.text()]).code, Some(0));
    app
}

/// Runs a script, by a shell that does something before.
fn script(app: &AppFolder, interface: &str, before: &[&str], steps: &[&str]) -> Ended {
    let steps: Vec<_> = steps.iter().map(|step| format!("\"{step}\"")).collect();
    let call = format!("{interface}#run([{}])", steps.join(", "));
    let program = watertight(&["run", app.text(), "--invoke", &call]);
    let mut command = Command::new(before[0]);
    command.args(&before[1..]).arg(program.get_program()).args(program.get_args());
    for (name, value) in program.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command.env(name, value);
    }
    ended(&mut command)
}

const STEPS: [&str; 8] = [
    "open f /data/f cw",
    "append f 40000",
    "append f 1000000",
    "open g /data/g cw",
    "append g 1",
    "size f 4096",
    "append g 4000",
    "stat /data/g",
];

#[test]
fn a_write_past_the_limit_of_the_process_is_an_error_and_not_its_end() {
    for (guest, interface) in VERSIONS {
        let app = app(guest);
        let limited = ["sh", "-c", "ulimit -f 200; exec \"$@\"", "sh"];
        let ended = script(&app, interface, &limited, &STEPS);
        let said = r#"["ok", "ok", "file-too-large", "ok", "ok", "ok", "ok", "4001"]"#;
        assert_eq!((ended.code, ended.stdout.trim_end()), (Some(0), said), "{ended:?}");
    }
}

#[test]
fn a_full_disk_is_an_error_and_what_is_freed_can_be_written_again() {
    // A small disk of its own needs a namespace of its own, which not every machine gives.
    let namespace = ["unshare", "--user", "--map-root-user", "--mount"];
    if !Command::new(namespace[0]).args(&namespace[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        return;
    }
    for (guest, interface) in VERSIONS {
        let app = app(guest);
        let small = format!("mount -t tmpfs -o size=64k none {}/data && exec \"$@\"", app.text());
        let before = [&namespace[..], &["sh", "-c", &small, "sh"]].concat();
        let ended = script(&app, interface, &before, &STEPS);
        let said = r#"["ok", "ok", "insufficient-space", "ok", "insufficient-space", "ok", "ok", "4000"]"#;
        assert_eq!((ended.code, ended.stdout.trim_end()), (Some(0), said), "{ended:?}");
    }
}
