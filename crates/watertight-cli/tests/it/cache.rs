//! The compile cache under people and processes that do not mean well.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{
    files::{AppFolder, built, site},
    program::{ended, run, watertight},
};

/// Every entry of a cache.
fn entries(cache: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(cache.join("v1")).expect("the cache was made").flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).expect("it is a folder").flatten());
    files.map(|file| file.path()).collect()
}

/// How many components were compiled, and how many were there.
fn compile(app: &str, cache: &Path) -> (u64, u64) {
    let cache = cache.to_str().expect("test paths are text");
    let ended = run(&["compile", app, "--format", "json", "--cache-dir", cache]);
    let seen: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    (seen["compiled"].as_u64().expect("a number"), seen["cached"].as_u64().expect("a number"))
}

#[test]
fn a_damaged_entry_is_made_anew_and_never_loaded() {
    let app = AppFolder::new("", &["ok"]);
    let guest = app.path().join("ok.wasm");
    let guest = guest.to_str().expect("test paths are text");
    let cache = app.path().join("cache");
    assert_eq!(compile(guest, &cache), (1, 0));
    let sound = fs::read(&entries(&cache)[0]).expect("it is there");
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x40;
        bytes
    };
    for damaged in
        [flipped(0), flipped(sound.len() / 2), flipped(sound.len() - 1), sound[..sound.len() / 2].to_vec(), Vec::new()]
    {
        fs::write(&entries(&cache)[0], damaged).expect("it is ours");
        let args = ["run", guest, "--invoke", "run(1)", "--cache-dir", cache.to_str().expect("text")];
        let ran = run(&args);
        assert_eq!((ran.code, ran.stdout.trim_end()), (Some(0), "ok(2)"), "{ran:?}");
        assert_eq!(entries(&cache).len(), 1, "the damaged entry is gone");
        assert_eq!(fs::read(&entries(&cache)[0]).expect("it is there").len(), sound.len());
        assert_eq!(compile(guest, &cache), (0, 1));
    }
}

#[test]
fn an_entry_for_another_component_is_not_taken() {
    let app = AppFolder::new("", &[]);
    let cache = app.path().join("cache");
    compile(&built("ok"), &cache);
    let ok = entries(&cache).remove(0);
    compile(&built("trap"), &cache);
    let trap = entries(&cache).into_iter().find(|entry| *entry != ok).expect("there are two");
    // The content of one under the name of the other, and under its own name in the other's place.
    fs::copy(&ok, &trap).expect("it is ours");
    let cache_dir = cache.to_str().expect("test paths are text");
    let ran = run(&["run", &built("trap"), "--invoke", "run(1)", "--cache-dir", cache_dir]);
    assert_eq!(ran.code, Some(134), "it traps, and is not `ok`: {ran:?}");
}

#[test]
fn several_processes_fill_one_cache_at_once() {
    let app = site("ok");
    let cache = app.path().join("cache");
    let args = ["compile", app.text(), "--format", "json", "--cache-dir", cache.to_str().expect("test paths are text")];
    let running: Vec<_> = (0..4)
        .map(|_| watertight(&args).stdout(std::process::Stdio::piped()).spawn().expect("the program can be started"))
        .collect();
    for process in running {
        let output = process.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    assert_eq!(compile(app.text(), &cache), (0, 2));
    assert_eq!(entries(&cache).len(), 2, "one entry each, and no file is left over");
}

#[test]
fn a_cache_that_cannot_be_written_to_costs_a_compile_and_nothing_else() {
    let app = AppFolder::new("", &[]);
    let cache = app.path().join("cache");
    fs::create_dir(&cache).expect("it is empty");
    // A file where a folder is to be; file modes would not stop a superuser.
    compile(&built("ok"), &cache);
    let folder = entries(&cache).remove(0).parent().expect("it has one").to_owned();
    fs::remove_dir_all(&folder).expect("it is ours");
    fs::write(&folder, "in the way").expect("it is ours");
    let cache = cache.to_str().expect("test paths are text");
    let ran = ended(&mut watertight(&["run", &built("ok"), "--invoke", "run(1)", "--cache-dir", cache]));
    assert_eq!((ran.code, ran.stdout.trim_end()), (Some(0), "ok(2)"), "{ran:?}");
    // For the one command that is there to fill the cache, it is a failure.
    let compiled = run(&["compile", &built("ok"), "--cache-dir", cache]);
    assert_eq!((compiled.code, compiled.stdout.as_str()), (Some(73), ""), "{compiled:?}");
    assert!(compiled.stderr.contains("cannot be written to"), "{compiled:?}");
}
