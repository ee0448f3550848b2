//! The steps of the checker in their order, and the app that comes of them.

use std::path::PathBuf;

use super::{
    Checker,
    policy::functions,
    resolve::{Link, Met},
};
use crate::{
    app::{App, Component, ComponentId, Edge, EdgeId, EdgeShape, Function, FusedEdge, HttpTrigger, SourceKind, Wall},
    component_type::Item,
    grant::{DirGrant, DirMode, Grants},
    manifest::ComponentSpec,
    script,
    signature::signature,
    supervision::Group,
};

impl Checker<'_> {
    /// Every check of the graph; the app, if its parts are all there.
    pub(super) fn app(&mut self) -> Option<App> {
        let uses = self.uses();
        self.modules(&uses);
        let mut links = self.links(&uses);
        self.policies(&mut links);
        let members = self.members(&links);
        self.cycles(&uses, &links);
        self.agreement(&links, &members);
        self.fused(&links, &members);
        self.lifetimes();
        self.residences();
        let groups = self.groups();
        self.scopes(&links, &groups);
        let http = self.triggers();
        if self.types.iter().any(Option::is_none) {
            return None;
        }
        Some(self.build(&links, &members, http, groups))
    }

    fn build(&self, links: &[Link], members: &[Vec<usize>], http: Vec<HttpTrigger>, groups: Vec<Group>) -> App {
        let components: Vec<_> = (0..self.types.len()).map(|index| self.built(index, links, members)).collect();
        let edges = self.edges(links, members);
        App {
            name: self.manifest.name.clone(),
            version: self.manifest.version.clone(),
            supervision: self.supervision(&components, &edges, groups),
            components,
            edges,
            http,
        }
    }

    fn built(&self, index: usize, links: &[Link], members: &[Vec<usize>]) -> Component {
        let spec = self.spec(index);
        let parts = || members[index].iter().chain([&index]);
        let known = |part: &usize| self.types[*part].as_ref();
        let fused_edges = parts().flat_map(|part| links.iter().filter(|link| link.importer == *part));
        Component {
            id: id(index),
            name: spec.name.value.clone(),
            source: spec.source.as_ref().map(|source| PathBuf::from(&source.value)).unwrap_or_default(),
            wall: spec.wall,
            lifetime: spec.lifetime,
            grants: self.grants(spec),
            budget: spec.budget.clone(),
            residence: spec.residence.clone(),
            fused: members[index].iter().map(|member| id(*member)).collect(),
            fused_edges: match spec.wall {
                Wall::Fused => Vec::new(),
                Wall::Cell => fused_edges.filter_map(|link| self.fused_edge(link)).collect(),
            },
            asynchronous: parts().filter_map(known).any(|known| known.asynchronous),
            kind: known(&index).map_or(SourceKind::Component, |known| known.kind),
            script: self.scripts.get(&spec.name.value).cloned(),
            redact: parts().any(|part| self.spec(*part).redact),
        }
    }

    /// What the manifest grants, and a script's own folder.
    fn grants(&self, spec: &ComponentSpec) -> Grants {
        let mut grants = spec.grants.clone();
        if let Some(script) = self.scripts.get(&spec.name.value) {
            grants.dirs.insert(0, DirGrant::new(&script.folder, script::FOLDER, DirMode::Ro));
        }
        grants
    }

    fn fused_edge(&self, link: &Link) -> Option<FusedEdge> {
        let Met::By { component, export } = link.met else { return None };
        if self.spec(component).wall != Wall::Fused {
            return None;
        }
        Some(FusedEdge {
            importer: id(link.importer),
            exporter: id(component),
            import: self.types[link.importer].as_ref()?.imports[link.import].name.clone(),
            export: self.types[component].as_ref()?.exports[export].name.clone(),
        })
    }

    /// The edges between cells: those of a fused component are its importer's, once for each name.
    fn edges(&self, links: &[Link], members: &[Vec<usize>]) -> Vec<Edge> {
        let mut edges: Vec<Edge> = Vec::new();
        for (root, members) in members.iter().enumerate() {
            if self.spec(root).wall == Wall::Fused {
                continue;
            }
            let first = edges.len();
            for member in [root].iter().chain(members) {
                for link in links.iter().filter(|link| link.importer == *member) {
                    let Some(mut edge) = self.edge(root, link) else { continue };
                    if let Some(known) = edges[first..].iter_mut().find(|known| known.import == edge.import) {
                        edge.functions
                            .retain(|function| !known.functions.iter().any(|other| other.name == function.name));
                        known.functions.append(&mut edge.functions);
                    } else {
                        edge.id = EdgeId(u32::try_from(edges.len()).unwrap_or(u32::MAX));
                        edges.push(edge);
                    }
                }
            }
        }
        edges
    }

    fn edge(&self, root: usize, link: &Link) -> Option<Edge> {
        let Met::By { component, export } = link.met else { return None };
        if self.spec(component).wall == Wall::Fused {
            return None;
        }
        let importer = self.types[link.importer].as_ref()?;
        let import = &importer.imports[link.import];
        let shape = match &import.item {
            Item::Interface(_) => EdgeShape::Interface,
            Item::Function(_) => EdgeShape::Function,
            Item::TypeName | Item::Unsupported(_) => return None,
        };
        let functions = functions(importer, link.import).into_iter().zip(&link.policy.functions);
        Some(Edge {
            id: EdgeId(0),
            importer: id(root),
            exporter: id(component),
            import: import.name.clone(),
            export: self.types[component].as_ref()?.exports[export].name.clone(),
            shape,
            by_name: import.by_name,
            deadline: link.policy.deadline,
            breaker: link.policy.breaker,
            limit: link.policy.limit,
            functions: functions
                .map(|((name, function), policy)| Function {
                    name: name.to_owned(),
                    signature: signature(importer, name, function),
                    parameters: function.params.iter().map(|(name, _)| name.clone()).collect(),
                    deadline: policy.deadline,
                    retry: policy.retry,
                    fallback: policy.fallback.clone(),
                    on_failure: policy.on_failure.clone(),
                    said: policy.said,
                    unmapped_error: policy.unmapped_error.clone(),
                })
                .collect(),
        })
    }
}

fn id(index: usize) -> ComponentId {
    ComponentId(u32::try_from(index).unwrap_or(u32::MAX))
}
