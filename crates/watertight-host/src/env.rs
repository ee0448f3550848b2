//! `grants.env` and `grants.args`: what a guest finds around it at the start.
//!
//! Nothing of the host's own environment, arguments or folder is ever visible: only what the manifest spells out. The first
//! argument is the component's name, or the path of the script that it runs.

use wasmtime_wasi::WasiCtxBuilder;
use watertight_model::app::Component;

/// Gives a cell its variables and arguments; `extra` arguments come from the command line of `watertight run`.
pub(crate) fn from_grant(wasi: &mut WasiCtxBuilder, component: &Component, extra: &[String]) {
    for (name, value) in &component.grants.env {
        wasi.env(name, value);
    }
    // A script is named by its path, as everywhere.
    let name = component.script.as_ref().map_or(&component.name, |script| &script.entry);
    wasi.arg(name).args(&component.grants.args).args(extra);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::app;
    use wasmtime_wasi::{ResourceTable, cli::WasiCliCtxView, p2::bindings::cli::environment::Host as _};

    #[test]
    fn a_guest_sees_what_is_spelled_out_and_nothing_else() {
        let app = app(|component| {
            component.grants.env.insert("THEME".into(), "dark".into());
            component.grants.args = vec!["--verbose".into()];
        });
        let mut builder = WasiCtxBuilder::new();
        from_grant(&mut builder, &app.components[0], &["more".into()]);
        let (mut wasi, mut table) = (builder.build(), ResourceTable::new());
        let mut view = WasiCliCtxView { ctx: wasi.cli(), table: &mut table };
        assert_eq!(view.get_environment().expect("a list"), [("THEME".to_owned(), "dark".to_owned())]);
        assert_eq!(view.get_arguments().expect("a list"), ["web", "--verbose", "more"]);
        assert_eq!(view.initial_cwd().expect("an option"), None);
    }
}
