//! CPython, by componentize-py from PyPI: the wheel has the interpreter and its library in it, and takes the snapshot itself.

use std::{fs, path::Path, process::Command};

use anyhow::Result;
use wasm_encoder::{BlockType, Function, MemArg, ValType};

use super::{
    Sources,
    clang::componentized,
    linked::{Given, Plan, linked},
    output,
};
use crate::guests::entries;

/// It decides the version of CPython.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// What tests try as it comes from PyPI.
const PACKAGES: [&str; 3] = ["bottle==0.13.4", "jinja2==3.1.6", "starlette==1.10.0"];

pub(super) fn build(sources: &Sources, tools: &Path, out: &Path) -> Result<()> {
    let packages = tools.join(COMPONENTIZE_PY);
    let program = packages.join("bin/componentize-py");
    if !program.exists() {
        install(&packages, &[COMPONENTIZE_PY])?;
    }
    // Built from a copy: it writes beside what it reads.
    let scratch = tempfile::tempdir()?;
    let (wit, modules) = (scratch.path().join("wit"), scratch.path().join("modules"));
    sources.wit_folder(&wit)?;
    fs::copy(sources.own.join("interpreter.wit"), wit.join("interpreter.wit"))?;
    fs::create_dir(&modules)?;
    for file in entries(&sources.own)?.iter().filter(|file| file.extension().is_some_and(|ending| ending == "py")) {
        fs::copy(file, modules.join(file.file_name().unwrap_or_default()))?;
    }
    let mut componentize = Command::new("python3");
    componentize.arg(program).arg("-d").arg(&wit).args(["-w", "interpreter", "componentize", "-p"]).arg(&modules);
    let many = scratch.path().join("many.wasm");
    output(componentize.args(["shell", "-o"]).arg(&many).current_dir(scratch.path()).env("PYTHONPATH", &packages))?;
    let one = linked(&fs::read(many)?, &PLAN)?;
    fs::write(out, componentized(one, &wit)?)?;
    Ok(())
}

/// componentize-py's libraries: the C library was made for an older release of WASI 0.2, and there is an export to initialise them.
const PLAN: Plan = Plan {
    allocator: "wit_dylib_dealloc_bytes",
    stays: |name| !name.contains("exports#"),
    interface: |name| match name.split_once("@0.2.") {
        Some((interface, _)) => format!("{interface}@0.2.12"),
        None => name.to_owned(),
    },
    given: &[
        Given { name: "keep", calls: &[], variables: &[], body: keep },
        Given { name: "fill", calls: &["malloc", "free"], variables: &[], body: fill },
        Given { name: "forget", calls: &["__wasilibc_reset_preopens"], variables: &[], body: forget },
        Given { name: "stand-in", calls: &["malloc"], variables: &["libc.so:__wasilibc_cwd"], body: stand_in },
    ],
};

/// The count of references that CPython, where pointers have 32 bits, takes for none: `_Py_IMMORTAL_INITIAL_REFCNT`.
const IMMORTAL: i32 = 5 << 28;

/// `(addresses, bytes)`: gives each object that count.
fn keep(_: &[u32], _: &[i32]) -> Function {
    let mut body = Function::new([]);
    let mut code = body.instructions();
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(1).i32_eqz().br_if(1);
    code.local_get(0).i32_load(WORD).i32_const(IMMORTAL).i32_store(WORD);
    code.local_get(0).i32_const(4).i32_add().local_set(0);
    code.local_get(1).i32_const(4).i32_sub().local_set(1);
    code.br(0).end().end().end();
    body
}

/// Takes what is free: for every size from large to small, allocates until that lies where the memory ended. What was taken stays so, and
/// there is room behind it; `fill_holes` in `runtimes/shared/host.c` does the same.
fn fill(calls: &[u32], _: &[i32]) -> Function {
    let [malloc, free] = calls else { unreachable!("two are asked for") };
    let (end, size, new) = (0, 1, 2);
    let mut body = Function::new([(3, ValType::I32)]);
    let mut code = body.instructions();
    code.memory_size(0).i32_const(16).i32_shl().local_set(end);
    code.i32_const(1 << 18).local_set(size);
    code.loop_(BlockType::Empty);
    code.loop_(BlockType::Empty);
    code.local_get(size).call(*malloc).local_tee(new).local_get(end).i32_lt_u().br_if(0).end();
    code.local_get(new).call(*free);
    code.local_get(size).local_get(size).i32_const(3).i32_shr_u().i32_const(8).i32_add().i32_sub().local_tee(size);
    code.i32_const(8).i32_gt_s().br_if(0).end();
    code.i32_const(1 << 20).call(*malloc).call(*free).end();
    body
}

/// Has the C library look for the folders anew.
fn forget(calls: &[u32], _: &[i32]) -> Function {
    let [reset] = calls else { unreachable!("one is asked for") };
    let mut body = Function::new([]);
    body.instructions().call(*reset).end();
    body
}

/// `(text, bytes)`: copies the text, and has the C library's variable point to it.
fn stand_in(calls: &[u32], variables: &[i32]) -> Function {
    let ([malloc], [variable]) = (calls, variables) else { unreachable!("one each is asked for") };
    let (text, bytes, copy) = (0, 1, 2);
    let mut body = Function::new([(1, ValType::I32)]);
    let mut code = body.instructions();
    code.local_get(bytes).call(*malloc).local_tee(copy).local_get(text).local_get(bytes).memory_copy(0, 0);
    code.i32_const(*variable).local_get(copy).i32_store(WORD).end();
    body
}

const WORD: MemArg = MemArg { offset: 0, align: 2, memory_index: 0 };

pub(super) fn packages_for_tests(folder: &Path) -> Result<()> {
    if !folder.join("starlette").exists() {
        install(folder, &PACKAGES)?;
    }
    Ok(())
}

/// Into a folder of its own: that needs no virtual environment, and touches no Python of the system.
fn install(folder: &Path, packages: &[&str]) -> Result<()> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    output(pip.arg(folder).args(packages))?;
    Ok(())
}
