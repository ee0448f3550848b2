//! `watertight new`: a project that builds and runs as it is.

use watertight_build::{Language, Project, ProjectError, ProjectKind};

use crate::{
    args::{KindArg, LanguageArg, New},
    exit::Exit,
    failure::Failure,
    terminal,
};

pub(crate) fn new(args: &New) -> Result<(), Failure> {
    let language = match args.lang {
        LanguageArg::Rust => Language::Rust,
        LanguageArg::Python => Language::Python,
        LanguageArg::Js => Language::Js,
        LanguageArg::C => Language::C,
        LanguageArg::Go => Language::Go,
        LanguageArg::Php => Language::Php,
        LanguageArg::Ruby => Language::Ruby,
    };
    let kind = match args.kind {
        KindArg::Http => ProjectKind::Http,
        KindArg::Command => ProjectKind::Command,
        KindArg::Library => ProjectKind::Library,
    };
    let failed = |error: ProjectError| {
        let exit = match error {
            ProjectError::BadName { .. }
            | ProjectError::Reserved(_)
            | ProjectError::NoTemplate
            | ProjectError::NoLibrary(_)
            | ProjectError::Exists(_) => Exit::Usage,
            ProjectError::NoPlace(_) => Exit::NotFound,
            ProjectError::Write { .. } => Exit::NoOutput,
        };
        Failure::new(exit, error.to_string())
    };
    let project = Project::new(&args.path, language, kind).map_err(failed)?;
    project.create().map_err(failed)?;
    let steps: String = project.next_steps().iter().map(|step| format!("  {step}\n")).collect();
    terminal::print(&format!("{} is ready. Next:\n\n{steps}", project.name()))
}
