//! `watertight bindings`: writes the bindings of components.

use watertight_build::{Bindings, Cancel, Made, Outcome, Workshop};

use super::build;
use crate::{args, failure::Failure, terminal};

pub(crate) fn bindings(args: &args::Bindings) -> Result<(), Failure> {
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
