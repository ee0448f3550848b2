//! Components from what people write: how a manifest says they are made, with the tools of their language.
//!
//! It runs tools as the user that started it, in the user's folders, and trusts them as that user does: whoever builds an app runs its
//! build commands. It never runs a guest, and nothing that serves depends on it.
//!
//! A build is made in a scratch folder or a hidden file beside its target, and put in place whole by a rename: what serves the app
//! sees the component from before or the one from after.

mod add;
mod bindings;
mod cancel;
mod declarations;
mod encode;
mod esm;
mod fingerprint;
mod make;
mod oci;
mod project;
mod recipe;
mod record;
mod tools;
mod wit;

pub use self::{
    add::{AddError, Added, Place, add},
    bindings::Bindings,
    cancel::Cancel,
    declarations::script_declarations,
    esm::{EsmError, Module, esm, write_module},
    fingerprint::InputError,
    make::{BuildError, Job, Made, Outcome, Watch, Workshop},
    oci::{FetchError, Fetched, Store, fetch_runtime},
    project::{Language, Project, ProjectError, ProjectKind},
    tools::Missing,
};
