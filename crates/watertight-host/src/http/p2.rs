//! A request to `wasi:http/incoming-handler` of WASI 0.2.

use http::Request;
use tokio::sync::oneshot;
use wasmtime::{
    Store,
    component::{ComponentExportIndex, Instance, Resource},
};
use wasmtime_wasi_http::{
    WasiBody, WasiHttpView as _,
    p2::{
        bindings::http::types::Scheme,
        types::{HostIncomingRequest, HostResponseOutparam},
    },
};

use super::{Answer, told};
use crate::cell::HostCell;

pub(super) const HTTP: Scheme = Scheme::Http;
pub(super) const HTTPS: Scheme = Scheme::Https;

/// Calls the handler. The answer comes when the guest sets it; the call goes on until the guest returns.
pub(super) async fn call(
    store: &mut Store<HostCell>,
    instance: Instance,
    function: ComponentExportIndex,
    request: Request<WasiBody>,
    scheme: Scheme,
    answer: oneshot::Sender<Answer>,
) -> wasmtime::Result<()> {
    let handle = instance.get_typed_func::<(Resource<HostIncomingRequest>, Resource<HostResponseOutparam>), ()>(
        &mut *store,
        &function,
    )?;
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(scheme, request)?;
    let outparam = http.new_response_outparam_from_callback(move |response| {
        // Nobody waits for it any more when the client is gone.
        let _ = answer.send(response.map_err(|code| told(&code)));
    })?;
    handle.call_async(store, (request, outparam)).await
}
