//! Calls from outside: a route names functions that everybody may call, with arguments and results in JSON.
//!
//! Such a call is a root call as any: admitted by its route and its component, in a call tree of its own, under the component's budgets. The
//! arguments are read there too, so that a client who sends much of them spends what the component has and nothing else.

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::FutureExt as _;
use watertight_model::{
    app::ComponentId,
    failure::{CallError, FailureKind},
};

use crate::{
    app::RunningApp,
    failure::{self, Interrupted},
    host::CellData,
    membrane::{Public, PublicResult},
    root::Root,
};

/// The most bytes that arguments or results may take as JSON.
const MAX_JSON_BYTES: usize = 64 << 20;

/// Bytes of JSON that are taken and given however little memory the component has.
const SMALL_JSON: usize = 1 << 20;

/// The functions that a route calls, by their paths.
pub struct PublicFunctions {
    component: ComponentId,
    by_path: std::collections::HashMap<String, Arc<Public>>,
}

/// A function that a route calls. Clones share it.
#[derive(Clone)]
pub struct PublicFunction {
    component: ComponentId,
    public: Arc<Public>,
}

/// Why a function was not called, or its result not told.
#[derive(Debug)]
pub enum NotCalled<E> {
    /// The arguments did not arrive.
    Body(E),
    /// They do not fit: why, for whoever wrote them.
    Arguments(String),
    /// The call failed.
    Failed(CallError),
}

impl PublicFunctions {
    /// The one that has this path below the route.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<PublicFunction> {
        let public = Arc::clone(self.by_path.get(path)?);
        Some(PublicFunction { component: self.component, public })
    }
}

impl<T: CellData> RunningApp<T> {
    /// The functions that a route calls.
    ///
    /// # Errors
    /// When the component is not what was checked, or has types that nothing carries.
    pub fn public(&self, route: usize) -> Result<PublicFunctions, String> {
        let trigger = &self.app().http[route];
        let component = self.instance_pre(trigger.component).component();
        let mut by_path = std::collections::HashMap::new();
        for (paths, interface, function) in trigger.calls() {
            let public = Arc::new(Public::find(component, interface, function)?);
            by_path.extend(paths.into_iter().map(|path| (path, Arc::clone(&public))));
        }
        Ok(PublicFunctions { component: trigger.component, by_path })
    }

    /// How many bytes of JSON a call of this component may take, and return.
    #[must_use]
    pub fn public_limit(&self, function: &PublicFunction) -> usize {
        limit(self.app().component(function.component).budget.memory.as_usize())
    }
}

fn limit(memory: usize) -> usize {
    memory.saturating_add(SMALL_JSON).min(MAX_JSON_BYTES)
}

impl<T: CellData> Root<T> {
    /// Calls a function, with the arguments that `body` brings, and ends the call tree.
    ///
    /// # Errors
    /// When they do not arrive or do not fit, or the call fails.
    pub async fn call_public<E: Send + 'static>(
        self,
        function: PublicFunction,
        body: impl Future<Output = Result<Bytes, E>> + Send + 'static,
    ) -> Result<PublicResult, NotCalled<E>> {
        let spec = self.spec().clone();
        let driven = self.is_driven();
        let ran = self.run(move |store, instance| {
            async move {
                let body = match body.await {
                    Ok(body) => body,
                    Err(error) => return Ok(Err(NotCalled::Body(error))),
                };
                let account = Arc::clone(store.data().core().account());
                let memory = spec.budget.memory.as_usize();
                let overdrawn = || Ok(Err(NotCalled::Failed(failure::overdrawn(&spec))));
                let Some(held) = account.charge(body.len()) else { return overdrawn() };
                let mut arguments = match function.public.arguments(&body, memory) {
                    Ok(arguments) => arguments,
                    Err(why) => return Ok(Err(NotCalled::Arguments(why))),
                };
                drop((held, body));
                if arguments.charge(&account).is_err() {
                    return overdrawn();
                }
                let export = function.public.export.clone();
                let mut results = match driven {
                    true => {
                        store
                            .run_concurrent(async |accessor| {
                                export.call_concurrent(accessor, instance, arguments, None).await
                            })
                            .await??
                    }
                    false => export.resolve(store, &instance)?.call(store, arguments).await?,
                };
                results.charge(&account)?;
                match function.public.returned(&results, limit(memory)) {
                    Ok(Some(result)) => Ok(Ok(result)),
                    Ok(None) => Err(Interrupted { kind: FailureKind::BadValue }.into()),
                    Err(_) => overdrawn(),
                }
            }
            .boxed()
        });
        ran.await.unwrap_or_else(|error| Err(NotCalled::Failed(error)))
    }
}

impl fmt::Debug for PublicFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicFunctions").field("paths", &self.by_path.keys()).finish_non_exhaustive()
    }
}

impl fmt::Debug for PublicFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicFunction").field(&self.public).finish()
    }
}
