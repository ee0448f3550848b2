//! Components with `wall = "fused"`: which cells they are composed into, and what they may not have of their own there.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Checker, any_part,
    resolve::{Link, Met},
};
use crate::{
    app::{Lifetime, Wall},
    component_type::{Item, Shape},
    manifest::At,
    problem::{Code, Problem},
    version::ExternName,
};

impl Checker<'_> {
    /// For each component that has cells, what is fused into them, innermost first; empty for the fused ones themselves.
    pub(super) fn members(&self, links: &[Link]) -> Vec<Vec<usize>> {
        let fused = |component: usize| self.spec(component).wall == Wall::Fused;
        (0..self.types.len())
            .map(|root| {
                let mut members = Vec::new();
                if !fused(root) {
                    let mut seen = vec![false; self.types.len()];
                    self.gather(root, links, &mut seen, &mut members);
                }
                members
            })
            .collect()
    }

    /// Adds what is fused into a component after what is fused into that.
    fn gather(&self, component: usize, links: &[Link], seen: &mut [bool], members: &mut Vec<usize>) {
        for link in links.iter().filter(|link| link.importer == component) {
            let Met::By { component: exporter, .. } = link.met else { continue };
            if self.spec(exporter).wall == Wall::Fused && !seen[exporter] {
                seen[exporter] = true;
                self.gather(exporter, links, seen, members);
                members.push(exporter);
            }
        }
    }

    pub(super) fn fused(&mut self, links: &[Link], members: &[Vec<usize>]) {
        for component in 0..self.types.len() {
            if self.spec(component).wall == Wall::Fused {
                self.own_settings(component);
                if !members.iter().any(|members| members.contains(&component)) {
                    let message = format!("`{}` is fused, but nobody uses it", self.name(component));
                    let problem = Problem::warning(Code::FusedUnused, message)
                        .help("list it in the `uses` of a component that imports what it exports, or drop it");
                    let span = self.name_span(component);
                    self.report(problem, span, "composed into nothing");
                }
            }
        }
        self.fused_edges(links);
        for (root, members) in members.iter().enumerate() {
            self.conflicts(root, members, links);
        }
    }

    /// A fused component runs in its importer's cell, under its importer's name.
    fn own_settings(&mut self, component: usize) {
        let spec = self.spec(component);
        let given: Vec<_> = spec.given.iter().chain(&spec.resident_keys).cloned().collect();
        let spec_edges = spec.edges.clone();
        for given in given {
            let key = given.value;
            let message = format!("`{}` is fused, and cannot have its own `{key}`", self.name(component));
            let help = format!(
                "it shares its importer's store: move `{key}` to the component that uses it, or give it a store of its own with wall = \"cell\""
            );
            self.report(Problem::new(Code::FusedSetting, message).help(help), given.span, "not its own to set");
        }
        for given in spec_edges.into_iter().flat_map(|edge| edge.given) {
            let key = given.value;
            let message = format!("`{}` is fused, and cannot have `{key}` on its own edge", self.name(component));
            let help = match key {
                "deadline" => "set the deadline in the budget of the component it calls, or give it wall = \"cell\"",
                _ => "a call of its own is one of the cell it is fused into: give it wall = \"cell\", or drop it",
            };
            self.report(Problem::new(Code::FusedSetting, message).help(help), given.span, "not its own to set");
        }
    }

    /// A call into a fused component is no crossing: nothing can end it early, and its failure is its caller's.
    fn fused_edges(&mut self, links: &[Link]) {
        for link in links {
            let Met::By { component, .. } = link.met else { continue };
            let by_name = self.types[link.importer].as_ref().is_some_and(|known| known.imports[link.import].by_name);
            if by_name && self.spec(component).wall == Wall::Fused {
                self.fused_module(link.importer, component, link.span.clone());
                continue;
            }
            let Some(place) = link.spec else { continue };
            let spec = self.spec(link.importer).edges[place].clone();
            if self.spec(component).wall == Wall::Fused {
                for given in spec.given {
                    let name = self.name(component);
                    let message = format!("`{}` has no effect on the edge to `{name}`, which is fused", given.value);
                    let problem = Problem::new(Code::FusedSetting, message)
                        .help(format!("drop it, or give `{name}` wall = \"cell\""));
                    self.report(problem, given.span, "no effect");
                }
                continue;
            }
            let policies = spec.functions.iter().map(|(_, policy)| policy).chain([&spec.policy]);
            for deadline in policies.filter_map(|policy| policy.deadline.as_ref()) {
                self.longer_deadline(component, deadline);
            }
        }
    }

    fn longer_deadline(&mut self, component: usize, deadline: &At<Duration>) {
        let budget = self.spec(component).budget.deadline;
        if deadline.value <= budget {
            return;
        }
        let message =
            format!("the deadline is longer than the {budget:?} that `{}` has for any call", self.name(component));
        let problem =
            Problem::warning(Code::NoEffect, message).help("shorten it, or raise the `budget.deadline` of the callee");
        self.report(problem, deadline.span.clone(), "no effect");
    }

    /// One composed component imports each interface once, so all its parts must get it from the same place.
    fn conflicts(&mut self, root: usize, members: &[usize], links: &[Link]) {
        let mut taken: BTreeMap<String, (usize, Met)> = BTreeMap::new();
        for member in [root].iter().chain(members) {
            for link in links.iter().filter(|link| link.importer == *member) {
                let provider = match link.met {
                    Met::By { component, .. } if self.spec(component).wall == Wall::Fused => continue,
                    // Which of its exports is for the versions to say.
                    Met::By { component, .. } => Met::By { component, export: 0 },
                    Met::Host => Met::Host,
                    Met::Nobody => continue,
                };
                let Some(known) = &self.types[*member] else { continue };
                let name = ExternName::parse(&known.imports[link.import].name);
                let series = name.version.as_ref().map_or_else(String::new, |version| match version.major {
                    0 => format!("@0.{}", version.minor),
                    major => format!("@{major}"),
                });
                let key = format!("{}{series}", name.base);
                match taken.get(&key) {
                    None => {
                        taken.insert(key, (*member, provider));
                    }
                    Some((_, earlier)) if *earlier == provider => {}
                    Some((first, earlier)) => {
                        let source = |met: &Met| match met {
                            Met::By { component, .. } => format!("`{}`", self.name(*component)),
                            Met::Host | Met::Nobody => "the host".to_owned(),
                        };
                        let message = format!(
                            "`{}` is fused into `{}`, but gets `{key}` from {}, and `{}` gets it from {}",
                            self.name(*member),
                            self.name(root),
                            source(&provider),
                            self.name(*first),
                            source(earlier),
                        );
                        let problem = Problem::new(Code::FusedConflict, message).help(
                            "components in one store share their imports: let both use the same component, or set wall = \"cell\"",
                        );
                        let span = self.name_span(*member);
                        self.report(problem, span, "");
                    }
                }
            }
        }
    }

    /// `lifetime = "call"` ends a cell with the call: whatever it handed out would be dead at once.
    pub(super) fn lifetimes(&mut self) {
        for component in 0..self.types.len() {
            if self.spec(component).lifetime != Lifetime::Call {
                continue;
            }
            let Some(outlives) = self.types[component].as_ref().and_then(what_outlives_a_call) else { continue };
            let message = format!("`{}` lives for one call, but exports {outlives}", self.name(component));
            let problem = Problem::new(Code::LifetimeTooShort, message)
                .help("its handles would die with the call: set lifetime = \"request\" or \"resident\"");
            let given = self.spec(component).given.iter().find(|given| given.value == "lifetime");
            let span = given.map_or_else(|| self.name_span(component), |given| given.span.clone());
            self.report(problem, span, "too short");
        }
    }
}

/// What a component exports that is still in use after a call: resources of its own, and the streams and futures it returns.
fn what_outlives_a_call(component: &crate::component_type::ComponentType) -> Option<String> {
    for export in &component.exports {
        let functions = match &export.item {
            Item::Interface(interface) => {
                let own = interface.resources.iter().find(|(_, index)| !component.resources[index.0].imported);
                if let Some((name, _)) = own {
                    return Some(format!("the resource `{name}` of `{}`", export.name));
                }
                interface.functions.iter().map(|(name, function)| (name.as_str(), function)).collect()
            }
            Item::Function(function) => vec![(export.name.as_str(), function)],
            Item::TypeName | Item::Unsupported(_) => Vec::new(),
        };
        for (name, function) in functions {
            let streams = |shape: &Shape| matches!(shape, Shape::Stream(_) | Shape::Future(_));
            if function.result.as_ref().is_some_and(|result| any_part(result, &streams)) {
                return Some(format!("`{name}`, which returns a stream or a future"));
            }
        }
    }
    None
}
