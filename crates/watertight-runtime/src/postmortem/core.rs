//! The memory of a failed cell as a Wasm core dump: the format of the WebAssembly tool conventions, which debuggers read.
//!
//! It has to be copied while the cell's store is there, by the thread that ran the cell, so only so much is copied. Wasmtime's own
//! writer is not used: it panics at globals that refer to exceptions, and at components that are composed of others. What the tools
//! want is here all the same: memories, globals, modules, instances with the memory they export, the stack.

use wasm_encoder::{
    ConstExpr, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection, CoreDumpStackSection, DataSection,
    GlobalSection, GlobalType, MemorySection, MemoryType, Module,
};
use wasmtime::{Memory, Mutability, Store, Val, ValType, WasmCoreDump};

/// Bytes of linear memory that a cell may have for its core dump to be kept.
const MAX_MEMORY_BYTES: usize = 32 << 20;

/// Modules, instances, globals and memories that a cell may have for its core dump to be kept.
const MAX_PARTS: usize = 1 << 16;

/// Memory is kept in pieces of this size, those that are zero left out.
const PIECE: usize = 4096;

/// The core dump of an error, or why there is none.
pub(super) fn dump<T: 'static>(error: &wasmtime::Error, store: &mut Store<T>, name: &str) -> Result<Vec<u8>, String> {
    let Some(dump) = error.downcast_ref::<WasmCoreDump>() else {
        return Err("the cell was not in its own code when it failed".to_owned());
    };
    let memory: usize = dump.memories().iter().map(|memory| memory.data_size(&mut *store)).sum();
    if memory > MAX_MEMORY_BYTES {
        return Err(format!("its memory has {} MiB, and up to {} MiB are kept", memory >> 20, MAX_MEMORY_BYTES >> 20));
    }
    if dump.globals().len() + dump.instances().len() + dump.modules().len() + dump.memories().len() > MAX_PARTS {
        return Err("it has too many parts".to_owned());
    }
    let mut module = Module::new();
    module.section(&CoreDumpSection::new(name));
    let (memories, data) = self::memories(dump, store);
    module.section(&memories).section(&globals(dump, store)).section(&data);
    module.section(&modules(dump)).section(&instances(dump, store)).section(&stack(dump, store));
    Ok(module.finish())
}

fn memories<T: 'static>(dump: &WasmCoreDump, store: &mut Store<T>) -> (MemorySection, DataSection) {
    let (mut memories, mut data) = (MemorySection::new(), DataSection::new());
    for (index, memory) in (0..).zip(dump.memories()) {
        let ty = memory.ty(&*store);
        memories.memory(MemoryType {
            minimum: memory.size(&*store),
            maximum: ty.maximum(),
            memory64: ty.is_64(),
            shared: false,
            page_size_log2: None,
        });
        for (number, piece) in memory.data(&*store).chunks(PIECE).enumerate() {
            if piece == &[0; PIECE][..piece.len()] {
                continue;
            }
            let start = piece.iter().position(|byte| *byte != 0).unwrap_or(0);
            let end = piece.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let at = (number * PIECE + start) as u64;
            let offset = if ty.is_64() {
                ConstExpr::i64_const(at.cast_signed())
            } else {
                ConstExpr::i32_const(u32::try_from(at).unwrap_or(u32::MAX).cast_signed())
            };
            data.active(index, &offset, piece[start..end].iter().copied());
        }
    }
    (memories, data)
}

/// Globals with a number in them; references point to what is gone with the store, and stand as numbers too.
fn globals<T: 'static>(dump: &WasmCoreDump, store: &mut Store<T>) -> GlobalSection {
    use wasm_encoder::ValType as Encoded;

    let mut globals = GlobalSection::new();
    for global in dump.globals() {
        let ty = global.ty(&mut *store);
        let is_number = !matches!(ty.content(), ValType::Ref(_));
        let (val_type, value) = match is_number.then(|| global.get(&mut *store)) {
            Some(Val::I64(value)) => (Encoded::I64, ConstExpr::i64_const(value)),
            Some(Val::F32(bits)) => (Encoded::F32, ConstExpr::f32_const(f32::from_bits(bits).into())),
            Some(Val::F64(bits)) => (Encoded::F64, ConstExpr::f64_const(f64::from_bits(bits).into())),
            Some(Val::V128(value)) => (Encoded::V128, ConstExpr::v128_const(value.as_u128().cast_signed())),
            Some(Val::I32(value)) => (Encoded::I32, ConstExpr::i32_const(value)),
            _ => (Encoded::I32, ConstExpr::i32_const(0)),
        };
        globals.global(GlobalType { val_type, mutable: ty.mutability() == Mutability::Var, shared: false }, &value);
    }
    globals
}

fn modules(dump: &WasmCoreDump) -> CoreDumpModulesSection {
    let mut modules = CoreDumpModulesSection::new();
    for (index, module) in dump.modules().iter().enumerate() {
        match module.name() {
            Some(name) => modules.module(name),
            None => modules.module(format!("<module {index}>")),
        };
    }
    modules
}

fn instances<T: 'static>(dump: &WasmCoreDump, store: &mut Store<T>) -> CoreDumpInstancesSection {
    let mut instances = CoreDumpInstancesSection::new();
    for instance in dump.instances() {
        let of = instance.module(&*store).clone();
        let module = dump.modules().iter().position(|module| wasmtime::Module::same(module, &of));
        let exported: Vec<Memory> = instance.exports(&mut *store).filter_map(|export| export.into_memory()).collect();
        let place = |memory: &Memory| {
            let start = memory.data_ptr(&*store);
            dump.memories().iter().position(|known| known.data_ptr(&*store) == start).and_then(index)
        };
        let memories: Vec<u32> = exported.iter().filter_map(place).collect();
        instances.instance(module.and_then(index).unwrap_or(0), memories, []);
    }
    instances
}

fn stack<T: 'static>(dump: &WasmCoreDump, store: &mut Store<T>) -> CoreDumpStackSection {
    let mut stack = CoreDumpStackSection::new("main");
    for frame in dump.frames() {
        // Of several instances of one module, nobody knows which it is: the last.
        let of = |instance: &wasmtime::Instance| wasmtime::Module::same(instance.module(&*store), frame.module());
        let instance = dump.instances().iter().rposition(of).and_then(index).unwrap_or(0);
        let offset = frame.func_offset().and_then(|offset| u32::try_from(offset).ok()).unwrap_or(0);
        stack.frame(instance, frame.func_index(), offset, [], []);
    }
    stack
}

fn index(place: usize) -> Option<u32> {
    u32::try_from(place).ok()
}
