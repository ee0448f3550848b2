//! What the host keeps for a guest that makes messages of HTTP, counted as the guest's memory: headers, the texts of requests, and bodies on
//! their way.
//!
//! Headers and texts lie in types that are not ours, and move between them. So what is added is summed up, and when the sum is more than
//! what is charged, all that is there is weighed anew: then the charge is right again. What a guest dropped in the meantime stays charged
//! until then. With every answer to a request of the guest all is weighed, because it brings headers that the guest did not make.
//!
//! Beyond the budget a body or a text is refused with the error that the function has, headers with `size-exceeded`; WASI 0.2 has no
//! error for headers, so there the guest is broken off.

use std::{
    any::Any,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime::{
    StoreContextMut,
    component::{Accessor, Linker, Resource, ResourceTable},
};
use wasmtime_wasi_http::{
    Error, FieldMap, WasiHttp, WasiHttpView,
    p2::{
        self,
        bindings::http::types::{HostFields as _, HostOutgoingRequest as _, Method, Scheme},
        body::{HostFutureTrailers, HostOutgoingBody, HyperOutgoingBody},
        types::{HostFutureIncomingResponse, HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse},
    },
    p3::{
        self,
        bindings::http::{client::HostWithStore, types as types3},
    },
};
use watertight_runtime::{CellData as _, Charge, memory_spent};

use crate::cell::HostCell;

/// What a guest may write to a body at once, and how many of those wait for the reader.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
pub(crate) const CHUNKS: usize = 1;

/// What a body on its way counts as: its channel has one more place than it is told.
pub(crate) const BODY_BYTES: usize = (CHUNKS + 1) * CHUNK_BYTES;

/// What a field costs besides its name and its value.
const FIELD_BYTES: usize = 64;

/// What is charged ahead, so that not every header is weighed with all others.
const AHEAD: usize = 16 << 10;

/// The messages that a guest has made.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    /// What they weigh at most.
    bound: usize,
    charge: Option<Charge>,
}

impl HostCell {
    /// Counts what there is; `false` where the budget does not have it.
    fn afford_all(&mut self) -> bool {
        self.messages.bound = usize::MAX;
        self.afford(0)
    }

    /// Counts so many more bytes of messages; `false` where the budget does not have them.
    fn afford(&mut self, more: usize) -> bool {
        let charged = self.messages.charge.as_ref().map_or(0, Charge::bytes);
        let bound = self.messages.bound.saturating_add(more);
        if bound <= charged {
            self.messages.bound = bound;
            return true;
        }
        let needed = weigh(&mut self.table).saturating_add(more);
        let account = Arc::clone(self.core().account());
        let fits = match &mut self.messages.charge {
            Some(charge) => charge.resize(needed.saturating_add(AHEAD)) || charge.resize(needed),
            none => {
                *none = account.charge(needed.saturating_add(AHEAD)).or_else(|| account.charge(needed));
                none.is_some()
            }
        };
        if fits {
            self.messages.bound = needed;
        }
        fits
    }
}

/// What all messages in a table weigh.
fn weigh(table: &mut ResourceTable) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let weight = |entry: &mut (dyn Any + Send)| {
        if let Some(fields) = entry.downcast_ref::<FieldMap>() {
            fields_bytes(fields)
        } else if let Some(request) = entry.downcast_ref::<HostOutgoingRequest>() {
            let texts = text(&request.authority) + text(&request.path_with_query);
            let scheme = if let Some(Scheme::Other(scheme)) = &request.scheme { scheme.len() } else { 0 };
            let method = if let Method::Other(method) = &request.method { method.len() } else { 0 };
            fields_bytes(&request.headers) + texts + scheme + method
        } else if let Some(response) = entry.downcast_ref::<HostOutgoingResponse>() {
            fields_bytes(&response.headers)
        } else if let Some(response) = entry.downcast_ref::<HostIncomingResponse>() {
            fields_bytes(&response.headers)
        } else if let Some(HostFutureTrailers::Done(Ok(Some(trailers)))) = entry.downcast_ref() {
            fields_bytes(trailers)
        } else if let Some(request) = entry.downcast_ref::<p3::Request>() {
            let path = request.path_with_query.as_ref().map_or(0, |path| path.as_str().len());
            let authority = request.authority.as_ref().map_or(0, |authority| authority.as_str().len());
            let scheme = request.scheme.as_ref().map_or(0, |scheme| scheme.as_str().len());
            fields_bytes(&request.headers) + path + authority + scheme + request.method.as_str().len()
        } else if let Some(response) = entry.downcast_ref::<p3::Response>() {
            fields_bytes(&response.headers)
        } else {
            0
        }
    };
    table.iter_mut().map(weight).fold(0, usize::saturating_add)
}

fn fields_bytes(fields: &HeaderMap) -> usize {
    let names = fields.keys().map(|name| name.as_str().len() + FIELD_BYTES);
    let values = fields.values().map(|value| value.len() + FIELD_BYTES);
    names.chain(values).fold(0, usize::saturating_add)
}

fn field(name: &str, values: &[Vec<u8>]) -> usize {
    let values = values.iter().map(|value| value.len() + FIELD_BYTES);
    values.fold(name.len() + FIELD_BYTES, usize::saturating_add)
}

/// What a list of headers weighs.
fn list(entries: &[(String, Vec<u8>)]) -> usize {
    entries.iter().map(|(name, value)| name.len() + value.len() + 2 * FIELD_BYTES).fold(0, usize::saturating_add)
}

/// Puts the counting functions over those that [`crate::host`] linked before.
pub(crate) fn link(linker: &mut Linker<HostCell>, p3: bool) -> wasmtime::Result<()> {
    link_p2(linker)?;
    if p3 { link_p3(linker) } else { Ok(()) }
}

/// Tells an error that the guest sees from one that traps.
macro_rules! settle {
    ($cell:expr, $result:expr, $convert:path) => {{
        let result = $result;
        match result {
            Ok(value) => Ok((Ok(value),)),
            Err(error) => Ok((Err($convert(&mut $cell.http(), error)?),)),
        }
    }};
}

type Cell<'a> = StoreContextMut<'a, HostCell>;
type Fields = Resource<FieldMap>;

fn link_p2(linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
    use p2::bindings::http::types::{
        ErrorCode, Host as Types, HostFutureIncomingResponse as HostFutureIncomingResponseFns,
    };
    let mut types = linker.instance("wasi:http/types@0.2.12")?;
    types.func_wrap("[static]fields.from-list", |mut store: Cell<'_>, (entries,): (Vec<(String, Vec<u8>)>,)| {
        let cell = store.data_mut();
        if !cell.afford(list(&entries)) {
            return Err(memory_spent());
        }
        settle!(cell, cell.http().from_list(entries), Types::convert_header_error)
    })?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: Cell<'_>, (fields, name, value): (Fields, String, Vec<u8>)| {
            let cell = store.data_mut();
            if !cell.afford(field(&name, std::slice::from_ref(&value))) {
                return Err(memory_spent());
            }
            settle!(cell, cell.http().append(fields, name, value), Types::convert_header_error)
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: Cell<'_>, (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
            let cell = store.data_mut();
            if !cell.afford(field(&name, &values)) {
                return Err(memory_spent());
            }
            settle!(cell, cell.http().set(fields, name, values), Types::convert_header_error)
        },
    )?;
    types.func_wrap("[method]fields.clone", |mut store: Cell<'_>, (fields,): (Fields,)| {
        let cell = store.data_mut();
        let bytes = fields_bytes(cell.table.get(&fields)?);
        if !cell.afford(bytes) {
            return Err(memory_spent());
        }
        Ok((p2::bindings::http::types::HostFields::clone(&mut cell.http(), fields)?,))
    })?;
    types.func_wrap(
        "[method]outgoing-request.set-method",
        |mut store: Cell<'_>, (request, method): (Resource<HostOutgoingRequest>, Method)| {
            let cell = store.data_mut();
            let bytes = if let Method::Other(method) = &method { method.len() } else { 0 };
            Ok((if cell.afford(bytes) { cell.http().set_method(request, method)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-path-with-query",
        |mut store: Cell<'_>, (request, path): (Resource<HostOutgoingRequest>, Option<String>)| {
            let cell = store.data_mut();
            let fits = cell.afford(path.as_ref().map_or(0, String::len));
            Ok((if fits { cell.http().set_path_with_query(request, path)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-scheme",
        |mut store: Cell<'_>, (request, scheme): (Resource<HostOutgoingRequest>, Option<Scheme>)| {
            let cell = store.data_mut();
            let bytes = if let Some(Scheme::Other(scheme)) = &scheme { scheme.len() } else { 0 };
            Ok((if cell.afford(bytes) { cell.http().set_scheme(request, scheme)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.set-authority",
        |mut store: Cell<'_>, (request, authority): (Resource<HostOutgoingRequest>, Option<String>)| {
            let cell = store.data_mut();
            let fits = cell.afford(authority.as_ref().map_or(0, String::len));
            Ok((if fits { cell.http().set_authority(request, authority)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.body",
        |mut store: Cell<'_>, (request,): (Resource<HostOutgoingRequest>,)| {
            let make = |cell: &mut HostCell, request| {
                p2::bindings::http::types::HostOutgoingRequest::body(&mut cell.http(), request)
            };
            Ok((body(store.data_mut(), request, make, |request| &mut request.body)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.body",
        |mut store: Cell<'_>, (response,): (Resource<HostOutgoingResponse>,)| {
            let make = |cell: &mut HostCell, response| {
                p2::bindings::http::types::HostOutgoingResponse::body(&mut cell.http(), response)
            };
            Ok((body(store.data_mut(), response, make, |response| &mut response.body)?,))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.get",
        |mut store: Cell<'_>, (future,): (Resource<HostFutureIncomingResponse>,)| {
            let cell = store.data_mut();
            let got = HostFutureIncomingResponseFns::get(&mut cell.http(), future)?;
            Ok((match got {
                Some(Ok(Ok(response))) if !cell.afford_all() => {
                    cell.table.delete(response)?;
                    Some(Ok(Err(ErrorCode::HttpResponseHeaderSectionSize(None))))
                }
                got => got,
            },))
        },
    )
}

/// Makes the body of a message, whose channel counts as memory for as long as the body lives.
fn body<M: Send + 'static>(
    cell: &mut HostCell,
    message: Resource<M>,
    make: impl FnOnce(&mut HostCell, Resource<M>) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>>,
    place: impl FnOnce(&mut M) -> &mut Option<HyperOutgoingBody>,
) -> wasmtime::Result<Result<Resource<HostOutgoingBody>, ()>> {
    let Some(charge) = cell.core().account().charge(BODY_BYTES) else { return Ok(Err(())) };
    let rep = message.rep();
    let made = make(cell, message)?;
    if made.is_ok() {
        let place = place(cell.table.get_mut(&Resource::new_borrow(rep))?);
        *place = place.take().map(|body| counted(body, charge));
    }
    Ok(made)
}

fn link_p3(linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
    use types3::{HeaderError, HostFields, HostRequest};
    let mut types = linker.instance("wasi:http/types@0.3.0")?;
    types.func_wrap("[static]fields.from-list", |mut store: Cell<'_>, (entries,): (Vec<(String, Vec<u8>)>,)| {
        let cell = store.data_mut();
        if !cell.afford(list(&entries)) {
            return Ok((Err(HeaderError::SizeExceeded),));
        }
        settle!(cell, HostFields::from_list(&mut cell.http(), entries), types3::Host::convert_header_error)
    })?;
    types.func_wrap(
        "[method]fields.append",
        |mut store: Cell<'_>, (fields, name, value): (Fields, String, Vec<u8>)| {
            let cell = store.data_mut();
            if !cell.afford(field(&name, std::slice::from_ref(&value))) {
                return Ok((Err(HeaderError::SizeExceeded),));
            }
            let appended = HostFields::append(&mut cell.http(), fields, name, value);
            settle!(cell, appended, types3::Host::convert_header_error)
        },
    )?;
    types.func_wrap(
        "[method]fields.set",
        |mut store: Cell<'_>, (fields, name, values): (Fields, String, Vec<Vec<u8>>)| {
            let cell = store.data_mut();
            if !cell.afford(field(&name, &values)) {
                return Ok((Err(HeaderError::SizeExceeded),));
            }
            settle!(cell, HostFields::set(&mut cell.http(), fields, name, values), types3::Host::convert_header_error)
        },
    )?;
    types.func_wrap("[method]fields.clone", |mut store: Cell<'_>, (fields,): (Fields,)| {
        let cell = store.data_mut();
        let bytes = fields_bytes(cell.table.get(&fields)?);
        if !cell.afford(bytes) {
            return Err(memory_spent());
        }
        Ok((HostFields::clone(&mut cell.http(), fields)?,))
    })?;
    types.func_wrap(
        "[method]request.set-method",
        |mut store: Cell<'_>, (request, method): (Resource<p3::Request>, types3::Method)| {
            let cell = store.data_mut();
            let bytes = if let types3::Method::Other(method) = &method { method.len() } else { 0 };
            Ok(
                (if cell.afford(bytes) {
                    HostRequest::set_method(&mut cell.http(), request, method)?
                } else {
                    Err(())
                },),
            )
        },
    )?;
    types.func_wrap(
        "[method]request.set-path-with-query",
        |mut store: Cell<'_>, (request, path): (Resource<p3::Request>, Option<String>)| {
            let cell = store.data_mut();
            let fits = cell.afford(path.as_ref().map_or(0, String::len));
            Ok((if fits { HostRequest::set_path_with_query(&mut cell.http(), request, path)? } else { Err(()) },))
        },
    )?;
    types.func_wrap(
        "[method]request.set-scheme",
        |mut store: Cell<'_>, (request, scheme): (Resource<p3::Request>, Option<types3::Scheme>)| {
            let cell = store.data_mut();
            let bytes = if let Some(types3::Scheme::Other(scheme)) = &scheme { scheme.len() } else { 0 };
            Ok(
                (if cell.afford(bytes) {
                    HostRequest::set_scheme(&mut cell.http(), request, scheme)?
                } else {
                    Err(())
                },),
            )
        },
    )?;
    types.func_wrap(
        "[method]request.set-authority",
        |mut store: Cell<'_>, (request, authority): (Resource<p3::Request>, Option<String>)| {
            let cell = store.data_mut();
            let fits = cell.afford(authority.as_ref().map_or(0, String::len));
            Ok((if fits { HostRequest::set_authority(&mut cell.http(), request, authority)? } else { Err(()) },))
        },
    )?;
    linker.instance("wasi:http/client@0.3.0")?.func_wrap_concurrent(
        "send",
        |accessor: &Accessor<HostCell>, (request,): (Resource<p3::Request>,)| {
            Box::pin(async move {
                let view = accessor.with_getter::<WasiHttp>(HostCell::http);
                let sent = <WasiHttp as HostWithStore<HostCell>>::send(&view, request).await;
                accessor.with(|mut access| {
                    let cell = access.get();
                    Ok((match sent {
                        Ok(response) if !cell.afford_all() => {
                            cell.table.delete(response)?;
                            Err(types3::ErrorCode::HttpResponseHeaderSectionSize(None))
                        }
                        Ok(response) => Ok(response),
                        Err(error) => Err(error.downcast()?),
                    },))
                })
            })
        },
    )
}

/// A body that counts as memory for as long as it, or what is written to it, is there.
pub(super) fn counted(body: HyperOutgoingBody, charge: Charge) -> HyperOutgoingBody {
    Counted { body, _charge: charge }.boxed_unsync()
}

struct Counted {
    body: HyperOutgoingBody,
    _charge: Charge,
}

impl Body for Counted {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
