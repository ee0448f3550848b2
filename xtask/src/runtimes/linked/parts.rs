#![expect(clippy::wildcard_enum_match_arm, reason = "of the many sections and instructions, a few matter here")]
//! A component taken apart: its core modules, and which export of which one meets which import.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use wasmparser::{CanonicalFunction, CanonicalOption, ComponentAlias, ExternalKind, Instance, Parser, Payload};

use super::module::Module;

pub(super) struct Parts<'a> {
    pub(super) modules: Vec<Module<'a>>,
    /// In which module each instance has its code, or what it hands on.
    instances: Vec<Made<'a>>,
    /// Core functions and globals by their place in the component: where they were taken from.
    functions: Vec<Item<'a>>,
    globals: Vec<Item<'a>>,
    /// Core functions that are lifted, and those called after them.
    lifted: Vec<u32>,
    /// The modules between lowered functions and those who call them, where these come first: the one that is called, and the one
    /// that tells it later whom to call.
    shim: Option<usize>,
    fixup: Option<usize>,
}

enum Made<'a> {
    Of { module: usize, args: HashMap<&'a str, u32> },
    Exports(HashMap<&'a str, (ExternalKind, u32)>),
}

#[derive(Clone, Copy)]
enum Item<'a> {
    /// An export of an instance.
    Of(u32, &'a str),
    /// A function of the component model: one from outside, or about a resource.
    Canonical,
}

/// What meets an import.
pub(super) enum Met {
    /// A module's function or global, by its index there.
    Inside {
        module: usize,
        index: u32,
    },
    Outside,
}

impl<'a> Parts<'a> {
    pub(super) fn read(component: &'a [u8]) -> Result<Self> {
        let mut parts = Self {
            modules: Vec::new(),
            instances: Vec::new(),
            functions: Vec::new(),
            globals: Vec::new(),
            lifted: Vec::new(),
            shim: None,
            fixup: None,
        };
        let mut inner = 0_u32;
        for payload in Parser::new(0).parse_all(component) {
            match payload? {
                Payload::ModuleSection { unchecked_range, .. } => {
                    if inner == 0 {
                        let bytes = component.get(unchecked_range).context("a module is cut off")?;
                        parts.modules.push(Module::read(bytes)?);
                    }
                    inner += 1;
                }
                Payload::ComponentSection { .. } => inner += 1,
                Payload::End(_) => inner = inner.saturating_sub(1),
                Payload::InstanceSection(section) if inner == 0 => {
                    for instance in section {
                        parts.instances.push(made(instance?));
                    }
                }
                Payload::ComponentAliasSection(section) if inner == 0 => {
                    for alias in section {
                        parts.alias(alias?);
                    }
                }
                Payload::ComponentCanonicalSection(section) if inner == 0 => {
                    for function in section {
                        parts.canonical(function?);
                    }
                }
                _ => {}
            }
        }
        // As wit-component names them.
        parts.shim = parts.modules.iter().position(|module| module.exports.contains_key("$imports"));
        let memoryless = |module: &Module<'_>| module.imports_table && module.bodies.is_empty();
        parts.fixup = parts.modules.iter().rposition(memoryless);
        parts.leave_out();
        Ok(parts)
    }

    /// What is not linked has no code that anybody calls.
    fn leave_out(&mut self) {
        for module in [self.shim, self.fixup].into_iter().flatten() {
            let module = &mut self.modules[module];
            module.elements.clear();
            module.tables.clear();
        }
    }

    fn alias(&mut self, alias: ComponentAlias<'a>) {
        let ComponentAlias::CoreInstanceExport { kind, instance_index, name } = alias else { return };
        let item = Item::Of(instance_index, name);
        match kind {
            ExternalKind::Func => self.functions.push(item),
            ExternalKind::Global => self.globals.push(item),
            ExternalKind::Table | ExternalKind::Memory | ExternalKind::Tag | ExternalKind::FuncExact => {}
        }
    }

    fn canonical(&mut self, function: CanonicalFunction) {
        let CanonicalFunction::Lift { core_func_index, options, .. } = function else {
            self.functions.push(Item::Canonical);
            return;
        };
        self.lifted.push(core_func_index);
        self.lifted.extend(options.iter().filter_map(|option| match option {
            CanonicalOption::PostReturn(function) => Some(*function),
            _ => None,
        }));
    }

    /// The functions that the component exports, and what is called after them: instance and name.
    pub(super) fn lifted(&self) -> impl Iterator<Item = (u32, &'a str)> {
        self.lifted.iter().filter_map(|function| match self.functions.get(*function as usize) {
            Some(Item::Of(instance, name)) => Some((*instance, *name)),
            Some(Item::Canonical) | None => None,
        })
    }

    /// The instance of the module that exports this.
    pub(super) fn instance_of(&self, export: &str) -> Option<u32> {
        let place = self.instances.iter().position(|made| match made {
            Made::Of { module, .. } => self.modules[*module].exports.contains_key(export),
            Made::Exports(_) => false,
        });
        u32::try_from(place?).ok()
    }

    /// What meets a module's import.
    pub(super) fn import(&self, module: usize, kind: ExternalKind, from: &str, name: &str) -> Result<Met> {
        let mut instances = self.instances.iter().filter_map(|made| match made {
            Made::Of { module: of, args } if *of == module => Some(args),
            Made::Of { .. } | Made::Exports(_) => None,
        });
        let args = instances.next().context("a module is not instantiated")?;
        ensure!(instances.next().is_none(), "a module is instantiated twice");
        let instance = args.get(from).with_context(|| format!("nothing meets `{from}`"))?;
        self.met(*instance, kind, name)
    }

    /// What an instance exports by this name.
    pub(super) fn met(&self, instance: u32, kind: ExternalKind, name: &str) -> Result<Met> {
        let made = self.instances.get(instance as usize).context("there is no such instance")?;
        match made {
            Made::Of { module, .. } if Some(*module) == self.shim => self.behind_shim(name),
            Made::Of { module, .. } => {
                let (found, index) = self.modules[*module].exports.get(name).with_context(|| missing(name))?;
                ensure!(*found == kind, "`{name}` is something else");
                Ok(Met::Inside { module: *module, index: *index })
            }
            Made::Exports(exports) => {
                let (found, index) = exports.get(name).with_context(|| missing(name))?;
                ensure!(*found == kind, "`{name}` is something else");
                self.item(kind, *index)
            }
        }
    }

    fn item(&self, kind: ExternalKind, index: u32) -> Result<Met> {
        let items = match kind {
            ExternalKind::Func => &self.functions,
            ExternalKind::Global => &self.globals,
            ExternalKind::Table | ExternalKind::Memory | ExternalKind::Tag | ExternalKind::FuncExact => {
                bail!("only functions and globals are looked up")
            }
        };
        match items.get(index as usize).context("there is no such item")? {
            Item::Of(instance, name) => self.met(*instance, kind, name),
            Item::Canonical => Ok(Met::Outside),
        }
    }

    /// Whom the shim's function of this name calls in the end.
    fn behind_shim(&self, name: &str) -> Result<Met> {
        let fixup = self.fixup.context("nothing fills the shim's table")?;
        self.import(fixup, ExternalKind::Func, "", name)
    }
}

fn missing(name: &str) -> String {
    format!("nothing exports `{name}`")
}

fn made(instance: Instance<'_>) -> Made<'_> {
    match instance {
        Instance::Instantiate { module_index, args } => {
            Made::Of { module: module_index as usize, args: args.iter().map(|arg| (arg.name, arg.index)).collect() }
        }
        Instance::FromExports(exports) => {
            Made::Exports(exports.iter().map(|export| (export.name, (export.kind, export.index))).collect())
        }
    }
}
