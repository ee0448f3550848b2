//! Who supervises whom: the app, its groups, their components and places for cells, numbered in the order in which they start.
//!
//! Whatever is under one supervisor is one unbroken range of places; so is whatever starts after a member of it.

use std::{ops::Range, sync::Arc};

use super::{Group, GroupId, Instance, Intensity, Member, Residence, Scope, Strategy, window::Window};
use crate::app::{App, ComponentId};

/// A place, by its turn to start.
pub(super) type Place = usize;

/// A supervisor, as an index into [`Lineage::nodes`].
pub(super) type NodeId = usize;

/// The root of every lineage.
pub(super) const APP: NodeId = 0;

#[derive(Clone, Debug)]
pub(super) struct Lineage {
    pub(super) nodes: Vec<Node>,
    pub(super) places: Vec<Placed>,
}

/// What a place is for.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) instance: Instance,
    /// The component it is under.
    pub(super) node: NodeId,
    pub(super) residence: Arc<Residence>,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) what: What,
    pub(super) parent: NodeId,
    /// Its members' nodes, in the order in which they start.
    pub(super) members: Vec<NodeId>,
    pub(super) places: Range<Place>,
    pub(super) window: Window,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    App { intensity: Option<Intensity> },
    Group(Group),
    Component { id: ComponentId, name: String, intensity: Intensity },
}

/// Whether what is in a member is of a scope. All of it is of one, says the checker; what is empty is of each worker.
fn is_of(app: &App, member: Member, scope: Scope, depth: usize) -> bool {
    match member {
        Member::Component(id) => app.component(id).residence.scope == scope,
        // Groups that hold each other in a circle do not get here.
        Member::Group(_) if depth == 0 => false,
        Member::Group(id) => {
            let first = app.supervision.group(id).members.first();
            first.map_or(scope == Scope::Worker, |first| is_of(app, *first, scope, depth - 1))
        }
    }
}

impl Lineage {
    /// Of the residents that a process has: those of its own, or those that the node has once.
    pub(super) fn of(app: &App, scope: Scope) -> Self {
        let root = Node::new(What::App { intensity: app.supervision.intensity }, APP);
        let mut lineage = Self { nodes: vec![root], places: Vec::new() };
        for member in
            app.supervision.top.iter().filter(|member| is_of(app, **member, scope, app.supervision.groups.len()))
        {
            lineage.add(app, *member, APP);
        }
        // An app that was put together by hand may have left some out.
        for component in app.components.iter().filter(|component| component.is_resident()) {
            if component.residence.scope != scope {
                continue;
            }
            if lineage.component(component.id).is_none() {
                lineage.add(app, Member::Component(component.id), APP);
            }
        }
        lineage.nodes[APP].places.end = lineage.places.len();
        lineage
    }

    fn add(&mut self, app: &App, member: Member, parent: NodeId) {
        let id = self.nodes.len();
        let first = self.places.len();
        match member {
            Member::Component(component) => {
                let spec = app.component(component);
                let residence = Arc::new(spec.residence.clone());
                let (name, intensity) = (spec.name.clone(), residence.intensity);
                self.nodes.push(Node::new(What::Component { id: component, name, intensity }, parent));
                self.places.extend((0..residence.instances).map(|number| Placed {
                    instance: Instance { component, number },
                    node: id,
                    residence: Arc::clone(&residence),
                }));
            }
            Member::Group(group) => {
                let group = app.supervision.group(group).clone();
                let members = group.members.clone();
                self.nodes.push(Node::new(What::Group(group), parent));
                for member in members {
                    self.add(app, member, id);
                }
            }
        }
        self.nodes[id].places = first..self.places.len();
        self.nodes[parent].members.push(id);
    }

    /// The node of a component.
    pub(super) fn component(&self, wanted: ComponentId) -> Option<NodeId> {
        self.nodes.iter().position(|node| matches!(&node.what, What::Component { id, .. } if *id == wanted))
    }

    /// Every component that has places, with its node.
    pub(super) fn components(&self) -> impl Iterator<Item = (ComponentId, NodeId)> + '_ {
        self.nodes.iter().enumerate().filter_map(|(node, of)| match &of.what {
            What::Component { id, .. } => Some((*id, node)),
            What::App { .. } | What::Group(_) => None,
        })
    }

    /// What is restarted together with a member of a supervisor.
    pub(super) fn scope(&self, supervisor: NodeId, member: NodeId) -> Range<Place> {
        let member = &self.nodes[member].places;
        let all = &self.nodes[supervisor].places;
        match self.nodes[supervisor].strategy() {
            Strategy::OneForOne => member.clone(),
            Strategy::OneForAll => all.clone(),
            Strategy::RestForOne => member.start..all.end,
        }
    }

    /// What is under a supervisor begins anew, and has not been restarted yet.
    pub(super) fn forget_restarts(&mut self, under: NodeId) {
        let range = self.nodes[under].places.clone();
        for node in &mut self.nodes {
            if range.start <= node.places.start
                && node.places.end <= range.end
                && !matches!(node.what, What::App { .. })
            {
                node.window.clear();
            }
        }
    }
}

impl Node {
    fn new(what: What, parent: NodeId) -> Self {
        Self { what, parent, members: Vec::new(), places: 0..0, window: Window::default() }
    }

    pub(super) fn strategy(&self) -> Strategy {
        match &self.what {
            What::App { .. } | What::Component { .. } => Strategy::OneForOne,
            What::Group(group) => group.strategy,
        }
    }

    /// None where it never gives up.
    pub(super) fn intensity(&self) -> Option<Intensity> {
        match &self.what {
            What::App { intensity } => *intensity,
            What::Group(group) => Some(group.intensity),
            What::Component { intensity, .. } => Some(*intensity),
        }
    }

    /// Its key in the manifest.
    pub(super) fn key(&self) -> String {
        match &self.what {
            What::App { .. } => "app".to_owned(),
            What::Group(group) => format!("group.{}", group.name),
            What::Component { name, .. } => format!("component.{name}"),
        }
    }

    pub(super) fn group(&self) -> Option<GroupId> {
        match &self.what {
            What::Group(group) => Some(group.id),
            What::App { .. } | What::Component { .. } => None,
        }
    }
}
