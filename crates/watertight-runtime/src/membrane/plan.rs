//! Plans: how the values of one type move between guest memory and a frame.
//!
//! A plan is compiled once for each list of parameters or results of a component, from the types Wasmtime checked. It is a list of
//! copy steps over the canonical layout (the Canonical ABI of the component model, 32-bit memories): runs of plain bytes become
//! one copy, and only what has to be checked or holds pointers or handles is visited. Padding is never copied: it could
//! carry what another part of the caller left in its memory.
//!
//! It never touches memory itself; [`lift`](super::lift) and [`lower`](super::lower) run it.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    sync::Arc,
};

use wasmtime::component::{
    __internal::{ComponentTypes, InstanceType, InterfaceType},
    ComponentType, ResourceDynamic, ResourceType,
};

/// The most flat values that pass as core parameters; more go through memory (Canonical ABI, `MAX_FLAT_PARAMS`).
pub(crate) const MAX_FLAT_PARAMS: usize = 16;

/// How the parameters or the results of one function are laid out.
pub(crate) struct Plan {
    pub(crate) shape: Shape,
    /// Keeps the types, and so the address that the plan is filed under, alive.
    _types: Arc<ComponentTypes>,
}

/// How values of one type are laid out.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) size: usize,
    pub(crate) align: usize,
    /// How many core values it flattens to.
    pub(crate) flat_count: usize,
    /// The steps over memory.
    pub(crate) memory: Box<[Step]>,
    /// The steps over core values; empty where the type has more of them than ever pass flat.
    pub(crate) flat: Box<[Step]>,
}

/// One step. Every `at` is an offset from the start of the value.
#[derive(Debug)]
pub(crate) enum Step {
    /// Bytes as they are. Over core values: one value of `len` bytes.
    Copy { at: usize, len: usize },
    /// One or two bytes that are sign-extended as a core value. Only over core values.
    Signed { at: usize, len: usize },
    /// One byte, 0 or 1.
    Bool { at: usize },
    /// Four bytes, a Unicode scalar value.
    Char { at: usize },
    /// `width` bytes of which only the bits of `mask` mean something.
    Flags { at: usize, width: usize, mask: u32 },
    /// A pointer and a length.
    String { at: usize },
    /// A pointer and a length. Maps are lists of pairs.
    List { at: usize, element: Arc<Shape> },
    /// `count` elements in place.
    Repeat { at: usize, count: usize, element: Arc<Shape> },
    /// A discriminant, and the payload of one case.
    Variant { at: usize, width: usize, payload: usize, flat_count: usize, cases: Box<[Option<Arc<Shape>>]> },
    /// A handle.
    Handle { at: usize, handle: HandleType },
}

/// What kind of handle a step moves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HandleType {
    /// `own<..>` or `borrow<..>` with its table, or a stream or future.
    pub(crate) ty: InterfaceType,
    /// Who made the resource.
    pub(crate) origin: Origin,
}

/// Who made the resource behind a handle, as one component sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The component itself.
    Guest,
    /// Another cell: what this component holds is a proxy.
    Proxy,
    /// The host.
    Host(ResourceType),
    /// Whoever writes the stream or future.
    Writer(Payload),
}

/// What the elements of a stream, or the value of a future, take in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) size: usize,
    pub(crate) align: usize,
    /// They are bytes.
    pub(crate) byte: bool,
}

/// A type that cannot cross yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unsupported {
    #[error("an error-context cannot cross between two cells")]
    ErrorContext,
    #[error("a stream or future without a payload cannot cross between two cells yet")]
    NoPayload,
    #[error("handles cannot cross between two cells inside a stream or future yet")]
    HandleInPayload,
    #[error("a stream or future of values of {size} bytes cannot cross between two cells yet")]
    PayloadSize { size: usize },
    #[error("a value of this type needs more than {MAX_VALUE_BYTES} bytes in place")]
    TooLarge,
    #[error("this type has more than {MAX_STEPS} parts")]
    TooManyParts,
}

/// The most bytes that one value may take in place. Fixed-length lists can name far larger types.
pub(crate) const MAX_VALUE_BYTES: usize = 1 << 20;

/// The most steps and cases that one plan may have. A type of twenty lines, each a pair of the one before, has a million.
const MAX_STEPS: usize = 1 << 16;

/// Fixed-length lists up to this many elements become steps of their own; longer ones a loop.
const MAX_UNROLLED: usize = 16;

impl Plan {
    /// Compiles the plan of a tuple of parameters or results, or of a payload.
    pub(crate) fn compile(ty: InterfaceType, types: &InstanceType<'_>) -> Result<Self, Unsupported> {
        let compiler = Compiler { types, known: RefCell::default(), steps: Cell::new(0) };
        let shape = compiler.compile(ty)?;
        Ok(Self { shape, _types: Arc::clone(types.types) })
    }
}

impl Shape {
    /// Whether a list of such values is one run of bytes.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(*self.memory, [Step::Copy { at: 0, len }] if len == self.size)
    }

    pub(super) fn has_handles(&self) -> bool {
        self.memory.iter().any(|step| match step {
            Step::Handle { .. } => true,
            Step::List { element, .. } | Step::Repeat { element, .. } => element.has_handles(),
            Step::Variant { cases, .. } => cases.iter().flatten().any(|case| case.has_handles()),
            Step::Copy { .. }
            | Step::Signed { .. }
            | Step::Bool { .. }
            | Step::Char { .. }
            | Step::Flags { .. }
            | Step::String { .. } => false,
        })
    }
}

struct Compiler<'a> {
    types: &'a InstanceType<'a>,
    /// What was compiled already: each of two layouts names the parts of a type, so without this every level would double the work.
    known: RefCell<HashMap<InterfaceType, Arc<Shape>>>,
    steps: Cell<usize>,
}

impl Compiler<'_> {
    fn shape(&self, ty: InterfaceType) -> Result<Arc<Shape>, Unsupported> {
        if let Some(known) = self.known.borrow().get(&ty) {
            return Ok(Arc::clone(known));
        }
        let shape = Arc::new(self.compile(ty)?);
        self.known.borrow_mut().insert(ty, Arc::clone(&shape));
        Ok(shape)
    }

    /// Notes that a plan has so many steps or cases more.
    fn count(&self, more: usize) -> Result<(), Unsupported> {
        let steps = self.steps.get().saturating_add(more);
        self.steps.set(steps);
        if steps > MAX_STEPS { Err(Unsupported::TooManyParts) } else { Ok(()) }
    }

    fn compile(&self, ty: InterfaceType) -> Result<Shape, Unsupported> {
        let abi = self.types.types.canonical_abi(&ty);
        let size = usize::try_from(abi.size32).map_err(|_| Unsupported::TooLarge)?;
        if size > MAX_VALUE_BYTES {
            return Err(Unsupported::TooLarge);
        }
        let mut memory = Vec::new();
        self.steps(ty, 0, Form::Memory, &mut memory)?;
        let mut flat = Vec::new();
        if abi.flat_count(MAX_FLAT_PARAMS).is_some() {
            self.steps(ty, 0, Form::Flat, &mut flat)?;
        }
        self.count(memory.len() + flat.len())?;
        Ok(Shape {
            size,
            align: usize::try_from(abi.align32).map_err(|_| Unsupported::TooLarge)?,
            flat_count: abi.flat_count(MAX_FLAT_PARAMS).unwrap_or(usize::MAX),
            memory: memory.into(),
            flat: flat.into(),
        })
    }

    fn steps(&self, ty: InterfaceType, at: usize, form: Form, out: &mut Vec<Step>) -> Result<(), Unsupported> {
        let types = self.types.types;
        match ty {
            InterfaceType::S8 if matches!(form, Form::Flat) => out.push(Step::Signed { at, len: 1 }),
            InterfaceType::S16 if matches!(form, Form::Flat) => out.push(Step::Signed { at, len: 2 }),
            InterfaceType::S8 | InterfaceType::U8 => form.copy(out, at, 1),
            InterfaceType::S16 | InterfaceType::U16 => form.copy(out, at, 2),
            InterfaceType::S32 | InterfaceType::U32 | InterfaceType::Float32 => form.copy(out, at, 4),
            InterfaceType::S64 | InterfaceType::U64 | InterfaceType::Float64 => form.copy(out, at, 8),
            InterfaceType::Bool => out.push(Step::Bool { at }),
            InterfaceType::Char => out.push(Step::Char { at }),
            InterfaceType::String => out.push(Step::String { at }),
            InterfaceType::List(list) => {
                out.push(Step::List { at, element: self.shape(types[list].element)? });
            }
            InterfaceType::Map(map) => {
                let entry = &types[map];
                let element = self.pair(entry.key, entry.value, entry.value_offset32, &entry.entry_abi)?;
                out.push(Step::List { at, element: Arc::new(element) });
            }
            InterfaceType::FixedLengthList(list) => self.fixed(types[list].element, types[list].size, at, form, out)?,
            InterfaceType::Record(record) => {
                self.fields(types[record].fields.iter().map(|field| field.ty), at, form, out)?;
            }
            InterfaceType::Tuple(tuple) => self.fields(types[tuple].types.iter().copied(), at, form, out)?,
            InterfaceType::Flags(flags) => flag_words(types[flags].names.len(), at, out),
            InterfaceType::Enum(of) => {
                let cases = types[of].names.iter().map(|_| None).collect();
                self.variant(ty, at, types[of].info.size.into(), 0, cases, out)?;
            }
            InterfaceType::Variant(of) => {
                let cases = types[of].cases.values().copied().collect();
                self.variant(ty, at, types[of].info.size.into(), types[of].info.payload_offset32, cases, out)?;
            }
            InterfaceType::Option(of) => {
                let cases = vec![None, Some(types[of].ty)];
                self.variant(ty, at, types[of].info.size.into(), types[of].info.payload_offset32, cases, out)?;
            }
            InterfaceType::Result(of) => {
                let cases = vec![types[of].ok, types[of].err];
                self.variant(ty, at, types[of].info.size.into(), types[of].info.payload_offset32, cases, out)?;
            }
            InterfaceType::Own(table) | InterfaceType::Borrow(table) => {
                let origin = match self.types.resource_type(table) {
                    _ if ResourceDynamic::typecheck(&ty, self.types).is_ok() => Origin::Proxy,
                    known if super::host_resource(known).is_some() => Origin::Host(known),
                    _ => Origin::Guest,
                };
                out.push(Step::Handle { at, handle: HandleType { ty, origin } });
            }
            InterfaceType::Future(table) => {
                let origin = Origin::Writer(self.payload(types[types[table].ty].payload)?);
                out.push(Step::Handle { at, handle: HandleType { ty, origin } });
            }
            InterfaceType::Stream(table) => {
                let origin = Origin::Writer(self.payload(types[types[table].ty].payload)?);
                out.push(Step::Handle { at, handle: HandleType { ty, origin } });
            }
            InterfaceType::ErrorContext(_) => return Err(Unsupported::ErrorContext),
        }
        Ok(())
    }

    fn payload(&self, ty: Option<InterfaceType>) -> Result<Payload, Unsupported> {
        let ty = ty.ok_or(Unsupported::NoPayload)?;
        let shape = self.shape(ty)?;
        if shape.has_handles() {
            return Err(Unsupported::HandleInPayload);
        }
        let payload = Payload { size: shape.size, align: shape.align, byte: matches!(ty, InterfaceType::U8) };
        if super::pump::carries(payload) { Ok(payload) } else { Err(Unsupported::PayloadSize { size: shape.size }) }
    }

    fn fields(
        &self,
        fields: impl Iterator<Item = InterfaceType>,
        at: usize,
        form: Form,
        out: &mut Vec<Step>,
    ) -> Result<(), Unsupported> {
        let mut offset = 0;
        for field in fields {
            let abi = self.types.types.canonical_abi(&field);
            let start = abi.next_field32(&mut offset);
            self.steps(field, at + usize::try_from(start).map_err(|_| Unsupported::TooLarge)?, form, out)?;
        }
        Ok(())
    }

    fn fixed(
        &self,
        element: InterfaceType,
        count: u32,
        at: usize,
        form: Form,
        out: &mut Vec<Step>,
    ) -> Result<(), Unsupported> {
        let count = usize::try_from(count).map_err(|_| Unsupported::TooLarge)?;
        let shape = self.shape(element)?;
        if count.checked_mul(shape.size).is_none_or(|size| size > MAX_VALUE_BYTES) {
            return Err(Unsupported::TooLarge);
        }
        if matches!(form, Form::Memory) && shape.is_plain() {
            form.copy(out, at, count * shape.size);
        } else if matches!(form, Form::Flat) || count <= MAX_UNROLLED {
            for index in 0..count {
                self.steps(element, at + index * shape.size, form, out)?;
            }
        } else {
            out.push(Step::Repeat { at, count, element: shape });
        }
        Ok(())
    }

    fn variant(
        &self,
        ty: InterfaceType,
        at: usize,
        width: usize,
        payload: u32,
        cases: Vec<Option<InterfaceType>>,
        out: &mut Vec<Step>,
    ) -> Result<(), Unsupported> {
        self.count(cases.len())?;
        let cases = cases.into_iter().map(|case| case.map(|ty| self.shape(ty)).transpose());
        out.push(Step::Variant {
            at,
            width,
            payload: usize::try_from(payload).map_err(|_| Unsupported::TooLarge)?,
            flat_count: self.types.types.canonical_abi(&ty).flat_count(MAX_FLAT_PARAMS).unwrap_or(usize::MAX),
            cases: cases.collect::<Result<_, _>>()?,
        });
        Ok(())
    }

    /// The shape of a map's entry: a pair of key and value.
    fn pair(
        &self,
        key: InterfaceType,
        value: InterfaceType,
        value_at: u32,
        abi: &wasmtime::component::__internal::CanonicalAbiInfo,
    ) -> Result<Shape, Unsupported> {
        let mut memory = Vec::new();
        self.steps(key, 0, Form::Memory, &mut memory)?;
        let value_at = usize::try_from(value_at).map_err(|_| Unsupported::TooLarge)?;
        self.steps(value, value_at, Form::Memory, &mut memory)?;
        self.count(memory.len())?;
        Ok(Shape {
            size: usize::try_from(abi.size32).map_err(|_| Unsupported::TooLarge)?,
            align: usize::try_from(abi.align32).map_err(|_| Unsupported::TooLarge)?,
            flat_count: usize::MAX,
            memory: memory.into(),
            flat: Box::default(),
        })
    }
}

/// Whether steps run over memory, where neighbouring runs merge, or over core values, where each scalar is one.
#[derive(Clone, Copy)]
enum Form {
    Memory,
    Flat,
}

impl Form {
    fn copy(self, out: &mut Vec<Step>, at: usize, len: usize) {
        match (self, out.last_mut()) {
            (Self::Memory, Some(Step::Copy { at: start, len: run })) if *start + *run == at => *run += len,
            _ if len == 0 => {}
            _ => out.push(Step::Copy { at, len }),
        }
    }
}

/// Flags take 1 or 2 bytes, or as many 4-byte words as they need.
fn flag_words(count: usize, at: usize, out: &mut Vec<Step>) {
    let mask = |bits: usize| if bits >= 32 { u32::MAX } else { (1 << bits) - 1 };
    match count {
        0 => {}
        1..=8 => out.push(Step::Flags { at, width: 1, mask: mask(count) }),
        9..=16 => out.push(Step::Flags { at, width: 2, mask: mask(count) }),
        _ => {
            for word in 0..count.div_ceil(32) {
                out.push(Step::Flags { at: at + 4 * word, width: 4, mask: mask(count - 32 * word) });
            }
        }
    }
}
