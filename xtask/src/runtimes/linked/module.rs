#![expect(clippy::wildcard_enum_match_arm, reason = "of the many sections and instructions, a few matter here")]
//! What is in one of the core modules, section by section.

use std::collections::HashMap;

use anyhow::{Result, bail};
use wasmparser::{
    CompositeInnerType, Data, Element, ExternalKind, FuncType, FunctionBody, Global, Import, Imports, MemoryType,
    Parser, Payload, Table, TypeRef,
};

#[derive(Default)]
pub(super) struct Module<'a> {
    pub(super) types: Vec<FuncType>,
    pub(super) imported_functions: Vec<Import<'a>>,
    pub(super) imported_globals: Vec<Import<'a>>,
    /// Those of its own functions, which `bodies` has too.
    pub(super) functions: Vec<u32>,
    pub(super) bodies: Vec<FunctionBody<'a>>,
    pub(super) tables: Vec<Table<'a>>,
    pub(super) memories: Vec<MemoryType>,
    pub(super) globals: Vec<Global<'a>>,
    pub(super) elements: Vec<Element<'a>>,
    pub(super) data: Vec<Data<'a>>,
    pub(super) exports: HashMap<&'a str, (ExternalKind, u32)>,
    /// It imports a table of another's: it is what fills that.
    pub(super) imports_table: bool,
}

impl<'a> Module<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            module.add(payload?)?;
        }
        Ok(module)
    }

    fn add(&mut self, payload: Payload<'a>) -> Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group?.into_types() {
                        let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
                            bail!("a type is not a function's")
                        };
                        self.types.push(ty);
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section {
                    let Imports::Single(_, import) = import? else { bail!("imports are written in a short form") };
                    match import.ty {
                        TypeRef::Func(_) => self.imported_functions.push(import),
                        TypeRef::Global(_) => self.imported_globals.push(import),
                        TypeRef::Table(_) => self.imports_table = true,
                        TypeRef::Memory(_) => {}
                        TypeRef::Tag(_) | TypeRef::FuncExact(_) => bail!("`{}` is no import known here", import.name),
                    }
                }
            }
            Payload::FunctionSection(section) => self.functions = section.into_iter().collect::<Result<_, _>>()?,
            Payload::TableSection(section) => self.tables = section.into_iter().collect::<Result<_, _>>()?,
            Payload::MemorySection(section) => self.memories = section.into_iter().collect::<Result<_, _>>()?,
            Payload::GlobalSection(section) => self.globals = section.into_iter().collect::<Result<_, _>>()?,
            Payload::ElementSection(section) => self.elements = section.into_iter().collect::<Result<_, _>>()?,
            Payload::DataSection(section) => self.data = section.into_iter().collect::<Result<_, _>>()?,
            Payload::CodeSectionEntry(body) => self.bodies.push(body),
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.exports.insert(export.name, (export.kind, export.index));
                }
            }
            Payload::StartSection { .. } => bail!("a module has a start function: no snapshot was taken of it"),
            Payload::TagSection(_) => bail!("a module has exceptions of its own"),
            // Names, and how the sections are counted.
            _ => {}
        }
        Ok(())
    }
}
