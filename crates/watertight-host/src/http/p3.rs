//! A request to `wasi:http/handler` of WASI 0.3.

use std::future::poll_fn;

use http::Request;
use tokio::sync::oneshot;
use wasmtime::{
    Store,
    component::{Accessor, ComponentExportIndex, Instance, Resource},
};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView as _,
    p3::{self, bindings::http::types::ErrorCode},
};

use watertight_runtime::{CellData as _, memory_spent};

use super::{
    Answer,
    held::{BODY_BYTES, counted},
    told,
};
use crate::cell::HostCell;

/// Calls the handler and passes its answer on. Then the guest's other tasks run until they are done and the body is `read`.
pub(super) async fn call(
    store: &mut Store<HostCell>,
    instance: Instance,
    function: ComponentExportIndex,
    request: Request<WasiBody>,
    answer: oneshot::Sender<Answer>,
    read: oneshot::Receiver<()>,
) -> wasmtime::Result<()> {
    let handle = instance.get_typed_func::<(Resource<p3::Request>,), (Result<Resource<p3::Response>, ErrorCode>,)>(
        &mut *store,
        &function,
    )?;
    let http = store.data_mut().http();
    let (request, sent) = p3::Request::from_http(http.hooks, request);
    let request = http.table.push(request)?;
    store
        .run_concurrent(async move |accessor: &Accessor<HostCell>| {
            let (response,) = handle.call_concurrent(accessor, (request,)).await?;
            let response = match response {
                Ok(response) => Ok(accessor.with(|mut access| {
                    let response = access.get().table.delete(response)?;
                    let room = access.get().core().account().charge(BODY_BYTES).ok_or_else(memory_spent)?;
                    let response = response.into_http(&mut access, sent)?;
                    wasmtime::error::Ok(response.map(|body| counted(body, room)))
                })?),
                Err(code) => Err(told(&code)),
            };
            // Nobody waits for it any more when the client is gone.
            let _ = answer.send(response);
            // The sender is dropped with the last byte: that is the news, not a message.
            let _ = read.await;
            poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
            Ok(())
        })
        .await?
}
