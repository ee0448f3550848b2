//! Routes: each starts a component that exports an HTTP handler, and no two are the same.

use super::{Checker, HostInterfaces, list};
use crate::{
    app::{ComponentId, HttpHandler, HttpTrigger, SourceKind, Wall},
    component_type::ComponentType,
    problem::{Code, Problem},
    version::ExternName,
};

/// The handler that a component exports, of a version the host speaks; the newer one if it exports both.
pub(super) fn handler(component: &ComponentType, host: &HostInterfaces) -> Option<HttpHandler> {
    let exports = |base: &str, minor: u64| {
        component.exports.iter().any(|export| {
            let name = ExternName::parse(&export.name);
            let series = name.version.as_ref().is_some_and(|version| version.major == 0 && version.minor == minor);
            name.base == base && series && host.meets(&ExternName { base: "wasi:http", version: name.version })
        })
    };
    if exports("wasi:http/handler", 3) {
        return Some(HttpHandler::P3);
    }
    exports("wasi:http/incoming-handler", 2).then_some(HttpHandler::P2)
}

impl Checker<'_> {
    pub(super) fn triggers(&mut self) -> Vec<HttpTrigger> {
        let mut triggers: Vec<HttpTrigger> = Vec::new();
        for (index, trigger) in self.manifest.http.iter().enumerate() {
            let earlier = self.manifest.http[..index].iter().find(|earlier| earlier.route.value == trigger.route.value);
            if let Some(earlier) = earlier {
                let message = format!("the route `{}` is given twice", trigger.route.value);
                let problem = Problem::new(Code::DuplicateRoute, message)
                    .help("drop one of the two, or make one longer")
                    .at(&self.manifest.source, trigger.route.span.clone(), "again")
                    .at(&self.manifest.source, earlier.route.span.clone(), "first");
                self.problems.push(problem);
            }
            let Some(component) = self.component(&trigger.component) else { continue };
            if let Some(handler) = self.handled(component, trigger.component.span.clone()) {
                let id = ComponentId(u32::try_from(component).unwrap_or(u32::MAX));
                triggers.push(HttpTrigger {
                    route: trigger.route.value.clone(),
                    component: id,
                    handler,
                    limit: trigger.limit,
                });
            }
        }
        triggers
    }

    fn handled(&mut self, component: usize, span: std::ops::Range<usize>) -> Option<HttpHandler> {
        if self.spec(component).wall == Wall::Fused {
            let message =
                format!("`{}` is fused into its importers, and a route cannot start it", self.name(component));
            let problem = Problem::new(Code::FusedTrigger, message)
                .help("give it a store of its own with wall = \"cell\", or route to the component that uses it");
            self.report(problem, span, "fused");
            return None;
        }
        let known = self.types[component].as_ref()?;
        if let Some(handler) = handler(known, self.host) {
            return Some(handler);
        }
        let message = format!("`{}` exports no HTTP handler, and a route cannot start it", self.name(component));
        let exports = list(known.exports.iter().map(|export| export.name.as_str()).take(8));
        let help = match known.kind {
            SourceKind::CommandModule => {
                "it is a command; start it with `watertight run`, or build it as a component that exports `wasi:http/incoming-handler`"
                    .to_owned()
            }
            SourceKind::Component => format!(
                "export `wasi:http/incoming-handler` (0.2) or `wasi:http/handler` (0.3), of a version the host speaks; it exports {exports}"
            ),
        };
        self.report(Problem::new(Code::NoHandler, message).help(help), span, "no handler");
        None
    }
}
