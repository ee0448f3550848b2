//! Who meets each import.
//!
//! An import is met by the one component in `uses` that exports it, else by the host, else by nobody, which is a problem. The
//! manifest can choose with `edge."…".from`. Nothing is ever met by a component that is not listed.

use std::ops::Range;

use super::{Checker, list, noun, policy::Policy};
use crate::{
    component_type::{ComponentType, Item},
    manifest::{At, nearest},
    problem::{Code, Problem},
    version::ExternName,
};

/// One import of one component, and who meets it.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) importer: usize,
    /// Its index in the importer's imports.
    pub(super) import: usize,
    pub(super) met: Met,
    /// What the manifest says of it, by its place among the importer's edges.
    pub(super) spec: Option<usize>,
    /// What its calls do when they fail.
    pub(super) policy: Policy,
    /// Where the manifest speaks of it: its edge key, or the importer's name.
    pub(super) span: Range<usize>,
}

/// Who meets an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// A component, by one of its exports.
    By { component: usize, export: usize },
    /// The host.
    Host,
    /// Nobody: it asks for nothing, or there is a problem that has been reported.
    Nobody,
}

/// The settings of one import that apply to it.
#[derive(Clone, Default)]
struct Settings {
    from: Option<usize>,
    /// `from` was given but cannot be followed: that has been reported.
    lost: bool,
    spec: Option<usize>,
    /// Who calls fall back on: listed in `uses` or not, they do not meet the import themselves.
    fallbacks: Vec<usize>,
    span: Option<Range<usize>>,
}

impl Checker<'_> {
    /// The components that each component lists, by index; names that are none are reported.
    pub(super) fn uses(&mut self) -> Vec<Vec<(usize, Range<usize>)>> {
        let mut all = Vec::new();
        for index in 0..self.manifest.components.len() {
            let mut uses = Vec::new();
            for used in self.spec(index).uses.clone() {
                match self.component(&used) {
                    Some(found) if found == index => {
                        let problem = Problem::new(Code::Cycle, format!("`{}` uses itself", used.value))
                            .help("drop it from `uses`: a component calls its own functions without an edge");
                        self.report(problem, used.span, "itself");
                    }
                    Some(found) => uses.push((found, used.span)),
                    None => {}
                }
            }
            all.push(uses);
        }
        all
    }

    /// Every import with who meets it.
    pub(super) fn links(&mut self, uses: &[Vec<(usize, Range<usize>)>]) -> Vec<Link> {
        let mut links = Vec::new();
        for (importer, uses) in uses.iter().enumerate() {
            let Some(component) = self.types[importer].clone() else {
                self.edge_names(importer);
                continue;
            };
            let listed: Vec<usize> = uses.iter().map(|(used, _)| *used).collect();
            let settings = self.settings(importer, &component, &listed);
            for (import, settings) in settings.into_iter().enumerate() {
                let span = settings.span.clone().unwrap_or_else(|| self.name_span(importer));
                let met = self.meet(importer, &component, import, &listed, &settings, &span);
                if let (Met::Host, Some(spec)) = (met, settings.spec) {
                    self.host_settings(importer, &component.imports[import].name, spec);
                }
                links.push(Link { importer, import, met, spec: settings.spec, policy: Policy::default(), span });
            }
            self.unused(importer, &component, uses, &links);
        }
        links
    }

    /// A call to the host is no call of another component: nothing that an edge can be told applies to it.
    fn host_settings(&mut self, importer: usize, import: &str, spec: usize) {
        for given in self.spec(importer).edges[spec].given.clone() {
            let message = format!("the host meets `{import}`, and no `{}` applies to it", given.value);
            let problem = Problem::new(Code::NoEffect, message)
                .help("drop it; calls to the host end with the component's own `budget.deadline`");
            self.report(problem, given.span, "no effect");
        }
    }

    /// Names in `from` are checked even where the component's type is unknown.
    fn edge_names(&mut self, importer: usize) {
        for edge in self.spec(importer).edges.clone() {
            for name in edge.from.iter().chain(edge.fallbacks()) {
                let _known = self.component(name);
            }
        }
    }

    /// What the manifest's edge keys say of each import.
    fn settings(&mut self, importer: usize, component: &ComponentType, listed: &[usize]) -> Vec<Settings> {
        let mut settings = vec![Settings::default(); component.imports.len()];
        for (place, edge) in self.spec(importer).edges.clone().into_iter().enumerate() {
            let written = ExternName::parse(&edge.import.value);
            let meant: Vec<usize> = (0..component.imports.len())
                .filter(|index| ExternName::parse(&component.imports[*index].name).meant_by(&written))
                .collect();
            let import = match meant.as_slice() {
                [import] => *import,
                [] => {
                    self.unknown_import(importer, component, &edge.import);
                    continue;
                }
                several => {
                    let names = list(several.iter().map(|index| component.imports[*index].name.as_str()));
                    let problem =
                        Problem::new(Code::AmbiguousEdge, format!("`{}` could be {names}", edge.import.value));
                    self.report(problem.help("write the version too"), edge.import.span, "which version?");
                    continue;
                }
            };
            if settings[import].span.is_some() {
                let name = &component.imports[import].name;
                let problem = Problem::new(Code::Repeated, format!("two edge keys name the import `{name}`"));
                self.report(problem.help("keep one of the two"), edge.import.span, "again");
                continue;
            }
            let from = edge.from.as_ref().map(|from| self.listed(importer, from, listed));
            settings[import] = Settings {
                from: from.flatten(),
                lost: matches!(from, Some(None)),
                spec: Some(place),
                fallbacks: edge.fallbacks().filter_map(|fallback| self.component(fallback)).collect(),
                span: Some(edge.import.span),
            };
        }
        settings
    }

    /// The component that `from` names, if `uses` lists it.
    fn listed(&mut self, importer: usize, from: &At<String>, listed: &[usize]) -> Option<usize> {
        let found = self.component(from)?;
        if listed.contains(&found) {
            return Some(found);
        }
        let message = format!("`{}` does not list `{}` in its `uses`", self.name(importer), from.value);
        let help = format!("add it: uses = [\"{}\"]", from.value);
        self.report(Problem::new(Code::Unsatisfied, message).help(help), from.span.clone(), "not listed");
        None
    }

    fn unknown_import(&mut self, importer: usize, component: &ComponentType, written: &At<String>) {
        // A runtime's own imports are not the script's.
        let by_name = component.imports.iter().any(|import| import.by_name);
        let own = || component.imports.iter().filter(|import| import.by_name || !by_name);
        let names = || own().map(|import| import.name.as_str());
        let bases = || names().map(|name| ExternName::parse(name).base);
        let base = ExternName::parse(&written.value).base.to_owned();
        let help = match nearest(&base, bases()) {
            Some(near) => {
                let full = names().find(|name| ExternName::parse(name).base == near).unwrap_or(near);
                format!("did you mean `{full}`?")
            }
            None if component.imports.is_empty() => "it imports nothing".to_owned(),
            None => format!("it imports {}", list(names().take(12))),
        };
        let message = format!("`{}` does not import `{}`", self.name(importer), written.value);
        self.report(Problem::new(Code::UnknownImport, message).help(help), written.span.clone(), "no such import");
    }

    fn meet(
        &mut self,
        importer: usize,
        component: &ComponentType,
        import: usize,
        listed: &[usize],
        settings: &Settings,
        span: &Range<usize>,
    ) -> Met {
        let wanted = &component.imports[import];
        match &wanted.item {
            Item::TypeName => return Met::Nobody,
            Item::Unsupported(what) => {
                let message = format!("`{}` imports `{}`, {what}", self.name(importer), wanted.name);
                let problem = Problem::new(Code::Unsupported, message)
                    .help("build it so that it imports interfaces and functions only");
                self.report(problem, span.clone(), "");
                return Met::Nobody;
            }
            Item::Interface(interface) if interface.is_empty() => return Met::Nobody,
            Item::Interface(_) | Item::Function(_) => {}
        }
        if settings.lost {
            return Met::Nobody;
        }
        let candidates: Vec<usize> = match settings.from {
            Some(from) => vec![from],
            None => listed.to_vec(),
        };
        let name = ExternName::parse(&wanted.name);
        let mut fitting: Vec<Met> = candidates
            .iter()
            .filter_map(|candidate| Some((*candidate, best_export(self.types[*candidate].as_ref()?, &name)?)))
            .map(|(component, export)| Met::By { component, export })
            .collect();
        if fitting.len() > 1 {
            fitting.retain(|met| !matches!(met, Met::By { component, .. } if settings.fallbacks.contains(component)));
        }
        match fitting.as_slice() {
            [Met::By { component: exporter, export }] => {
                self.shaped(importer, &wanted.name, &wanted.item, *exporter, *export, span)
            }
            [] if candidates.iter().any(|candidate| self.types[*candidate].is_none()) => Met::Nobody,
            [] if settings.from.is_none() && self.host.meets_import(&wanted.name) => Met::Host,
            [] => {
                self.unsatisfied(importer, &wanted.name, &candidates, settings, span);
                Met::Nobody
            }
            several => {
                self.ambiguous(importer, &wanted.name, several, span);
                Met::Nobody
            }
        }
    }

    /// An interface cannot be met by a function, nor the other way round.
    fn shaped(
        &mut self,
        importer: usize,
        name: &str,
        item: &Item,
        exporter: usize,
        export: usize,
        span: &Range<usize>,
    ) -> Met {
        let Some(found) = self.types[exporter].as_ref().map(|component| &component.exports[export].item) else {
            return Met::Nobody;
        };
        if matches!((item, found), (Item::Interface(_), Item::Interface(_)) | (Item::Function(_), Item::Function(_))) {
            return Met::By { component: exporter, export };
        }
        let message = format!(
            "`{}` imports `{name}` as {}, and `{}` exports it as {}",
            self.name(importer),
            noun(item),
            self.name(exporter),
            noun(found)
        );
        let problem = Problem::new(Code::TypeMismatch, message).help("build both against the same WIT");
        self.report(problem, span.clone(), "");
        Met::Nobody
    }

    fn ambiguous(&mut self, importer: usize, import: &str, fitting: &[Met], span: &Range<usize>) {
        let exporters: Vec<&str> = fitting
            .iter()
            .filter_map(|met| match met {
                Met::By { component, .. } => Some(self.name(*component)),
                Met::Host | Met::Nobody => None,
            })
            .collect();
        let base = ExternName::parse(import).base;
        let help = format!(
            "choose one:\n[component.{}.edge.\"{base}\"]\nfrom = \"{}\"",
            self.name(importer),
            exporters.first().copied().unwrap_or_default()
        );
        let message = format!(
            "`{}` imports `{import}`, and {} both export it",
            self.name(importer),
            list(exporters.iter().copied())
        );
        let message = if exporters.len() > 2 { message.replace(" both export", " all export") } else { message };
        self.report(Problem::new(Code::Ambiguous, message).help(help), span.clone(), "met by more than one");
    }

    fn unsatisfied(
        &mut self,
        importer: usize,
        import: &str,
        candidates: &[usize],
        settings: &Settings,
        span: &Range<usize>,
    ) {
        let name = ExternName::parse(import);
        let message = match (settings.from, candidates) {
            (Some(from), _) => format!("`{}` does not export `{import}`", self.name(from)),
            (None, []) => format!("nobody satisfies the import `{import}` of `{}`", self.name(importer)),
            (None, listed) => format!(
                "nobody satisfies the import `{import}` of `{}`: {} {} export it",
                self.name(importer),
                list(listed.iter().map(|listed| self.name(*listed))),
                if listed.len() == 1 { "does not" } else { "do not" },
            ),
        };
        let help = self.who_could(importer, &name, settings);
        self.report(Problem::new(Code::Unsatisfied, message).help(help), span.clone(), format!("imports `{import}`"));
    }

    /// What to do about an import that nobody satisfies.
    fn who_could(&self, importer: usize, name: &ExternName<'_>, settings: &Settings) -> String {
        if self.manifest.single && self.host.versions(name).next().is_none() {
            return "a single file has only the host to satisfy it; put it in an app, with a `watertight.toml` and a component that exports it".to_owned();
        }
        let others = || (0..self.types.len()).filter(|other| *other != importer);
        let exporters = || others().filter_map(|other| Some((other, self.types[other].as_ref()?)));
        if let Some((other, _)) = exporters().find(|(_, component)| best_export(component, name).is_some()) {
            let other = self.name(other);
            return match settings.from {
                Some(_) => format!("`{other}` does: from = \"{other}\", and list it in `uses`"),
                None => format!("`{other}` exports it; add it to uses: uses = [\"{other}\"]"),
            };
        }
        let same_base = exporters().find_map(|(other, component)| {
            let export = component.exports.iter().find(|export| ExternName::parse(&export.name).base == name.base)?;
            Some((other, export.name.clone()))
        });
        if let Some((other, export)) = same_base {
            return format!(
                "`{}` exports `{export}`, whose version does not fit; build both against the same one",
                self.name(other)
            );
        }
        let offered: Vec<String> = self.host.versions(name).map(ToString::to_string).collect();
        if !offered.is_empty() {
            return format!("the host offers {} {}; build against one of these", name.package(), offered.join(" and "));
        }
        let exports = exporters()
            .flat_map(|(_, component)| &component.exports)
            .map(|export| ExternName::parse(&export.name).base);
        match nearest(name.base, exports) {
            Some(near) => format!("no component of the app exports it; the nearest export is `{near}`"),
            None => format!(
                "no component of the app exports it; add one that does, and list it: uses = [\"NAME\"] under [component.{}]",
                self.name(importer)
            ),
        }
    }

    /// Listed components that meet nothing.
    fn unused(&mut self, importer: usize, component: &ComponentType, uses: &[(usize, Range<usize>)], links: &[Link]) {
        let edges = self.spec(importer).edges.iter();
        let asked: Vec<String> = edges.filter_map(|edge| Some(edge.from.as_ref()?.value.clone())).collect();
        for (used, span) in uses {
            let Some(exporter) = &self.types[*used] else { continue };
            if asked.iter().any(|from| from == self.name(*used)) {
                continue;
            }
            let met = |link: &Link| matches!(link.met, Met::By { component, .. } if component == *used);
            let meets = links.iter().any(|link| link.importer == importer && met(link));
            // Type names are shared without an edge, and a problem of another kind is no proof that it is unused.
            let shares = component
                .imports
                .iter()
                .any(|import| best_export(exporter, &ExternName::parse(&import.name)).is_some());
            if meets || shares {
                continue;
            }
            let message = format!("`{}` meets no import of `{}`", self.name(*used), self.name(importer));
            let help = format!(
                "drop it from `uses`; it exports {}",
                list(exporter.exports.iter().map(|export| export.name.as_str()).take(8))
            );
            self.report(Problem::warning(Code::UnusedUse, message).help(help), span.clone(), "unused");
        }
    }
}

/// The export that meets an import best: the same version, else the latest compatible one.
pub(super) fn best_export(component: &ComponentType, import: &ExternName<'_>) -> Option<usize> {
    let fitting = component
        .exports
        .iter()
        .enumerate()
        .map(|(index, export)| (index, ExternName::parse(&export.name)))
        .filter(|(_, export)| import.met_by(export));
    fitting.max_by_key(|(_, export)| (export.version == import.version, export.version.clone())).map(|(index, _)| index)
}
