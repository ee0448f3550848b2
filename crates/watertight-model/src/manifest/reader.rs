//! Walks the spanned TOML tree, table by table, against the table of keys.
//!
//! It never stops at the first problem and never guesses a value: a key that cannot be read is a problem and then as if not
//! given, so that everything after it is still looked at.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    At,
    keys::{Form, KEYS, Kind, key, keys_at},
    quantity,
    reach::Flaw,
};
use crate::{
    budget::ByteSize,
    problem::{Code, Problem, SourceText},
};

pub(super) type Node<'a> = Spanned<DeValue<'a>>;

/// The names nearest to a wrong one, for "did you mean".
pub(crate) fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let reach = (wrong.chars().count() / 3).clamp(1, 4);
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&wrong.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

pub(super) struct Reader {
    pub(super) source: SourceText,
    pub(super) problems: Vec<Problem>,
}

/// One table of the manifest, at a place of the table of keys.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    place: &'static str,
    /// Where it begins, for what is missing in it.
    pub(super) span: (usize, usize),
    entries: &'a DeTable<'a>,
}

impl Reader {
    pub(super) fn report(&mut self, problem: Problem, span: Range<usize>, label: impl Into<String>) {
        let source = SourceText::clone(&self.source);
        self.problems.push(problem.at(&source, span, label));
    }

    /// A table whose keys stand at this place; keys that do not exist there are problems.
    pub(super) fn table<'a>(&mut self, place: &'static str, node: &'a Node<'a>) -> Option<Table<'a>> {
        let DeValue::Table(entries) = node.get_ref() else {
            self.wrong_value(&describe(place), "a table", node);
            return None;
        };
        let span = node.span();
        let table = Table { place, span: (span.start, span.end), entries };
        for (name, _) in in_order(entries) {
            if key(place, name.get_ref()).is_none() {
                self.unknown_key(place, name);
            }
        }
        Some(table)
    }

    fn unknown_key(&mut self, place: &'static str, name: &Spanned<std::borrow::Cow<'_, str>>) {
        let wrong = name.get_ref().as_ref();
        let help = if let Some(near) = nearest(wrong, keys_at(place).map(|key| key.name)) {
            format!("did you mean `{near}`?")
        } else if let Some(elsewhere) = KEYS.iter().find(|key| key.name == wrong) {
            format!("`{wrong}` belongs in {}", describe(elsewhere.place))
        } else {
            let known: Vec<_> = keys_at(place).map(|key| format!("`{}`", key.name)).collect();
            format!("the keys here are {}", known.join(", "))
        };
        let problem = Problem::new(Code::UnknownKey, format!("unknown key `{wrong}` in {}", describe(place)));
        self.report(problem.help(help), name.span(), "not a key");
    }

    pub(super) fn wrong_value(&mut self, what: &str, expected: &str, node: &Node<'_>) {
        let problem =
            Problem::new(Code::WrongValue, format!("{what} takes {expected}, and this is {}", kind_of(node.get_ref())));
        self.report(problem.help(format!("write {expected}")), node.span(), format!("not {expected}"));
    }

    /// The value of a key that takes a string.
    pub(super) fn text(&mut self, table: Table<'_>, name: &'static str) -> Option<At<String>> {
        let node = self.find(table, name)?;
        let form = match key(table.place, name)?.kind {
            Kind::Text(form) => form,
            Kind::Table(_) | Kind::Named(_) | Kind::Tables(_) | Kind::Texts => return None,
            Kind::List(_) | Kind::Choice(_) | Kind::Flag | Kind::Count(_, _) => return None,
        };
        self.text_of(name, form, node)
    }

    pub(super) fn text_of(&mut self, name: &str, form: Form, node: &Node<'_>) -> Option<At<String>> {
        match node.get_ref() {
            DeValue::String(text) => Some(At::new(text.clone().into_owned(), node.span())),
            DeValue::Integer(number) if matches!(form, Form::Size | Form::Duration) => {
                let (code, unit) = if form == Form::Size { (Code::BadSize, "MiB") } else { (Code::BadDuration, "ms") };
                let problem = Problem::new(code, format!("`{name}` needs a unit"))
                    .help(format!("write it as a string with its unit: {name} = \"{}{unit}\"", number.as_str()));
                self.report(problem, node.span(), "a bare number");
                None
            }
            _ => {
                self.wrong_value(&format!("`{name}`"), form.noun(), node);
                None
            }
        }
    }

    /// The value of a key that must be there.
    pub(super) fn required_text(&mut self, table: Table<'_>, name: &'static str) -> Option<At<String>> {
        if table.entries.contains_key(name) {
            return self.text(table, name);
        }
        self.missing(table, name);
        None
    }

    pub(super) fn missing(&mut self, table: Table<'_>, name: &'static str) {
        let example = key(table.place, name).map_or("", |key| key.example);
        let problem = Problem::new(Code::MissingKey, format!("{} has no `{name}`", describe(table.place)));
        self.report(problem.help(format!("add it: {name} = {example}")), table.span.0..table.span.1, "");
    }

    pub(super) fn flag(&mut self, table: Table<'_>, name: &'static str) -> Option<bool> {
        let node = self.find(table, name)?;
        if let DeValue::Boolean(flag) = node.get_ref() {
            return Some(*flag);
        }
        self.wrong_value(&format!("`{name}`"), "true or false", node);
        None
    }

    /// One of the choices of a key, as an index.
    pub(super) fn choice(&mut self, table: Table<'_>, name: &'static str) -> Option<At<usize>> {
        let kind = key(table.place, name)?.kind;
        let Kind::Choice(choices) = kind else { return None };
        let node = self.find(table, name)?;
        let DeValue::String(text) = node.get_ref() else {
            self.wrong_value(&format!("`{name}`"), &kind.noun(), node);
            return None;
        };
        if let Some(index) = choices.iter().position(|choice| choice == text) {
            return Some(At::new(index, node.span()));
        }
        let problem = Problem::new(Code::UnknownChoice, format!("`{text}` is not a choice for `{name}`"));
        let help = match nearest(text, choices.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write {}", kind.noun()),
        };
        self.report(problem.help(help), node.span(), "not a choice");
        None
    }

    pub(super) fn count(&mut self, table: Table<'_>, name: &'static str) -> Option<u32> {
        let Kind::Count(least, most) = key(table.place, name)?.kind else { return None };
        let node = self.find(table, name)?;
        let DeValue::Integer(number) = node.get_ref() else {
            self.wrong_value(&format!("`{name}`"), "a whole number", node);
            return None;
        };
        let parsed = u32::from_str_radix(number.as_str(), number.radix()).ok();
        if let Some(count) = parsed.filter(|count| (least..=most).contains(count)) {
            return Some(count);
        }
        let problem = Problem::new(Code::BadCount, format!("`{name}` cannot be {number}"))
            .help(format!("write a whole number from {least} to {most}"));
        self.report(problem, node.span(), "out of range");
        None
    }

    pub(super) fn size(&mut self, table: Table<'_>, name: &'static str, least: u64) -> Option<ByteSize> {
        let text = self.text(table, name)?;
        let size = quantity::size(&text.value).and_then(|size| {
            if size.0 < least { Err(format!("`{name}` is at least {}", ByteSize(least))) } else { Ok(size) }
        });
        size.map_err(|reason| {
            let problem = Problem::new(Code::BadSize, format!("bad size for `{name}`: {reason}"));
            self.report(
                problem.help("write a whole number and its unit: \"64MiB\", \"10MB\", \"4096B\""),
                text.span,
                "not a size",
            );
        })
        .ok()
    }

    pub(super) fn duration(&mut self, table: Table<'_>, name: &'static str) -> Option<At<std::time::Duration>> {
        let text = self.text(table, name)?;
        match quantity::duration(&text.value) {
            Ok(duration) => Some(At::new(duration, text.span)),
            Err(reason) => {
                let problem = Problem::new(Code::BadDuration, format!("bad duration for `{name}`: {reason}"));
                let help = "write a number and its unit: \"200ms\", \"2s\", \"1.5m\"";
                self.report(problem.help(help), text.span, "not a duration");
                None
            }
        }
    }

    /// The strings of a key that takes an array of them.
    pub(super) fn list(&mut self, table: Table<'_>, name: &'static str) -> Vec<At<String>> {
        let Some(kind) = key(table.place, name).map(|key| key.kind) else { return Vec::new() };
        let Kind::List(form) = kind else { return Vec::new() };
        let Some(node) = self.find(table, name) else { return Vec::new() };
        let DeValue::Array(items) = node.get_ref() else {
            self.wrong_value(&format!("`{name}`"), &kind.noun(), node);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.text_of(name, form, item)).collect()
    }

    /// The tables of a key that takes an array of them.
    pub(super) fn tables<'a>(&mut self, table: Table<'a>, name: &'static str) -> Vec<Table<'a>> {
        let Some(Kind::Tables(place)) = key(table.place, name).map(|key| key.kind) else { return Vec::new() };
        let Some(node) = self.find(table, name) else { return Vec::new() };
        let DeValue::Array(items) = node.get_ref() else {
            self.wrong_value(&format!("`{name}`"), "an array of tables", node);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.table(place, item)).collect()
    }

    /// The table under a key.
    pub(super) fn inner<'a>(&mut self, table: Table<'a>, name: &'static str) -> Option<Table<'a>> {
        let Some(Kind::Table(place)) = key(table.place, name).map(|key| key.kind) else { return None };
        let node = self.find(table, name)?;
        self.table(place, node)
    }

    /// The tables under a key, each with the name its user gave it, in the order of the text.
    pub(super) fn named<'a>(&mut self, table: Table<'a>, name: &'static str) -> Vec<(At<String>, Table<'a>)> {
        let Some(Kind::Named(place)) = key(table.place, name).map(|key| key.kind) else { return Vec::new() };
        let Some(node) = self.find(table, name) else { return Vec::new() };
        let DeValue::Table(entries) = node.get_ref() else {
            self.wrong_value(&format!("`{name}`"), "a table", node);
            return Vec::new();
        };
        in_order(entries)
            .into_iter()
            .filter_map(|(name, node)| {
                let table = self.table(place, node)?;
                Some((At::new(name.get_ref().clone().into_owned(), name.span()), table))
            })
            .collect()
    }

    /// The entries of a key that takes any names.
    pub(super) fn texts(&mut self, table: Table<'_>, name: &'static str) -> Vec<(At<String>, At<String>)> {
        let Some(node) = self.find(table, name) else { return Vec::new() };
        let DeValue::Table(entries) = node.get_ref() else {
            self.wrong_value(&format!("`{name}`"), "a table of strings", node);
            return Vec::new();
        };
        in_order(entries)
            .into_iter()
            .filter_map(|(key, node)| {
                let value = self.text_of(key.get_ref(), Form::Any, node)?;
                Some((At::new(key.get_ref().clone().into_owned(), key.span()), value))
            })
            .collect()
    }

    /// Reads a text further; what is wrong with it becomes a problem.
    pub(super) fn parsed<T>(
        &mut self,
        code: Code,
        text: &At<String>,
        parse: impl FnOnce(&str) -> Result<T, Flaw>,
    ) -> Option<T> {
        parse(&text.value)
            .map_err(|Flaw { what, next_step }| {
                self.report(Problem::new(code, what).help(next_step), text.span.clone(), "");
            })
            .ok()
    }

    /// The node of a key, if it is given; whether the key exists is for the table of keys to say.
    fn find<'a>(&self, table: Table<'a>, name: &'static str) -> Option<&'a Node<'a>> {
        debug_assert!(key(table.place, name).is_some(), "`{name}` is not a key of `{}`", table.place);
        table.entries.get(name)
    }
}

impl<'a> Table<'a> {
    /// Where a key's value stands, if it is given.
    pub(super) fn span_of(&self, name: &str) -> Option<Range<usize>> {
        self.entries.get_key_value(name).map(|(key, _)| key.span())
    }
}

/// The entries in the order of the text: the tree sorts them by name.
fn in_order<'a>(entries: &'a DeTable<'a>) -> Vec<(&'a Spanned<std::borrow::Cow<'a, str>>, &'a Node<'a>)> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by_key(|(name, _)| name.span().start);
    sorted
}

/// A place of the table of keys, for a sentence.
fn describe(place: &str) -> String {
    match place {
        "" => "the manifest".to_owned(),
        "component.*" => "a component".to_owned(),
        "component.*.grants" => "`grants`".to_owned(),
        "component.*.grants.dirs[]" => "an entry of `dirs`".to_owned(),
        "component.*.budget" => "`budget`".to_owned(),
        "component.*.edge.*" => "an edge".to_owned(),
        "trigger.http[]" => "an HTTP trigger".to_owned(),
        other => format!("`{other}`"),
    }
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
