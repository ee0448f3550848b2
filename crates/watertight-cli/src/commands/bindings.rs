//! `watertight bindings`: writes the bindings of components, and the module by which others call an app.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use watertight::AppSource;
use watertight_build::{Bindings, Cancel, EsmError, Made, Outcome, Workshop, esm, script_declarations, write_module};
use watertight_model::manifest::{Maker, Manifest};

use super::build;
use crate::{args, exit::Exit, failure::Failure, runtimes, terminal};

pub(crate) fn bindings(args: &args::Bindings) -> Result<(), Failure> {
    if args.esm {
        return module(args);
    }
    let (file, manifest) = build::manifest(&args.app)?;
    let workshop = Workshop { base: file.base, records: Default::default(), parallel: 1, anew: false };
    let scripts = scripts(&manifest, &args.component);
    let jobs = match args.component.iter().all(|name| scripts.contains_key(name)) && !args.component.is_empty() {
        true => Vec::new(),
        false => {
            let built: Vec<_> = args.component.iter().filter(|name| !scripts.contains_key(*name)).cloned().collect();
            build::named(workshop.jobs(&manifest), manifest.name(), &built)?
        }
    };
    if jobs.is_empty() && scripts.is_empty() {
        let text = format!(
            "{}: none: bindings are for components with a recipe, and for scripts in JavaScript\n",
            manifest.name()
        );
        return terminal::print(&text);
    }
    let mut failed = Vec::new();
    for job in jobs {
        let name = job.component.clone();
        match workshop.bindings(&job, &Cancel::default()) {
            Ok(Bindings::Written(folder)) => terminal::print(&format!("{name}: {}\n", folder.display()))?,
            Ok(Bindings::None(why)) => terminal::print(&format!("{name}: none: {why}\n"))?,
            Err(error) => failed.push(Made { component: name, source: job.source, outcome: Outcome::Failed(error) }),
        }
    }
    for output in failed.iter().filter_map(build::output) {
        terminal::tell(output);
    }
    if let Some(failure) = build::why_not(&failed) {
        return Err(failure);
    }
    modules(args, &workshop.base, &scripts)
}

/// The scripts in JavaScript that are meant, by their components, and where each lies.
fn scripts(manifest: &Manifest, wanted: &[String]) -> BTreeMap<String, PathBuf> {
    let script = |path: &Path| path.extension().is_some_and(|ending| ending == "mjs" || ending == "js");
    let meant = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let found = manifest.sources().filter(|(name, path)| script(path) && meant(name));
    found.map(|(name, path)| (name.to_owned(), path.to_owned())).collect()
}

/// Writes what scripts may import, beside each.
fn modules(args: &args::Bindings, base: &Path, scripts: &BTreeMap<String, PathBuf>) -> Result<(), Failure> {
    if scripts.is_empty() {
        return Ok(());
    }
    let checked = AppSource::read_with(&args.app, &runtimes::runtimes(&args.runtimes))?.check()?;
    for (name, source) in scripts {
        let Some(component) = checked.app.find(name) else { continue };
        let Some(text) = script_declarations(&checked.app, component.id, &checked.sources)? else {
            terminal::print(&format!("{name}: none: no component in its `uses` exports anything to import\n"))?;
            continue;
        };
        let folder = base.join(source.parent().unwrap_or(Path::new(""))).join("bindings");
        let file = folder.join(format!("{name}.d.ts"));
        let failed = |error| EsmError::Write { path: file.clone(), error };
        fs::create_dir_all(&folder).map_err(failed)?;
        fs::write(&file, text).map_err(failed)?;
        terminal::print(&format!("{name}: {}\n", folder.display()))?;
    }
    Ok(())
}

/// Writes the module.
fn module(args: &args::Bindings) -> Result<(), Failure> {
    let (file, manifest) = build::manifest(&args.app)?;
    let checked = AppSource::read_with(&args.app, &runtimes::runtimes(&args.runtimes))?.check()?;
    let wit = manifest.builds().filter_map(|(name, _, spec)| match &spec.maker {
        Maker::Recipe { wit, world, .. } => {
            Some((checked.app.find(name)?.id, (file.base.join(&spec.folder).join(wit), world.clone())))
        }
        Maker::Command { .. } => None,
    });
    let module = esm(&checked.app, &checked.sources, &wit.collect())?;
    let folder = args.output.clone().unwrap_or_else(|| file.base.join("client"));
    write_module(&module, &folder)?;
    for name in module.keys() {
        terminal::print(&format!("{}\n", folder.join(name).display()))?;
    }
    Ok(())
}

impl From<EsmError> for Failure {
    fn from(error: EsmError) -> Self {
        let message = error.to_string();
        match error {
            EsmError::Nothing { could, .. } => {
                let (component, export) =
                    could.unwrap_or_else(|| ("markdown".to_owned(), "press:markdown/render".to_owned()));
                Self::new(Exit::Rejected, message).help(format!(
                    "name in the manifest what everybody may call:\n[[trigger.http]]\nroute = \"/rpc/...\"\n\
                     component = \"{component}\"\nexports = [\"{export}\"]"
                ))
            }
            EsmError::Unreadable { .. } => Self::new(Exit::Rejected, message),
            EsmError::InTheWay(_) => Self::new(Exit::Usage, message).help("choose another folder with -o"),
            EsmError::Write { .. } => Self::new(Exit::NoOutput, message),
        }
    }
}
