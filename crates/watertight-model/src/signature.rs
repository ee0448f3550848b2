//! Function types: as one line of WIT for people, and the first place where two of them differ.
//!
//! Types are compared fully expanded: names of types do not matter, names of parameters, fields, cases and flags do, and so does their
//! order. Whether two handles are of the same resource only the graph knows; the caller is asked.

use crate::component_type::{ComponentType, FunctionType, ResourceIndex, Shape, Ty};

/// The longest line that is shown whole.
const LINE_MAX: usize = 1000;

/// One line of WIT, with types by the names they have: `render: func(text: string, how: options) -> result<string, string>`.
pub(crate) fn signature(component: &ComponentType, name: &str, function: &FunctionType) -> String {
    line(component, name, function, Names::Keep)
}

/// The same line with every type written out: `how: record options { depth: u8 }`.
pub(crate) fn expanded(component: &ComponentType, name: &str, function: &FunctionType) -> String {
    line(component, name, function, Names::Expand)
}

/// A type by its name, or written out if it has none.
pub(crate) fn type_text(component: &ComponentType, ty: &Ty) -> String {
    let mut writer = Writer { component, text: String::new(), names: Names::Keep };
    writer.ty(ty);
    writer.text
}

fn line(component: &ComponentType, name: &str, function: &FunctionType, names: Names) -> String {
    let mut writer = Writer { component, text: String::new(), names };
    let (head, skip_self) = match method(name) {
        Some(("constructor", resource)) => (format!("{resource}: constructor"), 0),
        Some(("method", path)) => (format!("{path}: "), 1),
        Some((_, path)) => (format!("{path}: static "), 0),
        None => (format!("{name}: "), 0),
    };
    writer.push(&head);
    let constructor = head.ends_with("constructor");
    if function.asynchronous {
        writer.push("async ");
    }
    if !constructor {
        writer.push("func");
    }
    writer.push("(");
    for (index, (param, ty)) in function.params.iter().skip(skip_self).enumerate() {
        if index > 0 {
            writer.push(", ");
        }
        writer.push(param);
        writer.push(": ");
        writer.ty(ty);
    }
    writer.push(")");
    // A constructor that cannot fail returns what it says.
    let implied = |result: &&Ty| constructor && matches!(result.shape, Shape::Own(_));
    if let Some(result) = function.result.as_ref().filter(|result| !implied(result)) {
        writer.push(" -> ");
        writer.ty(result);
    }
    writer.text
}

/// `[method]counter.incr` as its kind and its path.
fn method(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix('[')?.split_once(']')
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Keep,
    Expand,
}

struct Writer<'a> {
    component: &'a ComponentType,
    text: String,
    names: Names,
}

impl Writer<'_> {
    fn push(&mut self, text: &str) {
        if self.text.len() <= LINE_MAX {
            self.text.push_str(text);
            if self.text.len() > LINE_MAX {
                self.text.push('…');
            }
        }
    }

    fn ty(&mut self, ty: &Ty) {
        if self.text.len() > LINE_MAX {
            return;
        }
        if let Some(name) = &ty.name {
            match (&ty.shape, self.names) {
                (Shape::Record(_) | Shape::Variant(_) | Shape::Enum(_) | Shape::Flags(_), Names::Expand) => {}
                (_, Names::Expand) => return self.shape(&ty.shape, None),
                (_, Names::Keep) => return self.push(name),
            }
        }
        self.shape(&ty.shape, ty.name.as_deref());
    }

    fn shape(&mut self, shape: &Shape, name: Option<&str>) {
        match shape {
            Shape::Primitive(primitive) => self.push(primitive),
            Shape::Record(fields) => self.braces("record", name, fields, |writer, (name, ty)| {
                writer.push(name);
                writer.push(": ");
                writer.ty(ty);
            }),
            Shape::Variant(cases) => self.braces("variant", name, cases, |writer, (name, ty)| {
                writer.push(name);
                if let Some(ty) = ty {
                    writer.angles("", &[Some(ty)]);
                }
            }),
            Shape::Enum(cases) => self.braces("enum", name, cases, |writer, case| writer.push(case)),
            Shape::Flags(flags) => self.braces("flags", name, flags, |writer, flag| writer.push(flag)),
            Shape::Tuple(types) => self.angles("tuple", &types.iter().map(Some).collect::<Vec<_>>()),
            Shape::List(ty) => self.angles("list", &[Some(ty)]),
            Shape::FixedList(ty, length) => {
                self.push("list<");
                self.ty(ty);
                self.push(&format!(", {length}>"));
            }
            Shape::Map(key, value) => self.angles("map", &[Some(key), Some(value)]),
            Shape::Option(ty) => self.angles("option", &[Some(ty)]),
            Shape::Result(None, None) => self.push("result"),
            Shape::Result(ok, None) => self.angles("result", &[ok.as_ref()]),
            Shape::Result(ok, err) => self.angles("result", &[ok.as_ref(), err.as_ref()]),
            Shape::Own(resource) => self.push(&self.resource(*resource)),
            Shape::Borrow(resource) => self.push(&format!("borrow<{}>", self.resource(*resource))),
            Shape::Stream(None) => self.push("stream"),
            Shape::Stream(ty) => self.angles("stream", &[ty.as_ref()]),
            Shape::Future(None) => self.push("future"),
            Shape::Future(ty) => self.angles("future", &[ty.as_ref()]),
        }
    }

    fn braces<T>(&mut self, noun: &str, name: Option<&str>, parts: &[T], each: impl Fn(&mut Self, &T)) {
        self.push(noun);
        if let Some(name) = name {
            self.push(" ");
            self.push(name);
        }
        self.push(" { ");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            each(self, part);
        }
        self.push(" }");
    }

    fn angles(&mut self, noun: &str, parts: &[Option<&Ty>]) {
        self.push(noun);
        self.push(if noun.is_empty() { "(" } else { "<" });
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            match part {
                Some(ty) => self.ty(ty),
                None => self.push("_"),
            }
        }
        self.push(if noun.is_empty() { ")" } else { ">" });
    }

    fn resource(&self, index: ResourceIndex) -> String {
        self.component.resources.get(index.0).map_or_else(|| "resource".to_owned(), |origin| origin.name.clone())
    }
}

/// Where two types differ first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    /// In the type: the path to the place, as a sentence.
    Type(String),
    /// In the resource that a handle is of.
    Resource { path: String, import: ResourceIndex, export: ResourceIndex },
}

/// Compares the function of an import with the one of an export.
pub(crate) fn difference(
    import: &FunctionType,
    export: &FunctionType,
    same: &mut dyn FnMut(ResourceIndex, ResourceIndex) -> bool,
) -> Option<Difference> {
    if import.asynchronous != export.asynchronous {
        let side = |asynchronous| if asynchronous { "async" } else { "not async" };
        return Some(Difference::Type(format!(
            "the import is {} and the export is {}",
            side(import.asynchronous),
            side(export.asynchronous)
        )));
    }
    if import.params.len() != export.params.len() {
        return Some(Difference::Type(format!(
            "the import takes {} parameters and the export takes {}",
            import.params.len(),
            export.params.len()
        )));
    }
    for (index, ((import_name, import_ty), (export_name, export_ty))) in
        import.params.iter().zip(&export.params).enumerate()
    {
        if import_name != export_name {
            return Some(Difference::Type(format!(
                "parameter {} is named `{import_name}` by the import and `{export_name}` by the export",
                index + 1
            )));
        }
        let found =
            Comparison { path: format!("parameter `{import_name}`"), same: &mut *same }.types(import_ty, export_ty);
        if found.is_some() {
            return found;
        }
    }
    match (&import.result, &export.result) {
        (None, None) => None,
        (Some(import), Some(export)) => Comparison { path: "the result".to_owned(), same }.types(import, export),
        (Some(_), None) => Some(Difference::Type("the import returns something and the export does not".to_owned())),
        (None, Some(_)) => Some(Difference::Type("the export returns something and the import does not".to_owned())),
    }
}

struct Comparison<'a> {
    path: String,
    same: &'a mut dyn FnMut(ResourceIndex, ResourceIndex) -> bool,
}

impl Comparison<'_> {
    fn types(&mut self, import: &Ty, export: &Ty) -> Option<Difference> {
        match (&import.shape, &export.shape) {
            (Shape::Primitive(import), Shape::Primitive(export)) if import == export => None,
            (Shape::Record(import), Shape::Record(export)) => self
                .names("field", import.iter().map(|(name, _)| name), export.iter().map(|(name, _)| name))
                .or_else(|| {
                    self.each(import.iter().zip(export).map(|((name, a), (_, b))| (format!("field `{name}`"), a, b)))
                }),
            (Shape::Variant(import), Shape::Variant(export)) => self
                .names("case", import.iter().map(|(name, _)| name), export.iter().map(|(name, _)| name))
                .or_else(|| {
                    import.iter().zip(export).find_map(|((name, a), (_, b))| {
                        self.optional(&format!("case `{name}`"), a.as_ref(), b.as_ref())
                    })
                }),
            (Shape::Enum(import), Shape::Enum(export)) => self.names("case", import.iter(), export.iter()),
            (Shape::Flags(import), Shape::Flags(export)) => self.names("flag", import.iter(), export.iter()),
            (Shape::Tuple(import), Shape::Tuple(export)) if import.len() == export.len() => self.each(
                import.iter().zip(export).enumerate().map(|(index, (a, b))| (format!("part {}", index + 1), a, b)),
            ),
            (Shape::List(import), Shape::List(export)) => self.step("the element", import, export),
            (Shape::FixedList(import, length), Shape::FixedList(export, other)) if length == other => {
                self.step("the element", import, export)
            }
            (Shape::Map(key, value), Shape::Map(other_key, other_value)) => {
                self.step("the key", key, other_key).or_else(|| self.step("the value", value, other_value))
            }
            (Shape::Option(import), Shape::Option(export)) => self.step("the option's value", import, export),
            (Shape::Result(ok, err), Shape::Result(other_ok, other_err)) => self
                .optional("the ok value", ok.as_ref(), other_ok.as_ref())
                .or_else(|| self.optional("the error", err.as_ref(), other_err.as_ref())),
            (Shape::Stream(import), Shape::Stream(export)) | (Shape::Future(import), Shape::Future(export)) => {
                self.optional("the element", import.as_ref(), export.as_ref())
            }
            (Shape::Own(import), Shape::Own(export)) | (Shape::Borrow(import), Shape::Borrow(export)) => {
                let (import, export) = (*import, *export);
                (!(self.same)(import, export)).then(|| Difference::Resource { path: self.path.clone(), import, export })
            }
            (import, export) => Some(Difference::Type(format!(
                "{} is {} in the import and {} in the export",
                self.path,
                noun(import),
                noun(export)
            ))),
        }
    }

    fn step(&mut self, step: &str, import: &Ty, export: &Ty) -> Option<Difference> {
        let length = self.path.len();
        self.path.push_str(", ");
        self.path.push_str(step);
        let found = self.types(import, export);
        self.path.truncate(length);
        found
    }

    fn each<'t>(&mut self, parts: impl Iterator<Item = (String, &'t Ty, &'t Ty)>) -> Option<Difference> {
        parts.into_iter().find_map(|(step, import, export)| self.step(&step, import, export))
    }

    fn optional(&mut self, step: &str, import: Option<&Ty>, export: Option<&Ty>) -> Option<Difference> {
        match (import, export) {
            (None, None) => None,
            (Some(import), Some(export)) => self.step(step, import, export),
            (Some(_), None) => Some(Difference::Type(format!("{}, {step}, has a type only in the import", self.path))),
            (None, Some(_)) => Some(Difference::Type(format!("{}, {step}, has a type only in the export", self.path))),
        }
    }

    /// The first field, case or flag that is not the same on both sides.
    fn names<'n>(
        &self,
        noun: &str,
        import: impl ExactSizeIterator<Item = &'n String>,
        export: impl ExactSizeIterator<Item = &'n String>,
    ) -> Option<Difference> {
        let (import_count, export_count) = (import.len(), export.len());
        let differing = import.zip(export).enumerate().find(|(_, (import, export))| import != export);
        if let Some((index, (import, export))) = differing {
            return Some(Difference::Type(format!(
                "{}: {noun} {} is `{import}` in the import and `{export}` in the export",
                self.path,
                index + 1
            )));
        }
        (import_count != export_count).then(|| {
            Difference::Type(format!(
                "{} has {import_count} {noun}s in the import and {export_count} in the export",
                self.path
            ))
        })
    }
}

/// What a type is, short enough for a sentence.
fn noun(shape: &Shape) -> String {
    match shape {
        Shape::Primitive(primitive) => format!("`{primitive}`"),
        Shape::Record(_) => "a record".to_owned(),
        Shape::Variant(_) => "a variant".to_owned(),
        Shape::Enum(_) => "an enum".to_owned(),
        Shape::Flags(_) => "flags".to_owned(),
        Shape::Tuple(types) => format!("a tuple of {}", types.len()),
        Shape::List(_) => "a list".to_owned(),
        Shape::FixedList(_, length) => format!("a list of exactly {length}"),
        Shape::Map(_, _) => "a map".to_owned(),
        Shape::Option(_) => "an option".to_owned(),
        Shape::Result(_, _) => "a result".to_owned(),
        Shape::Own(_) => "an owned handle".to_owned(),
        Shape::Borrow(_) => "a borrowed handle".to_owned(),
        Shape::Stream(_) => "a stream".to_owned(),
        Shape::Future(_) => "a future".to_owned(),
    }
}
