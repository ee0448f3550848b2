//! What `check` says of a sound app, by names instead of indices: for JSON, and for whoever lays it out as text.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::{
    app::{
        App, Component, Edge, EdgeShape, Function, HttpHandler, HttpTrigger, Lifetime, Limit, OnFailure,
        PublicFunction, Retry, SourceKind, Wall,
    },
    blast::{Blast, Reach},
    breaker::BreakerSpec,
    budget::Budget,
    problem::{Code, Problem},
    supervision::{Intensity, Limits, Member, Residence, Strategy, limits},
};

/// An app as `check` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// The app's name.
    pub app: String,
    /// Its version.
    pub version: String,
    /// Its components, in the manifest's order.
    pub components: Vec<ComponentReport>,
    /// Its edges.
    pub edges: Vec<EdgeReport>,
    /// Its routes.
    pub routes: Vec<RouteReport>,
    /// Who restarts its residents; none where it has none.
    pub supervision: Option<SupervisionReport>,
    /// If a component fails, who fails with it; what it can reach.
    pub blast: Blast,
}

/// A component as `check` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ComponentReport {
    /// Its name.
    pub name: String,
    /// Where its bytes come from.
    pub source: PathBuf,
    /// What they hold.
    pub kind: SourceKind,
    /// How strong its isolation is.
    pub wall: Wall,
    /// How long a cell of it lives.
    pub lifetime: Lifetime,
    /// Whether the async engine runs it.
    pub asynchronous: bool,
    /// What is fused into its cells, innermost first.
    pub fused: Vec<String>,
    /// What it may reach itself.
    pub grants: Reach,
    /// What it may spend.
    pub budget: Budget,
    /// How its residents are kept, if it has any.
    pub residence: Option<Residence>,
    /// Whether the node has them once, and not each worker.
    pub for_the_node: bool,
}

/// Who restarts an app's residents, as `check` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SupervisionReport {
    /// Everything that is supervised, from the top, in the order in which it starts.
    pub tree: Vec<SupervisedReport>,
    /// How often a cell that keeps failing is restarted, for each resident component that is.
    pub limits: Vec<Limits>,
}

/// A component or group as the supervision tree shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SupervisedReport {
    /// Its name.
    pub name: String,
    /// How deep it stands: 0 for what the app supervises itself.
    pub depth: usize,
    /// Who is restarted with a member that ends; none for a component.
    pub strategy: Option<Strategy>,
    /// How many restarts it makes.
    pub intensity: Intensity,
}

/// An edge as `check` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct EdgeReport {
    /// The caller.
    pub importer: String,
    /// The callee.
    pub exporter: String,
    /// What is imported.
    pub import: String,
    /// What meets it.
    pub export: String,
    /// Whether it is an interface or a function.
    pub shape: EdgeShape,
    /// The deadline of a call over it: its own, or the callee's where it has none.
    #[serde(rename = "deadline_ms", serialize_with = "crate::budget::millis")]
    pub deadline: Duration,
    /// When no more calls are made for a while.
    pub breaker: Option<BreakerSpec>,
    /// How many calls there may be at once.
    pub limit: Option<Limit>,
    /// Its functions.
    pub functions: Vec<FunctionReport>,
}

/// A function as `check` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct FunctionReport {
    /// Its WIT signature.
    pub signature: String,
    /// The deadline of one call.
    #[serde(rename = "deadline_ms", serialize_with = "crate::budget::millis")]
    pub deadline: Duration,
    /// Whether a failed call is made again.
    pub retry: Option<Retry>,
    /// Who is called instead.
    pub fallback: Option<String>,
    /// What the caller gets in the end: `error-text`, `error-empty`, `return` or `trap`.
    pub on_failure: &'static str,
    /// The value that it gets, in WAVE, where `on_failure` is `return`.
    pub returns: Option<String>,
    /// All of that as a sentence: `retry 2x, then thumbnail-lite, then err(too-busy)`.
    pub sees: String,
}

/// A function that a route calls, as `check` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ExportReport {
    /// Its shortest path, below the route.
    pub path: String,
    /// Its WIT signature.
    pub signature: String,
}

/// A route as `check` shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RouteReport {
    /// A path, in which `[id]` stands for any one part, or a prefix ending in `/...`.
    pub route: String,
    /// The component that handles it.
    pub component: String,
    /// By which interface, where it has a handler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<HttpHandler>,
    /// What is called, each with its path below the route, where it has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<ExportReport>,
    /// How many of its requests there may be at once.
    pub limit: Option<Limit>,
}

fn exports(trigger: &HttpTrigger) -> Vec<ExportReport> {
    let calls = trigger.calls().into_iter();
    let report = |(mut paths, _, function): (Vec<String>, _, &PublicFunction)| {
        Some(ExportReport { path: paths.pop()?, signature: function.signature.clone() })
    };
    calls.filter_map(report).collect()
}

impl Report {
    /// Looks at an app.
    #[must_use]
    pub fn of(app: &App) -> Self {
        Self {
            app: app.name.clone(),
            version: app.version.clone(),
            components: app.components.iter().map(|component| component_report(app, component)).collect(),
            edges: app.edges.iter().map(|edge| edge_report(app, edge)).collect(),
            routes: app
                .http
                .iter()
                .map(|trigger| RouteReport {
                    route: trigger.route.clone(),
                    component: app.component(trigger.component).name.clone(),
                    handler: trigger.handler(),
                    exports: exports(trigger),
                    limit: trigger.limit,
                })
                .collect(),
            supervision: supervision_report(app),
            blast: Blast::of(app),
        }
    }
}

fn component_report(app: &App, component: &Component) -> ComponentReport {
    ComponentReport {
        name: component.name.clone(),
        source: component.source.clone(),
        kind: component.kind,
        wall: component.wall,
        lifetime: component.lifetime,
        asynchronous: component.asynchronous,
        fused: component.fused.iter().map(|fused| app.component(*fused).name.clone()).collect(),
        grants: Reach::of(&component.grants),
        budget: component.budget.clone(),
        residence: component.is_resident().then(|| component.residence.clone()),
        for_the_node: component.is_for_the_node(),
    }
}

fn supervision_report(app: &App) -> Option<SupervisionReport> {
    let mut tree = Vec::new();
    app.supervision.top.iter().for_each(|member| supervised(app, *member, 0, &mut tree));
    let limits = app.components.iter().filter_map(|component| limits(app, component)).collect();
    (!tree.is_empty()).then_some(SupervisionReport { tree, limits })
}

fn supervised(app: &App, member: Member, depth: usize, tree: &mut Vec<SupervisedReport>) {
    match member {
        Member::Component(id) => {
            let component = app.component(id);
            let (name, intensity) = (component.name.clone(), component.residence.intensity);
            tree.push(SupervisedReport { name, depth, strategy: None, intensity });
        }
        Member::Group(id) => {
            let group = app.supervision.group(id);
            let (name, intensity) = (group.name.clone(), group.intensity);
            tree.push(SupervisedReport { name, depth, strategy: Some(group.strategy), intensity });
            group.members.iter().for_each(|member| supervised(app, *member, depth + 1, tree));
        }
    }
}

fn edge_report(app: &App, edge: &Edge) -> EdgeReport {
    let exporter = app.component(edge.exporter);
    let functions = edge.functions.iter();
    let deadline =
        |own: Option<Duration>| own.map_or(exporter.budget.deadline, |own| own.min(exporter.budget.deadline));
    let function = |function: &Function| {
        let (on_failure, returns) = match &function.on_failure {
            OnFailure::ErrorText => ("error-text", None),
            OnFailure::ErrorEmpty => ("error-empty", None),
            OnFailure::Return(returned) => ("return", Some(returned.wave.clone())),
            OnFailure::Exception => ("exception", None),
            OnFailure::Trap => ("trap", None),
        };
        FunctionReport {
            signature: function.signature.clone(),
            deadline: deadline(function.deadline),
            retry: function.retry,
            fallback: function.fallback.as_ref().map(|fallback| app.component(fallback.component).name.clone()),
            on_failure,
            returns,
            sees: sees(app, function),
        }
    };
    EdgeReport {
        importer: app.component(edge.importer).name.clone(),
        exporter: exporter.name.clone(),
        import: edge.import.clone(),
        export: edge.export.clone(),
        shape: edge.shape,
        deadline: deadline(edge.deadline),
        breaker: edge.breaker,
        limit: edge.limit,
        functions: functions.map(function).collect(),
    }
}

/// What a caller sees of a failed call of a function, from the first thing that is done about it to the last.
#[must_use]
pub fn sees(app: &App, function: &Function) -> String {
    let retry = function.retry.map(|retry| format!("retry {}x", retry.attempts));
    let fallback = function.fallback.as_ref().map(|fallback| app.component(fallback.component).name.clone());
    let last = match &function.on_failure {
        OnFailure::ErrorText => "an error with the reason".to_owned(),
        OnFailure::ErrorEmpty => "an error".to_owned(),
        OnFailure::Return(returned) if returned.wave.is_empty() => "goes on as if nothing had failed".to_owned(),
        OnFailure::Return(returned) => returned.wave.clone(),
        OnFailure::Exception => "an exception".to_owned(),
        OnFailure::Trap => "TRAPS TOO".to_owned(),
    };
    retry.into_iter().chain(fallback).chain([last]).collect::<Vec<_>>().join(", then ")
}

/// Functions of which a failure takes the caller down, without the manifest having said so: one warning for an edge, or two.
#[must_use]
pub fn warnings(app: &App) -> Vec<Problem> {
    app.edges.iter().flat_map(|edge| warnings_of(app, edge)).collect()
}

fn warnings_of(app: &App, edge: &Edge) -> impl Iterator<Item = Problem> + use<> {
    let (importer, exporter) = (&app.component(edge.importer).name, &app.component(edge.exporter).name);
    let key = format!("[component.{importer}.edge.\"{}\"]", edge.import);
    let warning = |functions: &[String], why: String| {
        let any = if functions.len() == 1 { "it" } else { "one of them" };
        let message = format!(
            "{} of {} {why}: if `{exporter}` fails in {any}, all that is possible is that `{importer}` traps too",
            functions.join(", "),
            edge.import,
        );
        let help = format!(
            "say what `{importer}` gets instead, with on-failure = {{ return = '…' }} or {{ fallback = \"…\" }},\n\
             or that a trap is meant, with on-failure = \"trap\", for the edge or one function, under\n{key}"
        );
        (!functions.is_empty()).then(|| Problem::warning(Code::OnlyTrap, message).help(help))
    };
    let traps = |function: &&Function| function.on_failure == OnFailure::Trap && !function.said;
    let named = |function: &Function| format!("`{}`", function.name);
    let mut unmapped: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut without = Vec::new();
    for function in edge.functions.iter().filter(traps) {
        match &function.unmapped_error {
            Some(error) => unmapped.entry(error).or_default().push(named(function)),
            None => without.push(named(function)),
        }
    }
    let (has, returns) =
        (|count| if count == 1 { "has" } else { "have" }, |count| if count == 1 { "returns" } else { "return" });
    let mut found: Vec<_> = unmapped
        .iter()
        .filter_map(|(error, functions)| {
            let returns = returns(functions.len());
            warning(functions, format!("{returns} an error of type `{error}`, which no failure can be turned into"))
        })
        .collect();
    found.extend(warning(&without, format!("{} no error to return", has(without.len()))));
    found.into_iter()
}
