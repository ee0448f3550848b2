//! What each function of an edge does when its callee fails: what the manifest says, held against the types; what it does not say, from the
//! types.
//!
//! A value to return is of the function's type. Calls are made again only where that cannot be told from one call: nothing of a failed
//! attempt is left, and the arguments are still there. Who stands in for another has the same functions, of the same types.

use std::{ops::Range, time::Duration};

use super::{
    Checker, any_part,
    resolve::{Link, Met, best_export},
};
use crate::{
    app::{ComponentId, Fallback, Lifetime, Limit, OnFailure, Retry, Returned, Wall},
    breaker::BreakerSpec,
    component_type::{ComponentType, FunctionType, Item, Shape, Ty},
    manifest::{At, EdgeSpec, OnFailureSpec, PolicySpec, nearest},
    problem::{Code, Problem},
    signature::type_text,
    version::ExternName,
    wave,
};

/// What an edge does when calls fail.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// For every function that has none of its own.
    pub(super) deadline: Option<Duration>,
    pub(super) breaker: Option<BreakerSpec>,
    pub(super) limit: Option<Limit>,
    /// By the import's order.
    pub(super) functions: Vec<FunctionPolicy>,
}

/// What one function does.
#[derive(Clone, Debug)]
pub(super) struct FunctionPolicy {
    pub(super) deadline: Option<Duration>,
    pub(super) retry: Option<Retry>,
    pub(super) fallback: Option<Fallback>,
    pub(super) on_failure: OnFailure,
    pub(super) said: bool,
    pub(super) unmapped_error: Option<String>,
}

/// An edge that the manifest speaks of.
#[derive(Clone, Copy)]
struct Spoken<'a> {
    link: &'a Link,
    importer: &'a ComponentType,
    spec: &'a EdgeSpec,
    exporter: usize,
}

impl Checker<'_> {
    /// Finds the policy of each link. Links without functions that cross have one without functions.
    pub(super) fn policies(&mut self, links: &mut [Link]) {
        let policies: Vec<_> = links.iter().map(|link| self.policy(link, links)).collect();
        links.iter_mut().zip(policies).for_each(|(link, policy)| link.policy = policy);
    }

    fn policy(&mut self, link: &Link, links: &[Link]) -> Policy {
        let (Met::By { component: exporter, .. }, Some(importer)) = (link.met, self.types[link.importer].clone())
        else {
            return Policy::default();
        };
        let functions = functions(&importer, link.import);
        let Some(spec) = link.spec.map(|place| self.spec(link.importer).edges[place].clone()) else {
            return Policy {
                functions: functions.iter().map(|(_, ty)| unsaid(&importer, link.import, ty)).collect(),
                ..Policy::default()
            };
        };
        let spoken = Spoken { link, importer: &importer, spec: &spec, exporter };
        self.function_names(spoken, &functions);
        self.retries(spoken, &functions);
        let functions = functions.iter().map(|(name, ty)| self.function_policy(spoken, name, ty, links)).collect();
        let deadline = spec.policy.deadline.as_ref().map(|deadline| deadline.value);
        Policy { deadline, breaker: spec.breaker, limit: spec.limit, functions }
    }

    /// Reports what may be wrong for many functions in the same way.
    pub(super) fn report_once(&mut self, problem: Problem, span: Range<usize>, label: &str) {
        if !self.problems.iter().any(|known| known.message() == problem.message()) {
            self.report(problem, span, label);
        }
    }

    /// Names in `function` and `idempotent` are those of functions.
    fn function_names(&mut self, edge: Spoken<'_>, functions: &[(&str, &FunctionType)]) {
        let import = ExternName::parse(&edge.importer.imports[edge.link.import].name).base;
        for name in edge.spec.functions.iter().map(|(name, _)| name).chain(&edge.spec.idempotent) {
            if functions.iter().any(|(known, _)| *known == name.value) {
                continue;
            }
            let known = || functions.iter().map(|(name, _)| *name);
            let help = match nearest(&name.value, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("its functions are {}", super::list(known())),
            };
            let problem = Problem::new(Code::UnknownFunction, format!("`{import}` has no function `{}`", name.value));
            self.report(problem.help(help), name.span.clone(), "no such function");
        }
    }

    /// Whether calls that are to be made again can be.
    fn retries(&mut self, edge: Spoken<'_>, functions: &[(&str, &FunctionType)]) {
        let exporter = self.spec(edge.exporter);
        let (callee, fresh) = (exporter.name.value.clone(), exporter.lifetime == Lifetime::Call);
        let deadline = self.spec(edge.link.importer).budget.deadline;
        for (retry, name) in edge.policies().filter_map(|(policy, name)| Some((policy.retry.as_ref()?, name))) {
            if retry.value.backoff >= deadline {
                let message = format!(
                    "a backoff of {:?} leaves no time for another attempt: `{}` itself ends after {deadline:?}",
                    retry.value.backoff,
                    self.name(edge.link.importer)
                );
                let problem = Problem::new(Code::BadRetry, message).help("write less: backoff = \"5ms\"");
                self.report(problem, retry.span.clone(), "never made");
            }
            let covered = |(name, ty): &&(&str, &FunctionType)| (fresh || edge.idempotent(name)) && !takes_handles(ty);
            let refused = match name {
                Some(name) => functions.iter().find(|(known, _)| *known == name.value).filter(|it| !covered(it)),
                None if functions.iter().any(|it| covered(&it)) => None,
                None => functions.first(),
            };
            let Some((function, ty)) = refused else { continue };
            let (message, help) = if takes_handles(ty) {
                (
                    format!(
                        "`{function}` takes handles or streams, which are gone after one call: it cannot be made again"
                    ),
                    "drop `retry`; a `return` says what the caller gets instead".to_owned(),
                )
            } else {
                (
                    format!(
                        "`{callee}` keeps its cell from call to call, and a call that failed may have left something in it"
                    ),
                    format!(
                        "if a call may be made twice, say so: idempotent = [\"{function}\"]; or give `{callee}` lifetime = \"call\""
                    ),
                )
            };
            self.report(Problem::new(Code::BadRetry, message).help(help), retry.span.clone(), "cannot be made again");
        }
        let nothing_retried = edge.policies().all(|(policy, _)| policy.retry.is_none());
        if let (Some(first), true) = (edge.spec.idempotent.first(), nothing_retried) {
            let problem = Problem::warning(Code::NoEffect, "`idempotent` has no effect on an edge without `retry`")
                .help("add retry = { attempts = 2 }, or drop it");
            self.report(problem, first.span.clone(), "no effect");
        }
    }

    fn function_policy(&mut self, edge: Spoken<'_>, name: &str, ty: &FunctionType, links: &[Link]) -> FunctionPolicy {
        let mut policy = unsaid(edge.importer, edge.link.import, ty);
        let own = edge.spec.functions.iter().find(|(known, _)| known.value == name).map(|(_, own)| own);
        let said = |pick: fn(&PolicySpec) -> bool| own.filter(|own| pick(own)).unwrap_or(&edge.spec.policy);
        policy.deadline = said(|own| own.deadline.is_some()).deadline.as_ref().map(|deadline| deadline.value);
        let fresh = self.spec(edge.exporter).lifetime == Lifetime::Call;
        let retry = said(|own| own.retry.is_some()).retry.as_ref();
        policy.retry =
            retry.map(|retry| retry.value).filter(|_| (fresh || edge.idempotent(name)) && !takes_handles(ty));
        let Some(on_failure) = said(|own| own.on_failure.is_some()).on_failure.as_ref() else { return policy };
        policy.said = true;
        match &on_failure.value {
            OnFailureSpec::Trap => {
                policy.on_failure = OnFailure::Trap;
                policy.unmapped_error = None;
            }
            OnFailureSpec::Error if policy.on_failure == OnFailure::Trap => {
                self.no_error(edge, name, ty, on_failure);
            }
            OnFailureSpec::Error => {}
            OnFailureSpec::Instead { fallback, value } => {
                if let Some(fallback) = fallback {
                    policy.fallback =
                        self.stand_in(edge, name, ty, &fallback.value, links).unwrap_or_else(|problems| {
                            for problem in problems {
                                self.report_once(problem, fallback.span.clone(), "cannot stand in");
                            }
                            None
                        });
                }
                if let Some(value) = value
                    && let Some(value) = self.returned(edge, name, ty, value)
                {
                    policy.on_failure = OnFailure::Return(value);
                    policy.unmapped_error = None;
                }
            }
        }
        policy
    }

    fn no_error(&mut self, edge: Spoken<'_>, name: &str, ty: &FunctionType, at: &At<OnFailureSpec>) {
        let key = edge.key(self.name(edge.link.importer), name);
        let (message, help) = match ty.result.as_ref().map(|result| (&result.shape, result)) {
            Some((Shape::Result(_, Some(error)), _)) => (
                format!(
                    "`{name}` returns an error of type `{}`, and no failure can be turned into one",
                    type_text(edge.importer, error)
                ),
                format!("say which:\n{key}\non-failure = {{ return = 'err({})' }}", example(error)),
            ),
            Some((_, result)) => (
                format!("`{name}` returns `{}`, which has no error", type_text(edge.importer, result)),
                format!("set a value, or let the caller trap too:\n{key}\non-failure = \"trap\""),
            ),
            None => (
                format!("`{name}` returns nothing, and so no error"),
                format!(
                    "let the caller go on as if nothing had happened, or trap too:\n{key}\non-failure = {{ return = '' }}"
                ),
            ),
        };
        self.report(Problem::new(Code::NoError, message).help(help), at.span.clone(), "no error to return");
    }

    /// The value that the manifest sets, if it is one of the function's type.
    fn returned(&mut self, edge: Spoken<'_>, name: &str, ty: &FunctionType, at: &At<String>) -> Option<Returned> {
        let wave = at.value.trim();
        let signature = match &ty.result {
            Some(result) => format!("`{}`", type_text(edge.importer, result)),
            None => "nothing".to_owned(),
        };
        let alone = edge.spec.functions.iter().any(|(known, own)| known.value == name && own.on_failure.is_some());
        let other = match &ty.result {
            Some(result) if alone => format!("write a value of type `{}`", type_text(edge.importer, result)),
            _ => format!("set another one for this function:\n{}", edge.key(self.name(edge.link.importer), name)),
        };
        let (message, help, span) = match (&ty.result, wave) {
            (None, "") => return Some(Returned { wave: String::new(), value: None }),
            (None, _) => (
                format!("`{wave}` cannot be returned by `{name}`, which returns nothing"),
                "write nothing: return = ''".to_owned(),
                at.span.clone(),
            ),
            (Some(_), "") => (
                format!("`{name}` returns {signature}, and `return` is empty"),
                "write a value in WAVE: return = 'err(unavailable)'".to_owned(),
                at.span.clone(),
            ),
            (Some(result), _) => match wave::read(&at.value, result, edge.importer) {
                Ok(value) => return Some(Returned { wave: wave.to_owned(), value: Some(value) }),
                Err(flaw) => {
                    let span = self.within(at, &flaw.span);
                    match flaw.what {
                        wave::Mistake::Syntax(what) => (
                            format!("`{wave}` is not WAVE: {what}"),
                            "values are written like this: ok([1, 2]), err(\"text\"), err(busy), {name: \"x\", age: 3}"
                                .to_owned(),
                            span,
                        ),
                        wave::Mistake::Type(what) => {
                            (format!("`{wave}` does not fit `{name}`, which returns {signature}: {what}"), other, span)
                        }
                    }
                }
            },
        };
        self.report(Problem::new(Code::BadReturn, message).help(help), span, "");
        None
    }

    /// The place of a part of a text, where the manifest has it letter by letter.
    fn within(&self, text: &At<String>, part: &Range<usize>) -> Range<usize> {
        let written = self.manifest.source.inner().get(text.span.clone());
        let inner = written.and_then(|written| written.get(1..written.len().saturating_sub(1)));
        if inner == Some(text.value.as_str()) {
            let start = text.span.start + 1;
            start + part.start..start + part.end.max(part.start)
        } else {
            text.span.clone()
        }
    }

    /// Who stands in; or why it cannot. A name that is none has been told with the edge.
    fn stand_in(
        &self,
        edge: Spoken<'_>,
        name: &str,
        ty: &FunctionType,
        wanted: &str,
        links: &[Link],
    ) -> Result<Option<Fallback>, Vec<Problem>> {
        let Some(found) = self.manifest.components.iter().position(|component| component.name.value == wanted) else {
            return Ok(None);
        };
        let import = &edge.importer.imports[edge.link.import].name;
        let callee = self.name(edge.exporter);
        let refuse = |message: String, help: String| Err(vec![Problem::new(Code::BadFallback, message).help(help)]);
        if found == edge.exporter {
            return refuse(
                format!("`{callee}` cannot stand in for itself"),
                "name another component, or have calls made again with `retry`".to_owned(),
            );
        }
        if self.spec(found).wall == Wall::Fused {
            return refuse(
                format!("`{wanted}` is fused, and has no cell that could be called"),
                format!("give `{wanted}` wall = \"cell\""),
            );
        }
        let Some(component) = &self.types[found] else { return Ok(None) };
        let Some(export) = best_export(component, &ExternName::parse(import)) else {
            let exports = super::list(component.exports.iter().map(|export| export.name.as_str()).take(8));
            return refuse(
                format!("`{wanted}` does not export `{import}`, and cannot stand in for `{callee}`"),
                format!("name a component that does; `{wanted}` exports {exports}"),
            );
        };
        if takes_handles(ty) {
            return refuse(
                format!("`{name}` takes handles or streams, which `{callee}` has then, and `{wanted}` cannot get"),
                format!(
                    "say for this function what else is to happen:\n{}\non-failure = \"trap\"",
                    edge.key(self.name(edge.link.importer), name)
                ),
            );
        }
        let met = Met::By { component: found, export };
        let problems = self.stand_in_agreement(&Link { met, ..edge.link.clone() }, name, links);
        if !problems.is_empty() {
            return Err(problems);
        }
        let export = component.exports[export].name.clone();
        let component = ComponentId(u32::try_from(found).unwrap_or(u32::MAX));
        Ok(Some(Fallback { component, export }))
    }
}

impl Spoken<'_> {
    /// What is said of the edge, and of single functions with their names.
    fn policies(&self) -> impl Iterator<Item = (&PolicySpec, Option<&At<String>>)> {
        let single = self.spec.functions.iter().map(|(name, policy)| (policy, Some(name)));
        std::iter::once((&self.spec.policy, None)).chain(single)
    }

    fn idempotent(&self, function: &str) -> bool {
        self.spec.idempotent.iter().any(|name| name.value == function)
    }

    /// The table for one function.
    fn key(&self, importer: &str, function: &str) -> String {
        let import = &self.spec.import.value;
        let bare = function.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let function = if bare { function.to_owned() } else { format!("\"{function}\"") };
        format!("[component.{importer}.edge.\"{import}\".function.{function}]")
    }
}

/// The functions of an import.
pub(super) fn functions(component: &ComponentType, import: usize) -> Vec<(&str, &FunctionType)> {
    let import = &component.imports[import];
    match &import.item {
        Item::Interface(interface) => {
            interface.functions.iter().map(|(name, function)| (name.as_str(), function)).collect()
        }
        Item::Function(function) => vec![(import.name.as_str(), function)],
        Item::TypeName | Item::Unsupported(_) => Vec::new(),
    }
}

/// What follows from the type alone: the error, where the function returns one that a failure can be turned into; an exception, where the
/// caller calls by name.
pub(super) fn unsaid(component: &ComponentType, import: usize, function: &FunctionType) -> FunctionPolicy {
    let by_name = component.imports[import].by_name;
    let (on_failure, unmapped_error) = match function.result.as_ref().map(|result| &result.shape) {
        _ if by_name => (OnFailure::Exception, None),
        Some(Shape::Result(_, None)) => (OnFailure::ErrorEmpty, None),
        Some(Shape::Result(_, Some(error))) if matches!(error.shape, Shape::Primitive("string")) => {
            (OnFailure::ErrorText, None)
        }
        Some(Shape::Result(_, Some(error))) => (OnFailure::Trap, Some(type_text(component, error))),
        _ => (OnFailure::Trap, None),
    };
    FunctionPolicy { deadline: None, retry: None, fallback: None, on_failure, said: false, unmapped_error }
}

/// Whether what a function takes is gone once it was called.
fn takes_handles(function: &FunctionType) -> bool {
    let handle =
        |shape: &Shape| matches!(shape, Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_));
    function.params.iter().any(|(_, ty)| any_part(ty, &handle))
}

/// A value of an error type, for a help.
fn example(error: &Ty) -> String {
    match &error.shape {
        Shape::Variant(cases) => cases.first().map_or_else(|| "…".to_owned(), |(name, _)| name.clone()),
        Shape::Enum(names) => names.first().cloned().unwrap_or_else(|| "…".to_owned()),
        Shape::Primitive(_)
        | Shape::Record(_)
        | Shape::Flags(_)
        | Shape::Tuple(_)
        | Shape::List(_)
        | Shape::FixedList(..)
        | Shape::Map(..)
        | Shape::Option(_)
        | Shape::Result(..)
        | Shape::Own(_)
        | Shape::Borrow(_)
        | Shape::Stream(_)
        | Shape::Future(_) => "…".to_owned(),
    }
}
