//! `watertight bindings`: writes the bindings of components, and the module by which others call an app.

use watertight::AppSource;
use watertight_build::{Bindings, Cancel, EsmError, Made, Outcome, Workshop, esm, write_module};
use watertight_model::manifest::Maker;

use super::build;
use crate::{args, exit::Exit, failure::Failure, runtimes, terminal};

pub(crate) fn bindings(args: &args::Bindings) -> Result<(), Failure> {
    if args.esm {
        return module(args);
    }
    let (file, manifest) = build::manifest(&args.app)?;
    let workshop = Workshop { base: file.base, records: Default::default(), parallel: 1, anew: false };
    let jobs = build::named(workshop.jobs(&manifest), manifest.name(), &args.component)?;
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
    build::why_not(&failed).map_or(Ok(()), Err)
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
