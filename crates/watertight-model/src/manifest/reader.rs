//! Walks the spanned TOML tree, table by table, against the table of keys.
//!
//! It never stops at the first problem and never guesses a value: a key that cannot be read is a problem and then as if not
//! given, so that everything after it is still looked at.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{
    At,
    keys::{Form, KEYS, Key, Kind, key, keys_at},
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
            let holder = KEYS
                .iter()
                .find(|key| matches!(key.kind, Kind::Table(p) | Kind::Tables(p) | Kind::Named(p) | Kind::ChoiceOr(_, p) | Kind::TextOr(_, p) if p == place));
            let example = holder.map_or_else(String::new, |key| format!("{} = {}", key.name, key.example));
            self.wrong_value(&describe(place), "a table", &example, node);
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

    /// A value of another type than `what` takes; the help shows one that would do.
    fn wrong_value(&mut self, what: &str, expected: &str, example: &str, node: &Node<'_>) {
        let message = format!("{what} takes {expected}, and this is {}", kind_of(node.get_ref()));
        let problem = Problem::new(Code::WrongValue, message).help(format!("for example: {example}"));
        self.report(problem, node.span(), format!("not {expected}"));
    }

    /// The same for the value of a key.
    fn wrong_value_of(&mut self, key: &Key, node: &Node<'_>) {
        let example = format!("{} = {}", key.name, key.example);
        self.wrong_value(&format!("`{}`", key.name), &key.kind.noun(), &example, node);
    }

    /// The value of a key that takes a string.
    pub(super) fn text(&mut self, table: Table<'_>, name: &'static str) -> Option<At<String>> {
        let (key, node) = self.find(table, name)?;
        self.text_of(key, key.name, node)
    }

    /// A string that a key takes, as its value or within it.
    fn text_of(&mut self, key: &Key, name: &str, node: &Node<'_>) -> Option<At<String>> {
        if let DeValue::String(text) = node.get_ref() {
            return Some(At::new(text.clone().into_owned(), node.span()));
        }
        let form = match key.kind {
            Kind::Text(form) | Kind::List(form) | Kind::TextOr(form, _) => form,
            Kind::Table(_) | Kind::Named(_) | Kind::Tables(_) | Kind::Texts => Form::Any,
            Kind::Choice(_) | Kind::ChoiceOr(_, _) | Kind::Flag | Kind::Count(_, _) | Kind::Share => Form::Any,
        };
        let (code, units) = match (node.get_ref(), form) {
            (DeValue::Integer(_), Form::Size) => (Code::BadSize, ["B", "MiB"]),
            (DeValue::Integer(_), Form::Duration) => (Code::BadDuration, ["ms", "s"]),
            _ => {
                let example = format!("{} = {}", key.name, key.example);
                self.wrong_value(&format!("`{name}`"), form.noun(), &example, node);
                return None;
            }
        };
        if let DeValue::Integer(number) = node.get_ref() {
            let [small, large] = units.map(|unit| format!("{name} = \"{}{unit}\"", number.as_str()));
            let problem = Problem::new(code, format!("`{name}` needs a unit"))
                .help(format!("write it as a string with its unit: {small}, or {large}"));
            self.report(problem, node.span(), "a bare number");
        }
        None
    }

    /// The value of a key that takes a string, or the table that may stand for it.
    pub(super) fn text_or<'a>(
        &mut self,
        table: Table<'a>,
        name: &'static str,
    ) -> Option<Result<At<String>, Table<'a>>> {
        let Some((key, node)) = self.find(table, name) else {
            if key(table.place, name).is_some_and(|key| key.required) {
                self.missing(table, name);
            }
            return None;
        };
        match (key.kind, node.get_ref()) {
            (Kind::TextOr(_, place), DeValue::Table(_)) => self.table(place, node).map(Err),
            (_, DeValue::String(_)) => self.text_of(key, key.name, node).map(Ok),
            _ => {
                self.wrong_value_of(key, node);
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
        let (key, node) = self.find(table, name)?;
        if let DeValue::Boolean(flag) = node.get_ref() {
            return Some(*flag);
        }
        self.wrong_value_of(key, node);
        None
    }

    /// One of the choices of a key, as an index.
    pub(super) fn choice(&mut self, table: Table<'_>, name: &'static str) -> Option<At<usize>> {
        let (key, node) = self.find(table, name)?;
        let Kind::Choice(choices) = key.kind else { return None };
        self.chosen(key, name, choices, node)
    }

    /// One of the choices of a key, as an index, or the table that may stand for them.
    pub(super) fn choice_or<'a>(
        &mut self,
        table: Table<'a>,
        name: &'static str,
    ) -> Option<Result<At<usize>, Table<'a>>> {
        let (key, node) = self.find(table, name)?;
        let Kind::ChoiceOr(choices, place) = key.kind else { return None };
        if matches!(node.get_ref(), DeValue::Table(_)) {
            return self.table(place, node).map(Err);
        }
        self.chosen(key, name, choices, node).map(Ok)
    }

    fn chosen(
        &mut self,
        key: &Key,
        name: &'static str,
        choices: &'static [&'static str],
        node: &Node<'_>,
    ) -> Option<At<usize>> {
        let DeValue::String(text) = node.get_ref() else {
            self.wrong_value_of(key, node);
            return None;
        };
        if let Some(index) = choices.iter().position(|choice| choice == text) {
            return Some(At::new(index, node.span()));
        }
        let problem = Problem::new(Code::UnknownChoice, format!("`{text}` is not a choice for `{name}`"));
        let help = match nearest(text, choices.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("write {}", key.kind.noun()),
        };
        self.report(problem.help(help), node.span(), "not a choice");
        None
    }

    pub(super) fn count(&mut self, table: Table<'_>, name: &'static str) -> Option<u32> {
        let (key, node) = self.find(table, name)?;
        let Kind::Count(least, most) = key.kind else { return None };
        let DeValue::Integer(number) = node.get_ref() else {
            self.wrong_value_of(key, node);
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

    /// A number above 0, at most 1.
    pub(super) fn share(&mut self, table: Table<'_>, name: &'static str) -> Option<f64> {
        let (key, node) = self.find(table, name)?;
        let number = match node.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                self.wrong_value_of(key, node);
                return None;
            }
        };
        if let Some(share) = number.filter(|share| *share > 0.0 && *share <= 1.0) {
            return Some(share);
        }
        let problem = Problem::new(Code::BadShare, format!("`{name}` is a share: a number above 0, at most 1"))
            .help(format!("for a half: {name} = 0.5"));
        self.report(problem, node.span(), "no share");
        None
    }

    pub(super) fn size(&mut self, table: Table<'_>, name: &'static str, least: u64) -> Option<ByteSize> {
        let text = self.text(table, name)?;
        let size = quantity::size(&text.value).and_then(|size| {
            if size.0 < least { Err(format!("it is at least {}", ByteSize(least))) } else { Ok(size) }
        });
        size.map_err(|reason| {
            let problem = Problem::new(Code::BadSize, format!("bad size for `{name}`: {reason}"))
                .help("write a whole number and its unit: \"64MiB\", \"10MB\", \"4096B\"");
            self.report(problem, text.span, "not a size");
        })
        .ok()
    }

    pub(super) fn duration(&mut self, table: Table<'_>, name: &'static str) -> Option<At<std::time::Duration>> {
        let text = self.text(table, name)?;
        match quantity::duration(&text.value) {
            Ok(duration) => Some(At::new(duration, text.span)),
            Err(reason) => {
                let problem = Problem::new(Code::BadDuration, format!("bad duration for `{name}`: {reason}"))
                    .help("write a number and its unit: \"200ms\", \"2s\", \"1.5m\"");
                self.report(problem, text.span, "not a duration");
                None
            }
        }
    }

    /// The strings of a key that takes an array of them.
    pub(super) fn list(&mut self, table: Table<'_>, name: &'static str) -> Vec<At<String>> {
        let Some((key, node)) = self.find(table, name) else { return Vec::new() };
        let DeValue::Array(items) = node.get_ref() else {
            self.wrong_value_of(key, node);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.text_of(key, name, item)).collect()
    }

    /// The tables of a key that takes an array of them.
    pub(super) fn tables<'a>(&mut self, table: Table<'a>, name: &'static str) -> Vec<Table<'a>> {
        let Some((key, node)) = self.find(table, name) else { return Vec::new() };
        let (Kind::Tables(place), DeValue::Array(items)) = (key.kind, node.get_ref()) else {
            self.wrong_value_of(key, node);
            return Vec::new();
        };
        items.iter().filter_map(|item| self.table(place, item)).collect()
    }

    /// The table under a key.
    pub(super) fn inner<'a>(&mut self, table: Table<'a>, name: &'static str) -> Option<Table<'a>> {
        let (key, node) = self.find(table, name)?;
        let Kind::Table(place) = key.kind else { return None };
        self.table(place, node)
    }

    /// The tables under a key, each with the name its user gave it, in the order of the text.
    pub(super) fn named<'a>(&mut self, table: Table<'a>, name: &'static str) -> Vec<(At<String>, Table<'a>)> {
        let Some((key, node)) = self.find(table, name) else { return Vec::new() };
        let (Kind::Named(place), DeValue::Table(entries)) = (key.kind, node.get_ref()) else {
            self.wrong_value_of(key, node);
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
        let Some((key, node)) = self.find(table, name) else { return Vec::new() };
        let DeValue::Table(entries) = node.get_ref() else {
            self.wrong_value_of(key, node);
            return Vec::new();
        };
        in_order(entries)
            .into_iter()
            .filter_map(|(entry, node)| {
                let value = self.text_of(key, entry.get_ref(), node)?;
                Some((At::new(entry.get_ref().clone().into_owned(), entry.span()), value))
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

    /// A key and its value, if it is given.
    fn find<'a>(&self, table: Table<'a>, name: &'static str) -> Option<(&'static Key, &'a Node<'a>)> {
        let found = key(table.place, name);
        debug_assert!(found.is_some(), "`{name}` is not a key of `{}`", table.place);
        Some((found?, table.entries.get(name)?))
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
        "component.*.source" => "`source`".to_owned(),
        "component.*.build" => "`build`".to_owned(),
        "component.*.edge.*" => "an edge".to_owned(),
        "component.*.edge.*.function.*" => "a function of an edge".to_owned(),
        "component.*.edge.*.on-failure" => "`on-failure`".to_owned(),
        "component.*.edge.*.retry" => "`retry`".to_owned(),
        "component.*.edge.*.breaker" => "`breaker`".to_owned(),
        "group.*" => "a group".to_owned(),
        "component.*.intensity" | "group.*.intensity" | "app.intensity" => "`intensity`".to_owned(),
        "component.*.backoff" => "`backoff`".to_owned(),
        "component.*.recycle" => "`recycle`".to_owned(),
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
