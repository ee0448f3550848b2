//! What a module made by Go needs before it can be a component.
//!
//! **Memory for the adapter for WASI.** Go takes it that nobody else grows its memory, and the adapter needs some before Go has
//! started. So the module reserves an array, and `cabi_realloc`, which is added here, hands that out from its beginning, once, and
//! traps at its end.
//!
//! **No calls while values are received.** The canonical ABI has a module allocate what it receives, and does not let it call
//! anything meanwhile. Go may collect garbage then, and asks for the time. So what is called of it then (`cabi_…`) sets a flag,
//! and while that is set the clock stands still.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportSection, Function, FunctionSection, GlobalSection, GlobalType,
    Instruction, MemArg, Module, TypeSection, ValType,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{
    BinaryReaderError, CodeSectionReader, Data, DataKind, ExportSectionReader, ExternalKind, FunctionSectionReader,
    GlobalSectionReader, Operator, Parser, Payload, TypeRef, TypeSectionReader,
};

/// How the array begins; `runtime.go` has the same.
const MARK: [u8; 32] = [
    0x57, 0x61, 0x74, 0x65, 0x72, 0x74, 0x69, 0x67, 0x68, 0x74, 0x9b, 0x1f, 0xc3, 0x5e, 0x80, 0xd7, 0xe2, 0x46, 0xa9,
    0x0d, 0x73, 0xb8, 0x2c, 0xf1, 0x95, 0x3a, 0x6e, 0xd4, 0x08, 0xbd, 0x51, 0xfa,
];

/// How long it is.
const BYTES: u32 = 4 << 16;

/// How the names of functions begin that may not call anything.
const RECEIVING: &str = "cabi_";

/// A module, and what is added to it.
#[derive(Default)]
struct Changes {
    types: u32,
    functions: u32,
    globals: u32,
    /// The type of each function.
    function_types: Vec<u32>,
    /// How many parameters each type has, for types of functions.
    parameters: Vec<u32>,
    /// Where the array is.
    array: Option<u32>,
    /// The imported function that tells the time.
    clock: Option<u32>,
    /// Exported functions that may not call anything.
    receiving: Vec<u32>,
}

/// The module with all of that.
pub(super) fn prepared(module: &[u8]) -> Result<Vec<u8>, String> {
    let unreadable = |error: BinaryReaderError| format!("Go made a module that cannot be read: {error}");
    let mut changes = Changes::of(module).map_err(unreadable)?;
    if changes.array.is_none() {
        return Err("the module has no memory for the adapter: is its package `bindings` another's?".to_owned());
    }
    let mut prepared = Module::new();
    utils::parse_core_module(&mut changes, &mut prepared, Parser::new(0), module)
        .map_err(|error| format!("Go made a module that cannot be changed: {error}"))?;
    Ok(prepared.finish())
}

impl Changes {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the other sections stay as they are")]
    fn of(module: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut known = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::TypeSection(types) => {
                    known.types = types.count();
                    for ty in types.into_iter_err_on_gc_types() {
                        known.parameters.push(u32::try_from(ty?.params().len()).unwrap_or(u32::MAX));
                    }
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        match import.ty {
                            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                                if import.name == "clock_time_get" {
                                    known.clock = Some(known.functions);
                                }
                                known.function_types.push(ty);
                                known.functions += 1;
                            }
                            TypeRef::Global(_) => known.globals += 1,
                            TypeRef::Table(_) | TypeRef::Memory(_) | TypeRef::Tag(_) => {}
                        }
                    }
                }
                Payload::FunctionSection(functions) => {
                    known.functions += functions.count();
                    for ty in functions {
                        known.function_types.push(ty?);
                    }
                }
                Payload::GlobalSection(globals) => known.globals += globals.count(),
                Payload::ExportSection(exports) => {
                    for export in exports {
                        let export = export?;
                        if export.kind == ExternalKind::Func && export.name.starts_with(RECEIVING) {
                            known.receiving.push(export.index);
                        }
                    }
                }
                Payload::DataSection(data) => {
                    for data in data {
                        known.array = known.array.or(array(&data?));
                    }
                }
                _ => {}
            }
        }
        Ok(known)
    }

    /// What of the array is not given away; whether values are received; the time of day and of the other clock, as last told.
    const fn global(&self, index: u32) -> u32 {
        self.globals + index
    }

    /// The functions that are added: this one allocates,
    const fn allocator(&self) -> u32 {
        self.functions
    }

    /// this one tells the time, or what it was,
    const fn watch(&self) -> u32 {
        self.functions + 1
    }

    /// and these are called in the place of those that may not call anything.
    fn receiver(&self, function: u32) -> Option<u32> {
        let at = self.receiving.iter().position(|receiving| *receiving == function)?;
        Some(self.functions + 2 + u32::try_from(at).ok()?)
    }

    fn type_of(&self, function: u32) -> u32 {
        self.function_types.get(function as usize).copied().unwrap_or(self.types)
    }

    fn allocate(&self) -> Function {
        use Instruction::{
            Else, End, GlobalGet, GlobalSet, I32Add, I32And, I32Const, I32GtU, I32LtU, I32Or, I32Sub, If, LocalGet,
            LocalTee, Unreachable,
        };
        let (align, size, place, after) = (2, 3, 4, 5);
        let (free, end) = (self.global(0), self.array.unwrap_or(0).saturating_add(BYTES));
        function(
            &[(2, ValType::I32)],
            &[
                // place = (free + align - 1) & -align
                GlobalGet(free),
                LocalGet(align),
                I32Add,
                I32Const(1),
                I32Sub,
                I32Const(0),
                LocalGet(align),
                I32Sub,
                I32And,
                LocalTee(place),
                // after = place + size, which is neither beyond the end nor around it
                LocalGet(size),
                I32Add,
                LocalTee(after),
                I32Const(end.cast_signed()),
                I32GtU,
                LocalGet(after),
                LocalGet(place),
                I32LtU,
                I32Or,
                If(BlockType::Empty),
                Unreachable,
                Else,
                LocalGet(after),
                GlobalSet(free),
                End,
                LocalGet(place),
                End,
            ],
        )
    }

    /// Of a clock, a precision and a place it gives whether the time is there.
    fn tell_time(&self) -> Function {
        use Instruction::{
            Call, Else, End, GlobalGet, GlobalSet, I32Const, I64Load, I64Store, If, LocalGet, Return, Select,
        };
        let (clock, precision, place) = (0, 1, 2);
        let (receiving, of_day, monotonic) = (self.global(1), self.global(2), self.global(3));
        let at = MemArg { offset: 0, align: 3, memory_index: 0 };
        let Some(import) = self.clock else {
            return function(&[], &[Instruction::Unreachable, End]);
        };
        function(
            &[],
            &[
                GlobalGet(receiving),
                If(BlockType::Empty),
                LocalGet(place),
                GlobalGet(monotonic),
                GlobalGet(of_day),
                LocalGet(clock),
                Select,
                I64Store(at),
                I32Const(0),
                Return,
                End,
                LocalGet(clock),
                LocalGet(precision),
                LocalGet(place),
                Call(import),
                LocalGet(clock),
                If(BlockType::Empty),
                LocalGet(place),
                I64Load(at),
                GlobalSet(monotonic),
                Else,
                LocalGet(place),
                I64Load(at),
                GlobalSet(of_day),
                End,
                End,
            ],
        )
    }

    fn receive(&self, called: u32) -> Function {
        use Instruction::{Call, End, GlobalSet, I32Const, LocalGet};
        let flag = self.global(1);
        let parameters = self.parameters.get(self.type_of(called) as usize).copied().unwrap_or(0);
        let mut body = vec![I32Const(1), GlobalSet(flag)];
        body.extend((0..parameters).map(LocalGet));
        body.extend([Call(called), I32Const(0), GlobalSet(flag), End]);
        function(&[], &body)
    }
}

impl Reencode for Changes {
    type Error = std::convert::Infallible;

    /// Whoever asked for the time asks the watch.
    fn function_index(&mut self, function: u32) -> Result<u32, Error<Self::Error>> {
        Ok(if self.clock == Some(function) { self.watch() } else { function })
    }

    fn parse_type_section(
        &mut self,
        types: &mut TypeSection,
        section: TypeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32; 4], [ValType::I32]);
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.types);
        functions.function(self.clock.map_or(self.types, |clock| self.type_of(clock)));
        for function in &self.receiving {
            functions.function(self.type_of(*function));
        }
        Ok(())
    }

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_global_section(self, globals, section)?;
        let mutable = |val_type| GlobalType { val_type, mutable: true, shared: false };
        let array = self.array.unwrap_or(0).cast_signed();
        globals.global(mutable(ValType::I32), &ConstExpr::i32_const(array));
        globals.global(mutable(ValType::I32), &ConstExpr::i32_const(0));
        globals.global(mutable(ValType::I64), &ConstExpr::i64_const(0));
        globals.global(mutable(ValType::I64), &ConstExpr::i64_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        for export in section {
            let mut export = export?;
            if export.kind == ExternalKind::Func {
                export.index = self.receiver(export.index).unwrap_or(export.index);
            }
            utils::parse_export(self, exports, export)?;
        }
        exports.export("cabi_realloc", wasm_encoder::ExportKind::Func, self.allocator());
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), Error<Self::Error>> {
        utils::parse_code_section(self, code, section)?;
        code.function(&self.allocate());
        code.function(&self.tell_time());
        for function in &self.receiving {
            code.function(&self.receive(*function));
        }
        Ok(())
    }
}

/// Where the array is, if it begins in this data.
fn array(data: &Data<'_>) -> Option<u32> {
    let DataKind::Active { memory_index: 0, offset_expr } = &data.kind else { return None };
    let Ok(Operator::I32Const { value }) = offset_expr.get_operators_reader().read() else { return None };
    let at = data.data.windows(MARK.len()).position(|bytes| bytes == MARK)?;
    value.cast_unsigned().checked_add(u32::try_from(at).ok()?)
}

fn function(locals: &[(u32, ValType)], body: &[Instruction<'_>]) -> Function {
    let mut function = Function::new(locals.iter().copied());
    for instruction in body {
        function.instruction(instruction);
    }
    function
}
