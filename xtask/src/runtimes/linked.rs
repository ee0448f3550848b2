#![expect(clippy::wildcard_enum_match_arm, reason = "of the many sections and instructions, a few matter here")]
//! One core module of a component that links many when it is instantiated.
//!
//! componentize-py makes a component of some twelve dynamic libraries: each cell would have the engine connect thousands of functions
//! and globals, fill a table by hand, and call from library to library through pointers. Here that is done once. Functions, types,
//! tables and memories of all libraries go into one module, imports that another library meets become its functions, globals
//! that nothing changes become constants, and what nothing can reach is left out. The result imports and exports what the libraries did
//! on the outside, by the same names, so that `wit-component` makes a component of it again.
//!
//! It takes what such a component is after its snapshot was taken: no start functions, one memory whose content is one module's data,
//! one table. It fails on whatever else it meets.

mod module;
mod parts;

use std::collections::{BTreeMap, HashMap, HashSet, hash_map::Entry};

use anyhow::{Context as _, Result, bail, ensure};
use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ElementSection, Elements, EntityType, ExportKind, ExportSection,
    FunctionSection, GlobalSection, ImportSection, Instruction, MemorySection, Module as Encoded, TableSection,
    TypeSection, reencode,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{DataKind, ElementItems, ElementKind, ExternalKind, FuncType, Operator, TypeRef};

use self::{
    module::Module,
    parts::{Met, Parts},
};

/// The name of the memory and of the function that allocates in it, as `wit-component` looks for them.
const MEMORY: &str = "memory";
const REALLOC: &str = "cabi_realloc";

/// What of a component becomes what of the module.
pub(super) struct Plan {
    /// Something that the module exports whose `cabi_realloc` serves all.
    pub(super) allocator: &'static str,
    /// Which of the functions that the component exports stay.
    pub(super) stays: fn(&str) -> bool,
    /// What the interface of an import is called.
    pub(super) interface: fn(&str) -> String,
    /// Imports of the world itself that are met here.
    pub(super) given: &'static [Given],
}

/// A function of the new module's own.
pub(super) struct Given {
    /// As the world has it.
    pub(super) name: &'static str,
    /// Functions that the modules export, for it to call.
    pub(super) calls: &'static [&'static str],
    /// Variables that the modules export, for it to know their addresses.
    pub(super) variables: &'static [&'static str],
    /// Its code, with the places of those functions and the addresses of those variables.
    pub(super) body: fn(&[u32], &[i32]) -> wasm_encoder::Function,
}

/// Where functions of a world itself are imported from.
const ROOT: &str = "$root";

/// Links the modules of a component into one.
pub(super) fn linked(component: &[u8], plan: &Plan) -> Result<Vec<u8>> {
    let parts = Parts::read(component)?;
    let mut linker = Linker::new(&parts, plan);
    let mut exports = BTreeMap::new();
    for (instance, name) in parts.lifted() {
        if (plan.stays)(name) {
            exports.insert(name, linker.function_of(instance, name)?);
        }
    }
    let allocator = parts.instance_of(plan.allocator);
    let allocator = allocator.with_context(|| format!("no module exports `{}`", plan.allocator))?;
    exports.insert(REALLOC, linker.function_of(allocator, REALLOC)?);
    linker.reach(exports.values().copied())?;
    linker.find_constants()?;
    linker.encode(&exports)
}

/// A function, wherever it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Function {
    /// From outside of the component, by its place among those.
    Outside(u32),
    /// A module's own, counted without its imports.
    Own(usize, u32),
    /// One of [`Plan::given`].
    Given(usize),
}

/// A global: module, and its place among the module's own.
type Global = (usize, u32);

struct Linker<'a> {
    parts: &'a Parts<'a>,
    plan: &'a Plan,
    /// What each import of each module is.
    functions: Vec<Vec<Option<Function>>>,
    /// The types of those given here.
    given: HashMap<usize, u32>,
    /// Interface, name and type of those from outside.
    outside: Vec<(String, &'a str, u32)>,
    /// The places of functions in the new module; first those from outside.
    reached: BTreeMap<Function, u32>,
    /// Globals that are set anywhere.
    set: HashSet<Global>,
    constants: HashMap<Global, Constant>,
    globals: Vec<Global>,
    places: HashMap<Global, u32>,
    types: HashMap<FuncType, u32>,
    type_order: Vec<FuncType>,
}

#[derive(Clone, Copy)]
enum Constant {
    I32(i32),
    I64(i64),
    F32(wasmparser::Ieee32),
    F64(wasmparser::Ieee64),
}

impl<'a> Linker<'a> {
    fn new(parts: &'a Parts<'a>, plan: &'a Plan) -> Self {
        Self {
            parts,
            plan,
            functions: parts.modules.iter().map(|module| vec![None; module.imported_functions.len()]).collect(),
            given: HashMap::new(),
            outside: Vec::new(),
            reached: BTreeMap::new(),
            set: HashSet::new(),
            constants: HashMap::new(),
            globals: Vec::new(),
            places: HashMap::new(),
            types: HashMap::new(),
            type_order: Vec::new(),
        }
    }

    /// The function that an instance exports.
    fn function_of(&mut self, instance: u32, name: &str) -> Result<Function> {
        match self.parts.met(instance, ExternalKind::Func, name)? {
            Met::Inside { module, index } => self.function(module, index),
            Met::Outside => bail!("`{name}` comes from outside and is exported again"),
        }
    }

    /// What a module calls by this index.
    fn function(&mut self, module: usize, index: u32) -> Result<Function> {
        let imported = &self.parts.modules[module].imported_functions;
        let Some(import) = imported.get(index as usize) else {
            return Ok(Function::Own(module, index - u32::try_from(imported.len())?));
        };
        if let Some(known) = self.functions[module][index as usize] {
            return Ok(known);
        }
        let found = match self.parts.import(module, ExternalKind::Func, import.module, import.name)? {
            Met::Outside => {
                let TypeRef::Func(ty) = import.ty else { bail!("an import of a function is none") };
                let ty = self.parts.modules[module].types[ty as usize].clone();
                let ty = self.place_of_type(ty);
                let given = self.plan.given.iter().position(|given| given.name == import.name);
                if let Some(given) = given.filter(|_| import.module == ROOT) {
                    self.given.insert(given, ty);
                    return Ok(Function::Given(given));
                }
                self.imported(((self.plan.interface)(import.module), import.name, ty))?
            }
            Met::Inside { module, index } => self.function(module, index)?,
        };
        self.functions[module][index as usize] = Some(found);
        Ok(found)
    }

    fn imported(&mut self, import: (String, &'a str, u32)) -> Result<Function> {
        let place = self.outside.iter().position(|known| *known == import).unwrap_or_else(|| {
            self.outside.push(import);
            self.outside.len() - 1
        });
        Ok(Function::Outside(u32::try_from(place)?))
    }

    /// The global that a module calls by this index.
    fn global(&self, module: usize, index: u32) -> Result<Global> {
        let imported = &self.parts.modules[module].imported_globals;
        let Some(import) = imported.get(index as usize) else {
            return Ok((module, index - u32::try_from(imported.len())?));
        };
        match self.parts.import(module, ExternalKind::Global, import.module, import.name)? {
            Met::Inside { module, index } => self.global(module, index),
            Met::Outside => bail!("the global `{}` comes from outside", import.name),
        }
    }

    fn place_of_type(&mut self, ty: FuncType) -> u32 {
        let next = u32::try_from(self.type_order.len()).unwrap_or(u32::MAX);
        match self.types.entry(ty) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                self.type_order.push(new.key().clone());
                *new.insert(next)
            }
        }
    }

    /// Finds all that can be called, from the exports and the table on.
    fn reach(&mut self, exports: impl Iterator<Item = Function>) -> Result<()> {
        let parts = self.parts;
        let mut next: Vec<_> = exports.collect();
        for (module, found) in parts.modules.iter().enumerate() {
            for element in &found.elements {
                match &element.items {
                    ElementItems::Functions(indices) => {
                        for index in indices.clone() {
                            next.push(self.function(module, index?)?);
                        }
                    }
                    ElementItems::Expressions(..) => bail!("a table is filled with expressions"),
                }
            }
        }
        while let Some(function) = next.pop() {
            if self.reached.insert(function, 0).is_some() {
                continue;
            }
            let (module, index) = match function {
                Function::Own(module, index) => (module, index),
                Function::Outside(_) => continue,
                Function::Given(given) => {
                    for name in self.plan.given[given].calls {
                        next.push(self.exported(name)?);
                    }
                    continue;
                }
            };
            let body = &parts.modules[module].bodies[index as usize];
            for operator in body.get_operators_reader()? {
                match operator? {
                    Operator::Call { function_index }
                    | Operator::ReturnCall { function_index }
                    | Operator::RefFunc { function_index } => next.push(self.function(module, function_index)?),
                    Operator::GlobalSet { global_index } => {
                        self.set.insert(self.global(module, global_index)?);
                    }
                    _ => {}
                }
            }
        }
        // Those from outside are less than the others: imports come first.
        for (place, reached) in self.reached.values_mut().enumerate() {
            *reached = u32::try_from(place)?;
        }
        Ok(())
    }

    /// Finds the globals that never change; the others get their places.
    fn find_constants(&mut self) -> Result<()> {
        for (module, found) in self.parts.modules.iter().enumerate() {
            for index in 0..u32::try_from(found.globals.len())? {
                let global = (module, index);
                if self.set.contains(&global) {
                    self.places.insert(global, u32::try_from(self.globals.len())?);
                    self.globals.push(global);
                } else {
                    let value = self.evaluate(module, &found.globals[index as usize].init_expr)?;
                    self.constants.insert(global, value);
                }
            }
        }
        Ok(())
    }

    /// The value of an initialiser: a constant, that of another global, or a sum of those.
    fn evaluate(&self, module: usize, expression: &wasmparser::ConstExpr<'_>) -> Result<Constant> {
        let mut stack = Vec::new();
        for operator in expression.get_operators_reader() {
            let value = match operator? {
                Operator::I32Const { value } => Constant::I32(value),
                Operator::I64Const { value } => Constant::I64(value),
                Operator::F32Const { value } => Constant::F32(value),
                Operator::F64Const { value } => Constant::F64(value),
                Operator::GlobalGet { global_index } => {
                    let (module, index) = self.global(module, global_index)?;
                    let global = &self.parts.modules[module].globals[index as usize];
                    ensure!(!global.ty.mutable, "an initialiser reads a global that may change");
                    self.evaluate(module, &global.init_expr)?
                }
                Operator::I32Add => match (stack.pop(), stack.pop()) {
                    (Some(Constant::I32(one)), Some(Constant::I32(other))) => Constant::I32(one.wrapping_add(other)),
                    _ => bail!("an initialiser adds what are no numbers"),
                },
                Operator::End => break,
                other => bail!("an initialiser computes: {other:?}"),
            };
            stack.push(value);
        }
        stack.pop().context("an initialiser is empty")
    }

    fn encode(mut self, exports: &BTreeMap<&'a str, Function>) -> Result<Vec<u8>> {
        let parts = self.parts;
        let mut imports = ImportSection::new();
        let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
        let reached: Vec<_> = self.reached.keys().copied().collect();
        for function in reached {
            let (module, index) = match function {
                Function::Own(module, index) => (module, index),
                Function::Given(given) => {
                    functions.function(self.given[&given]);
                    code.function(&self.body_of(given)?);
                    continue;
                }
                Function::Outside(place) => {
                    let (interface, name, ty) = &self.outside[place as usize];
                    imports.import(interface, name, EntityType::Function(*ty));
                    continue;
                }
            };
            let found = &parts.modules[module];
            let ty = self.place_of_type(found.types[found.functions[index as usize] as usize].clone());
            functions.function(ty);
            Moved { linker: &mut self, module }
                .parse_function_body(&mut code, found.bodies[index as usize].clone())
                .map_err(|error| anyhow::anyhow!("{error}"))?;
        }
        let mut globals = GlobalSection::new();
        for (module, index) in &self.globals {
            let global = &parts.modules[*module].globals[*index as usize];
            let ty = RoundtripReencoder.global_type(global.ty)?;
            globals.global(ty, &self.evaluate(*module, &global.init_expr)?.expression());
        }
        let elements = self.elements()?;
        let (table, memory, data) = contents(&parts.modules)?;
        let mut exported = ExportSection::new();
        exported.export(MEMORY, ExportKind::Memory, 0);
        for (name, function) in exports {
            exported.export(name, ExportKind::Func, self.reached[function]);
        }
        let mut types = TypeSection::new();
        for ty in &self.type_order {
            let mut reencoder = RoundtripReencoder;
            let each = |types: &[wasmparser::ValType], reencoder: &mut RoundtripReencoder| {
                types.iter().map(|ty| reencoder.val_type(*ty)).collect::<Result<Vec<_>, _>>()
            };
            types.ty().function(each(ty.params(), &mut reencoder)?, each(ty.results(), &mut reencoder)?);
        }
        let mut module = Encoded::new();
        module.section(&types).section(&imports).section(&functions).section(&table).section(&memory);
        module.section(&globals).section(&exported).section(&elements).section(&code).section(&data);
        Ok(module.finish())
    }

    /// The function that some module exports by this name.
    fn exported(&mut self, name: &'static str) -> Result<Function> {
        let instance = self.parts.instance_of(name).with_context(|| format!("no module exports `{name}`"))?;
        self.function_of(instance, name)
    }

    fn body_of(&mut self, given: usize) -> Result<wasm_encoder::Function> {
        let given = &self.plan.given[given];
        let (mut calls, mut addresses) = (Vec::new(), Vec::new());
        for name in given.calls {
            let function = self.exported(name)?;
            calls.push(self.reached[&function]);
        }
        for name in given.variables {
            let instance = self.parts.instance_of(name).with_context(|| format!("no module exports `{name}`"))?;
            let Met::Inside { module, index } = self.parts.met(instance, ExternalKind::Global, name)? else {
                bail!("`{name}` comes from outside")
            };
            match self.constants.get(&self.global(module, index)?) {
                Some(Constant::I32(address)) => addresses.push(*address),
                _ => bail!("`{name}` is no address"),
            }
        }
        Ok((given.body)(&calls, &addresses))
    }

    fn elements(&mut self) -> Result<ElementSection> {
        let parts = self.parts;
        let mut section = ElementSection::new();
        for (module, found) in parts.modules.iter().enumerate() {
            for element in &found.elements {
                let (ElementKind::Active { offset_expr, .. }, ElementItems::Functions(items)) =
                    (&element.kind, &element.items)
                else {
                    bail!("a table is not filled at once")
                };
                let mut places = Vec::new();
                for item in items.clone() {
                    let function = self.function(module, item?)?;
                    places.push(self.reached[&function]);
                }
                let offset = self.evaluate(module, offset_expr)?.expression();
                section.active(None, &offset, Elements::Functions(places.into()));
            }
        }
        Ok(section)
    }
}

/// The one table, the one memory and what is in that.
fn contents(modules: &[Module<'_>]) -> Result<(TableSection, MemorySection, DataSection)> {
    let (mut tables, mut memories, mut data) = (TableSection::new(), MemorySection::new(), DataSection::new());
    for module in modules {
        for table in &module.tables {
            tables.table(RoundtripReencoder.table_type(table.ty)?);
        }
        for memory in &module.memories {
            memories.memory(RoundtripReencoder.memory_type(*memory)?);
        }
        for segment in module.data.iter().filter(|segment| !segment.data.is_empty()) {
            ensure!(matches!(segment.kind, DataKind::Active { .. }), "a memory is not filled at once");
            ensure!(module.memories.len() == 1, "a module fills another one's memory");
            RoundtripReencoder.parse_data(&mut data, segment.clone())?;
        }
    }
    ensure!(tables.len() == 1 && memories.len() == 1, "there is more than one table or memory");
    Ok((tables, memories, data))
}

impl Constant {
    fn expression(self) -> ConstExpr {
        match self {
            Self::I32(value) => ConstExpr::i32_const(value),
            Self::I64(value) => ConstExpr::i64_const(value),
            Self::F32(value) => ConstExpr::f32_const(value.into()),
            Self::F64(value) => ConstExpr::f64_const(value.into()),
        }
    }

    fn instruction(self) -> Instruction<'static> {
        match self {
            Self::I32(value) => Instruction::I32Const(value),
            Self::I64(value) => Instruction::I64Const(value),
            Self::F32(value) => Instruction::F32Const(value.into()),
            Self::F64(value) => Instruction::F64Const(value.into()),
        }
    }
}

/// Writes a module's function with the places that everything has in the new one.
struct Moved<'l, 'a> {
    linker: &'l mut Linker<'a>,
    module: usize,
}

/// What went wrong while a function was moved.
type Failed = reencode::Error<anyhow::Error>;

impl Reencode for Moved<'_, '_> {
    type Error = anyhow::Error;

    fn function_index(&mut self, index: u32) -> Result<u32, Failed> {
        let function = self.linker.function(self.module, index).map_err(reencode::Error::UserError)?;
        Ok(self.linker.reached[&function])
    }

    fn global_index(&mut self, index: u32) -> Result<u32, Failed> {
        let global = self.linker.global(self.module, index).map_err(reencode::Error::UserError)?;
        Ok(self.linker.places[&global])
    }

    fn type_index(&mut self, index: u32) -> Result<u32, Failed> {
        let ty = self.linker.parts.modules[self.module].types[index as usize].clone();
        Ok(self.linker.place_of_type(ty))
    }

    fn instruction<'b>(&mut self, operator: Operator<'b>) -> Result<Instruction<'b>, Failed> {
        match operator {
            Operator::GlobalGet { global_index } => {
                let global = self.linker.global(self.module, global_index).map_err(reencode::Error::UserError)?;
                match self.linker.constants.get(&global) {
                    Some(constant) => Ok(constant.instruction()),
                    None => Ok(Instruction::GlobalGet(self.linker.places[&global])),
                }
            }
            Operator::MemoryInit { .. } | Operator::DataDrop { .. } | Operator::TableInit { .. } => {
                Err(reencode::Error::UserError(anyhow::anyhow!("a function fills a memory or a table")))
            }
            other => reencode::utils::instruction(self, other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANY: &str = r#"
        (component
            (import "outside" (func $outside))
            (core func $outside (canon lower (func $outside)))
            (core module $library
                (memory (export "memory") 1)
                (table 3 funcref)
                (global (export "base") i32 (i32.const 40))
                (global $kept (export "kept") (mut i32) (i32.const 7))
                (func (export "two") (result i32) (global.set $kept (i32.const 8)) (i32.const 2))
                (func (export "never called"))
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                (data (i32.const 16) "snapshot"))
            (core module $program
                (import "library" "two" (func $two (result i32)))
                (import "library" "base" (global $base i32))
                (import "host@0.2.1" "outside" (func $outside))
                (global $sum i32 (i32.add (global.get $base) (i32.const 2)))
                (func (export "answer") (result i32)
                    call $outside
                    (i32.add (call $two) (global.get $sum))))
            (core instance $library (instantiate $library))
            (core instance $host (export "outside" (func $outside)))
            (core instance $program (instantiate $program
                (with "library" (instance $library)) (with "host@0.2.1" (instance $host))))
            (func (export "answer") (result s32) (canon lift (core func $program "answer"))))"#;

    const PLAN: Plan =
        Plan { allocator: "base", stays: |_| true, interface: |name| name.replace("0.2.1", "0.2.2"), given: &[] };

    #[test]
    fn modules_become_one_and_what_nothing_reaches_is_left_out() {
        let component = wat::parse_str(MANY).expect("it is text");
        let linked = linked(&component, &PLAN).expect("it can be linked");
        wasmparser::validate(&linked).expect("it is sound");
        let module = Module::read(&linked).expect("it is a module");
        let imports: Vec<_> = module.imported_functions.iter().map(|import| (import.module, import.name)).collect();
        assert_eq!(imports, [("host@0.2.2", "outside")]);
        assert_eq!(module.bodies.len(), 3, "`two`, `cabi_realloc` and `answer`");
        assert_eq!(module.globals.len(), 1, "only one is ever set");
        let (_, answer) = module.exports["answer"];
        let body = module.bodies[answer as usize - 1].get_operators_reader().expect("it has code");
        let operators: Vec<_> = body.into_iter().map(|operator| format!("{:?}", operator.expect("sound"))).collect();
        assert!(operators.contains(&"I32Const { value: 42 }".to_owned()), "{operators:?}");
        assert_eq!(module.data[0].data, b"snapshot");
    }
}
