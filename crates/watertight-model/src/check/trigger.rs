//! Routes: each starts a component that exports an HTTP handler, or what the route names to be called, and no two are the same.

use std::ops::Range;

use super::{Checker, HostInterfaces, list, modules::is_of_values, nearest};
use crate::{
    app::{
        Answer, ComponentId, EdgeShape, HttpHandler, HttpTrigger, PublicFunction, PublicInterface, SourceKind, Wall,
    },
    component_type::{ComponentType, FunctionType, Item},
    manifest::{At, TriggerSpec},
    problem::{Code, Problem},
    signature::signature,
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

/// Whether two routes take the same paths: what stands in brackets is only a name.
fn takes_the_same(one: &str, other: &str) -> bool {
    let part = |part: &'_ str| if part.starts_with('[') { "[]".to_owned() } else { part.to_owned() };
    one.split('/').map(part).eq(other.split('/').map(part))
}

impl Checker<'_> {
    pub(super) fn triggers(&mut self) -> Vec<HttpTrigger> {
        let mut triggers: Vec<HttpTrigger> = Vec::new();
        for (index, trigger) in self.manifest.http.iter().enumerate() {
            let earlier = self.manifest.http[..index]
                .iter()
                .find(|earlier| takes_the_same(&earlier.route.value, &trigger.route.value));
            if let Some(earlier) = earlier {
                let message = format!("the route `{}` is given twice", trigger.route.value);
                let problem = Problem::new(Code::DuplicateRoute, message)
                    .help("drop one of the two, or make one longer")
                    .at(&self.manifest.source, trigger.route.span.clone(), "again")
                    .at(&self.manifest.source, earlier.route.span.clone(), "first");
                self.problems.push(problem);
            }
            let Some(component) = self.component(&trigger.component) else { continue };
            if let Some(answer) = self.answer(component, trigger) {
                let id = ComponentId(u32::try_from(component).unwrap_or(u32::MAX));
                triggers.push(HttpTrigger {
                    route: trigger.route.value.clone(),
                    component: id,
                    answer,
                    limit: trigger.limit,
                });
            }
        }
        triggers
    }

    fn answer(&mut self, component: usize, trigger: &TriggerSpec) -> Option<Answer> {
        let span = trigger.component.span.clone();
        if self.spec(component).wall == Wall::Fused {
            let message =
                format!("`{}` is fused into its importers, and a route cannot start it", self.name(component));
            let problem = Problem::new(Code::FusedTrigger, message)
                .help("give it a store of its own with wall = \"cell\", or route to the component that uses it");
            self.report(problem, span, "fused");
            return None;
        }
        match &trigger.exports {
            Some(exports) => self.functions(component, &trigger.route, exports).map(Answer::Functions),
            None => self.handled(component, span).map(Answer::Handler),
        }
    }

    fn handled(&mut self, component: usize, span: Range<usize>) -> Option<HttpHandler> {
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

    /// The exports that a route names to be called.
    fn functions(
        &mut self,
        component: usize,
        route: &At<String>,
        exports: &At<Vec<At<String>>>,
    ) -> Option<Vec<PublicInterface>> {
        if !route.value.ends_with("/...") {
            let message = format!("functions are called below a route, and `{}` is one path", route.value);
            let help = format!("write \"{}/...\"", route.value.trim_end_matches('/'));
            self.report(Problem::new(Code::BadRoute, message).help(help), route.span.clone(), "");
        }
        if route.value.contains('[') {
            let message = format!("`{}` stands for many places, and functions have one each", route.value);
            let problem = Problem::new(Code::BadRoute, message).help("write a route without brackets: \"/rpc/...\"");
            self.report(problem, route.span.clone(), "");
        }
        if exports.value.is_empty() {
            let problem = Problem::new(Code::UnknownExport, "`exports` names nothing that could be called");
            let help = "name an interface that the component exports, or drop the key to have its HTTP handler answer";
            self.report(problem.help(help), exports.span.clone(), "");
        }
        self.types[component].as_ref()?;
        let mut public: Vec<PublicInterface> = Vec::new();
        for wanted in &exports.value {
            let Some((interface, left_out)) = self.public(component, wanted) else { continue };
            if public.iter().any(|other| other.export == interface.export) {
                let problem = Problem::warning(Code::Repeated, format!("`{}` is listed twice", interface.export));
                self.report(problem.help("drop one of the two"), wanted.span.clone(), "again");
                continue;
            }
            if !left_out.is_empty() || interface.functions.is_empty() {
                self.not_of_values(component, &interface, &left_out, wanted.span.clone());
            }
            public.push(interface);
        }
        Some(public)
    }

    /// An export by the name that a manifest gives it, with the names of its functions that cannot be called.
    fn public(&mut self, component: usize, wanted: &At<String>) -> Option<(PublicInterface, Vec<String>)> {
        let known = self.types[component].as_ref()?;
        let written = ExternName::parse(&wanted.value);
        let callable = |item: &Item| matches!(item, Item::Interface(_) | Item::Function(_));
        // What the host starts a component by is for the host.
        let all = known.exports.iter().filter(|export| callable(&export.item) && !export.name.starts_with("wasi:"));
        let meant: Vec<_> = all.clone().filter(|export| ExternName::parse(&export.name).meant_by(&written)).collect();
        let [export] = meant.as_slice() else {
            let names: Vec<_> = all.map(|export| export.name.as_str()).collect();
            let near = || nearest(&wanted.value, names.iter().copied());
            let help = match (meant.as_slice(), wanted.value.starts_with("wasi:")) {
                ([], true) => {
                    "interfaces of WASI are for the host: a handler of HTTP answers a route without `exports`"
                        .to_owned()
                }
                ([], false) => match near() {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if names.is_empty() => "it exports nothing that could be called".to_owned(),
                    None => format!("it exports {}", list(names.iter().copied())),
                },
                (several, _) => format!("say which: {}", list(several.iter().map(|export| export.name.as_str()))),
            };
            let what = if meant.is_empty() { "exports no" } else { "exports more than one" };
            let message = format!("`{}` {what} `{}`", self.name(component), wanted.value);
            self.report(Problem::new(Code::UnknownExport, message).help(help), wanted.span.clone(), "");
            return None;
        };
        let function = |name: &str, ty: &FunctionType| PublicFunction {
            name: name.to_owned(),
            signature: signature(known, name, ty),
            parameters: ty.params.iter().map(|(name, _)| name.clone()).collect(),
        };
        let (shape, functions): (_, Vec<(&str, &FunctionType)>) = match &export.item {
            Item::Interface(interface) => {
                (EdgeShape::Interface, interface.functions.iter().map(|(n, f)| (n.as_str(), f)).collect())
            }
            Item::Function(ty) => (EdgeShape::Function, vec![(export.name.as_str(), ty)]),
            Item::TypeName | Item::Unsupported(_) => return None,
        };
        let (functions, left_out): (Vec<_>, Vec<_>) = functions.into_iter().partition(|(_, ty)| is_of_values(ty));
        let functions = functions.into_iter().map(|(name, ty)| function(name, ty)).collect();
        let left_out = left_out.into_iter().map(|(name, _)| name.to_owned()).collect();
        Some((PublicInterface { export: export.name.clone(), shape, functions }, left_out))
    }

    fn not_of_values(
        &mut self,
        component: usize,
        interface: &PublicInterface,
        left_out: &[String],
        span: Range<usize>,
    ) {
        let (name, export) = (self.name(component), &interface.export);
        let make: fn(Code, String) -> Problem = match interface.functions.is_empty() {
            true => |code, message| Problem::new(code, message),
            false => |code, message| Problem::warning(code, message),
        };
        let message = match left_out {
            [] => format!("`{export}` of `{name}` has no function that could be called"),
            [one] => format!(
                "{} of `{export}` takes or returns handles or streams, which JSON cannot hold: it is not called",
                list([one.as_str()])
            ),
            some => format!(
                "{} of `{export}` take or return handles or streams, which JSON cannot hold: they are not called",
                list(some.iter().map(String::as_str))
            ),
        };
        let help = format!("give `{name}` functions that take and return values");
        self.report(make(Code::Unsupported, message).help(help), span, "");
    }
}
