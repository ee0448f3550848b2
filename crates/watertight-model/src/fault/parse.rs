//! Reading fault plans: every problem at once, each with its place in the text.

use std::{ops::Range, sync::Arc, time::Duration};

use miette::NamedSource;

use super::{Fault, FaultKind, FaultPlan, Mix, Rule, Share, Target, WHOLE};
use crate::{
    app::{App, Component, ComponentId, Wall},
    manifest::{nearest, quantity},
    problem::{Code, Problem, SourceText},
};

/// Rules that a plan may have.
pub const MAX_FAULT_RULES: usize = 256;

/// Faults that one target may have.
pub const MAX_FAULTS_OF_A_TARGET: usize = 64;

const HELP: &str = "for example `thumbnail: trap 10%, delay 200ms 5%; web->highlight: error 0.5%`";

impl FaultPlan {
    /// Reads the rules that were written for an app, in any number of texts. Rules for the same target add up. `name` is what
    /// the texts are called in problems.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub fn parse(
        app: &App,
        name: &str,
        texts: impl IntoIterator<Item = impl AsRef<str>>,
        seed: u64,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { app, rules: Vec::new(), problems: Vec::new() };
        for text in texts {
            let text: Arc<str> = Arc::from(text.as_ref());
            let source: SourceText = Arc::new(NamedSource::new(name, Arc::clone(&text)));
            Text { text: &text, source: &source }.read(&mut reader);
        }
        if reader.rules.is_empty() && reader.problems.is_empty() {
            reader.problems.push(Problem::new(Code::BadFault, "there is no fault").help(HELP));
        }
        if reader.rules.len() > MAX_FAULT_RULES {
            let message = format!("a plan has at most {MAX_FAULT_RULES} targets");
            reader.problems.push(Problem::new(Code::BadFault, message).help("leave some out"));
        }
        if reader.problems.is_empty() { Ok(Self::resolved(app, reader.rules, seed)) } else { Err(reader.problems) }
    }

    fn resolved(app: &App, rules: Vec<Rule>, seed: u64) -> Self {
        let rule = |target| rules.iter().position(|rule| rule.target == target);
        let edges = app.edges.iter().map(|edge| {
            let own = rule(Target::Edge(edge.importer, edge.exporter));
            own.or_else(|| rule(Target::Component(edge.exporter)))
        });
        let edges = edges.collect();
        let components = app.components.iter().map(|component| rule(Target::Component(component.id))).collect();
        Self { seed, rules, edges, components }
    }
}

struct Reader<'a> {
    app: &'a App,
    rules: Vec<Rule>,
    problems: Vec<Problem>,
}

/// One text, as it was written.
struct Text<'a> {
    text: &'a str,
    source: &'a SourceText,
}

impl Text<'_> {
    fn read(&self, reader: &mut Reader<'_>) {
        for span in pieces(self.text, 0..self.text.len(), ";") {
            self.rule(reader, span);
        }
    }

    fn problem(&self, span: &Range<usize>, code: Code, message: impl Into<String>, label: &str) -> Problem {
        Problem::new(code, message).at(self.source, span.clone(), label).help(HELP)
    }

    fn rule(&self, reader: &mut Reader<'_>, span: Range<usize>) {
        let text = &self.text[span.clone()];
        if text.is_empty() {
            return;
        }
        let Some(colon) = text.find(':') else {
            let problem = self.problem(&span, Code::BadFault, "these faults have no target", "whose?");
            return reader.problems.push(problem);
        };
        let target = self.target(reader, trimmed(self.text, span.start..span.start + colon));
        let mut faults = Vec::new();
        for piece in pieces(self.text, span.start + colon + 1..span.end, ",") {
            match self.fault(&piece) {
                Ok(fault) => faults.push(fault),
                Err(problem) => reader.problems.push(*problem),
            }
        }
        let Some(target) = target else { return };
        let place = reader.rules.iter().position(|rule| rule.target == target).unwrap_or_else(|| {
            reader.rules.push(Rule { target, mix: Mix::default() });
            reader.rules.len() - 1
        });
        let mix = &mut reader.rules[place].mix.0;
        mix.extend(faults);
        let whole: u64 = mix.iter().map(|(_, share)| u64::from(share.0)).sum();
        if whole > u64::from(WHOLE) {
            let sum = Share(u32::try_from(whole).unwrap_or(u32::MAX));
            let message = format!("the faults of one target are more than all of its calls: {sum}");
            reader.problems.push(self.problem(&span, Code::BadFault, message, "past 100% with these"));
            mix.clear();
        } else if mix.len() > MAX_FAULTS_OF_A_TARGET {
            let message = format!("a target has at most {MAX_FAULTS_OF_A_TARGET} faults");
            reader.problems.push(self.problem(&span, Code::BadFault, message, "these are too many"));
            mix.clear();
        }
    }

    fn target(&self, reader: &mut Reader<'_>, span: Range<usize>) -> Option<Target> {
        let Some(arrow) = self.text[span.clone()].find("->") else {
            let callee = self.component(reader, span)?;
            return Some(Target::Component(callee.id));
        };
        let importer = self.component(reader, trimmed(self.text, span.start..span.start + arrow));
        let exporter = self.component(reader, trimmed(self.text, span.start + arrow + 2..span.end));
        let (importer, exporter) = (importer?, exporter?);
        if !reader.app.edges_from(importer.id).any(|edge| edge.exporter == exporter.id) {
            let message = format!("`{}` does not call `{}`", importer.name, exporter.name);
            let callees: Vec<ComponentId> = reader.app.edges_from(importer.id).map(|edge| edge.exporter).collect();
            let problem = self.problem(&span, Code::BadFault, message, "there is no such edge");
            let problem = match names(reader.app, &callees) {
                known if known.is_empty() => problem,
                known => problem.help(format!("it calls {known}")),
            };
            reader.problems.push(problem);
            return None;
        }
        Some(Target::Edge(importer.id, exporter.id))
    }

    fn component<'a>(&self, reader: &mut Reader<'a>, span: Range<usize>) -> Option<&'a Component> {
        let name = &self.text[span.clone()];
        let app = reader.app;
        let problem = match app.find(name) {
            Some(component) if component.wall == Wall::Fused => {
                let message = format!("`{name}` has no cells of its own: it is fused into who uses it");
                self.problem(&span, Code::BadFault, message, "no call of it can be seen").help("name who uses it")
            }
            Some(component) => return Some(component),
            None => {
                let message = match name {
                    "" => "the name of a component is missing".to_owned(),
                    name => format!("there is no component `{name}`"),
                };
                let all: Vec<_> = app.components.iter().map(|component| component.id).collect();
                let help = match nearest(name, app.components.iter().map(|component| component.name.as_str())) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the app has {}", names(app, &all)),
                };
                self.problem(&span, Code::UnknownComponent, message, "").help(help)
            }
        };
        reader.problems.push(problem);
        None
    }

    fn fault(&self, span: &Range<usize>) -> Result<(Fault, Share), Box<Problem>> {
        let words: Vec<&str> = self.text[span.clone()].split_whitespace().collect();
        let wrong = |message: String, label: &str| Box::new(self.problem(span, Code::BadFault, message, label));
        let Some((kind, numbers)) = words.split_first() else {
            return Err(wrong("a fault is missing".to_owned(), "between commas"));
        };
        let Some(kind) = FaultKind::ALL.into_iter().find(|known| known.name() == *kind) else {
            let known = FaultKind::ALL.map(FaultKind::name);
            let help = match nearest(kind, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            return Err(Box::new(wrong(format!("`{kind}` is not a fault"), "").help(help)));
        };
        let times = usize::from(kind == FaultKind::Delay);
        let (Some(time), Some(share)) = (numbers.get(..times), numbers.get(times)) else {
            let example = if times == 1 { "`delay 200ms 5%`".to_owned() } else { format!("`{kind} 5%`") };
            return Err(Box::new(
                wrong(format!("`{kind}` needs more numbers"), "how often?").help(format!("write {example}")),
            ));
        };
        if let Some(surplus) = numbers.get(times + 1) {
            return Err(wrong(format!("`{surplus}` is one word too many"), "a comma stands between faults"));
        }
        let share = share_of(share).map_err(|why| wrong(why, ""))?;
        let time = time.first().map_or(Ok(Duration::ZERO), |text| quantity::duration(text));
        let time = time.map_err(|why| wrong(why, ""))?;
        let fault = match kind {
            FaultKind::Trap => Fault::Trap,
            FaultKind::Delay => Fault::Delay(time),
            FaultKind::Spin => Fault::Spin,
            FaultKind::Oom => Fault::Oom,
            FaultKind::Error => Fault::Error,
        };
        Ok((fault, share))
    }
}

/// Reads `10%`, `0.5%`.
fn share_of(text: &str) -> Result<Share, String> {
    let Some(number) = text.strip_suffix('%') else { return Err(format!("`{text}` is not a share such as `5%`")) };
    let (whole, places) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(places) {
        return Err(format!("`{number}` is not a number"));
    }
    if places.len() > 4 {
        return Err("a share has at most four decimal places".to_owned());
    }
    let places = places.bytes().chain(std::iter::repeat(b'0')).take(4);
    let millionths = places.fold(whole.parse().unwrap_or(u64::from(WHOLE)), |sum: u64, digit| {
        sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    match u32::try_from(millionths) {
        Ok(0) => Err("a share of 0% never happens: leave it out".to_owned()),
        Ok(millionths @ ..=WHOLE) => Ok(Share(millionths)),
        _ => Err("a share is at most 100%".to_owned()),
    }
}

/// The parts of a text between separators, each without the space around it.
fn pieces<'a>(text: &'a str, span: Range<usize>, separator: &'a str) -> impl Iterator<Item = Range<usize>> + use<'a> {
    let mut at = span.start;
    let parts: Vec<Range<usize>> = text[span]
        .split(separator)
        .map(|part| {
            let start = at;
            at += part.len() + separator.len();
            trimmed(text, start..start + part.len())
        })
        .collect();
    parts.into_iter()
}

fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let part = &text[span.clone()];
    let start = span.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}

fn names(app: &App, ids: &[ComponentId]) -> String {
    let names: Vec<_> = ids.iter().map(|id| format!("`{}`", app.component(*id).name)).collect();
    names.join(", ")
}
