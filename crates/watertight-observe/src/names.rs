//! The names behind the indices in events.

use std::sync::Arc;

use watertight_model::{
    app::{App, Component, ComponentId, Edge, EdgeId, FunctionId},
    supervision::GroupId,
};

/// Names of one app. An index that the app does not have has the name `?`: an event never stops a sink.
#[derive(Clone, Debug)]
pub(crate) struct Names(Arc<App>);

impl Names {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self(app)
    }

    pub(crate) fn component(&self, id: ComponentId) -> &str {
        self.spec(id).map_or("?", |component| &component.name)
    }

    pub(crate) fn spec(&self, id: ComponentId) -> Option<&Component> {
        self.0.components.get(id.0 as usize)
    }

    pub(crate) fn group(&self, id: GroupId) -> &str {
        self.0.supervision.groups.get(id.0 as usize).map_or("?", |group| &group.name)
    }

    pub(crate) fn app(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn edge(&self, id: EdgeId) -> Option<&Edge> {
        self.0.edges.get(id.0 as usize)
    }

    /// Caller and callee.
    pub(crate) fn ends(&self, id: EdgeId) -> (&str, &str) {
        self.edge(id).map_or(("?", "?"), |edge| (self.component(edge.importer), self.component(edge.exporter)))
    }

    pub(crate) fn function(&self, edge: EdgeId, function: FunctionId) -> &str {
        self.edge(edge).and_then(|edge| edge.functions.get(function.0 as usize)).map_or("?", |function| &function.name)
    }

    /// Who stands in for the callee of a function.
    pub(crate) fn fallback(&self, edge: EdgeId, function: FunctionId) -> &str {
        let function = self.edge(edge).and_then(|edge| edge.functions.get(function.0 as usize));
        function.and_then(|function| function.fallback.as_ref()).map_or("?", |other| self.component(other.component))
    }

    pub(crate) fn route(&self, route: u32) -> &str {
        self.0.http.get(route as usize).map_or("?", |trigger| &trigger.route)
    }
}
