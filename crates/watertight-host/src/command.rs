//! `wasi:cli/run` and `wasi:cli/exit`: a component as a command, from its call to its exit code.

use futures_util::FutureExt as _;
use wasmtime::{
    Store, StoreContextMut,
    component::{Accessor, Component, ComponentExportIndex, Instance, Linker},
};
use watertight_model::failure::CallError;
use watertight_runtime::{ExitStatus, Root};

use crate::cell::HostCell;

/// Where a component's `run` is. Looked up once, when the component is loaded.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    version: Version,
    function: ComponentExportIndex,
}

#[derive(Clone, Copy, Debug)]
enum Version {
    P2,
    P3,
}

impl Command {
    /// The command that a component exports; `None` where it is none.
    #[must_use]
    pub fn find(component: &Component) -> Option<Self> {
        [(Version::P2, "wasi:cli/run@0.2.0"), (Version::P3, "wasi:cli/run@0.3.0")].into_iter().find_map(
            |(version, interface)| {
                let interface = component.get_export_index(None, interface)?;
                let function = component.get_export_index(Some(&interface), "run")?;
                Some(Self { version, function })
            },
        )
    }

    /// Runs the command to its end and returns its exit code: 0 or 1 as `run` returns, or what the guest gave to `exit`.
    ///
    /// # Errors
    /// When the guest fails in another way than by `exit`.
    pub async fn run(self, root: Root<HostCell>) -> Result<i32, CallError> {
        root.run(move |store, instance| {
            async move {
                let returned = match self.version {
                    Version::P2 => self.call(store, instance).await,
                    Version::P3 => self.call_concurrent(store, instance).await,
                };
                match returned {
                    Ok(Ok(())) => Ok(0),
                    Ok(Err(())) => Ok(1),
                    Err(error) => error.downcast::<ExitStatus>().map(|ExitStatus(code)| code),
                }
            }
            .boxed()
        })
        .await
    }

    async fn call(self, store: &mut Store<HostCell>, instance: Instance) -> wasmtime::Result<Result<(), ()>> {
        let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, &self.function)?;
        Ok(run.call_async(store, ()).await?.0)
    }

    async fn call_concurrent(
        self,
        store: &mut Store<HostCell>,
        instance: Instance,
    ) -> wasmtime::Result<Result<(), ()>> {
        let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut *store, &self.function)?;
        store
            .run_concurrent(async move |accessor: &Accessor<HostCell>| Ok(run.call_concurrent(accessor, ()).await?.0))
            .await?
    }
}

/// Makes `exit` end the cell in a way that the runtime tells from a trap, whatever the cell was doing.
pub(crate) fn link_exit(linker: &mut Linker<HostCell>, p3: bool) -> wasmtime::Result<()> {
    let interfaces: &[&str] =
        if p3 { &["wasi:cli/exit@0.2.12", "wasi:cli/exit@0.3.0"] } else { &["wasi:cli/exit@0.2.12"] };
    for interface in interfaces {
        let mut exit = linker.instance(interface)?;
        exit.func_wrap(
            "exit",
            |_: StoreContextMut<'_, HostCell>, (status,): (Result<(), ()>,)| -> wasmtime::Result<()> {
                Err(ExitStatus(i32::from(status.is_err())).into())
            },
        )?;
        exit.func_wrap("exit-with-code", |_: StoreContextMut<'_, HostCell>, (code,): (u8,)| -> wasmtime::Result<()> {
            Err(ExitStatus(code.into()).into())
        })?;
    }
    Ok(())
}
