//! Components that a node has once: what calls them from another process must be able to cross there.
//!
//! Values can, as frames. Handles, streams and futures cannot: what they stand for stays in the process it is in.

use super::{
    Checker,
    policy::functions,
    resolve::{Link, Met},
};
use crate::{
    app::{Lifetime, Wall},
    component_type::{ComponentType, FunctionType, Shape, Ty},
    problem::{Code, Problem},
    signature::{signature, type_text},
    supervision::{Group, Member, Scope},
};

impl Checker<'_> {
    pub(super) fn scopes(&mut self, links: &[Link], groups: &[Group]) {
        for link in links {
            let Met::By { component: exporter, .. } = link.met else { continue };
            let fallbacks = link.policy.functions.iter().map(|policy| policy.fallback.as_ref());
            let fallbacks: Vec<_> = fallbacks.map(|found| found.map(|found| found.component.0 as usize)).collect();
            let Some(importer) = self.types[link.importer].clone() else { continue };
            for (index, (name, function)) in functions(&importer, link.import).into_iter().enumerate() {
                let callees = [Some(exporter), fallbacks.get(index).copied().flatten()];
                for callee in callees.into_iter().flatten() {
                    if self.is_for_the_node(callee)
                        && let Some(handle) = handle_in(function)
                    {
                        self.cannot_reach(link, &importer, (name, function), &handle, callee);
                    }
                }
            }
        }
        self.node_routes();
        self.mixed_groups(groups);
    }

    fn is_for_the_node(&self, component: usize) -> bool {
        let spec = self.spec(component);
        spec.residence.scope == Scope::Node && spec.lifetime == Lifetime::Resident && spec.wall == Wall::Cell
    }

    fn cannot_reach(
        &mut self,
        link: &Link,
        importer: &ComponentType,
        (name, function): (&str, &FunctionType),
        handle: &Ty,
        callee: usize,
    ) {
        let (caller, callee_name) = (self.name(link.importer), self.name(callee));
        let message = format!(
            "`{name}` of `{}` passes `{}`, which cannot cross from `{caller}` to `{callee_name}` in another process",
            importer.imports[link.import].name,
            type_text(importer, handle)
        );
        let help = format!(
            "it is `{}`: pass values instead, or give each worker its own `{callee_name}` with scope = \"worker\"",
            signature(importer, name, function)
        );
        let at = self.scope_span(callee);
        self.report_once(Problem::new(Code::NodeScope, message).help(help), at, "for the whole node");
    }

    /// A route's component runs where the connection is.
    fn node_routes(&mut self) {
        for trigger in &self.manifest.http {
            let components = &self.manifest.components;
            let Some(found) = components.iter().position(|known| known.name.value == trigger.component.value) else {
                continue;
            };
            if self.is_for_the_node(found) {
                let message =
                    format!("`{}` is there once for the whole node, and a route cannot start it", self.name(found));
                let problem = Problem::new(Code::NodeScope, message)
                    .help("route to a component that every worker has, and have that one call it");
                self.report(problem, trigger.component.span.clone(), "for the whole node");
            }
        }
    }

    /// Members are restarted together, so they must be in one process.
    fn mixed_groups(&mut self, groups: &[Group]) {
        for (group, spec) in groups.iter().zip(&self.manifest.groups) {
            let scopes: Vec<bool> = self.members_below(group, groups, groups.len());
            if scopes.contains(&true) && scopes.contains(&false) {
                let message =
                    format!("the group `{}` has members in each worker, and others for the whole node", group.name);
                let problem = Problem::new(Code::NodeScope, message)
                    .help("who is restarted together must be in one process: make two groups, or give all members one `scope`");
                self.report(problem, spec.name.span.clone(), "of two scopes");
            }
        }
    }

    /// Of each component in a group, or in a group in it, whether it is for the node.
    fn members_below(&self, group: &Group, groups: &[Group], depth: usize) -> Vec<bool> {
        let below = group.members.iter().flat_map(|member| match member {
            Member::Component(id) => vec![self.is_for_the_node(id.0 as usize)],
            // Circles are reported elsewhere.
            Member::Group(_) if depth == 0 => Vec::new(),
            Member::Group(id) => groups
                .iter()
                .filter(|other| other.id == *id)
                .flat_map(|inner| self.members_below(inner, groups, depth - 1))
                .collect(),
        });
        below.collect()
    }

    fn scope_span(&self, component: usize) -> std::ops::Range<usize> {
        let given = self.spec(component).resident_keys.iter().find(|given| given.value == "scope");
        given.map_or_else(|| self.name_span(component), |given| given.span.clone())
    }
}

/// The first handle, stream or future in a function's type.
fn handle_in(function: &FunctionType) -> Option<Ty> {
    function.params.iter().map(|(_, ty)| ty).chain(&function.result).find_map(first_handle)
}

fn first_handle(ty: &Ty) -> Option<Ty> {
    match &ty.shape {
        Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => Some(ty.clone()),
        Shape::Primitive(_) | Shape::Enum(_) | Shape::Flags(_) => None,
        Shape::Record(fields) => fields.iter().find_map(|(_, ty)| first_handle(ty)),
        Shape::Variant(cases) => cases.iter().filter_map(|(_, ty)| ty.as_ref()).find_map(first_handle),
        Shape::Tuple(types) => types.iter().find_map(first_handle),
        Shape::List(ty) | Shape::FixedList(ty, _) | Shape::Option(ty) => first_handle(ty),
        Shape::Map(key, value) => first_handle(key).or_else(|| first_handle(value)),
        Shape::Result(ok, error) => [ok, error].into_iter().flatten().find_map(first_handle),
    }
}
