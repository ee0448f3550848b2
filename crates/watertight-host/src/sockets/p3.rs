//! The functions of `wasi:sockets` 0.3 that count or check, and leave the work to wasmtime-wasi.
//!
//! A stream of a connected socket may outlive the socket's handle, and it keeps the connection open. So each such stream is
//! followed to its end, by the future that WASI returns beside it, and counts as a socket from when the handle is gone.

use std::sync::Arc;

use wasmtime::{
    AsContextMut as _, StoreContextMut,
    component::{Access, Accessor, FutureReader, Linker, Resource, ResourceType, StreamReader},
};
use wasmtime_wasi::{
    p3::{
        bindings::sockets::{
            ip_name_lookup::ErrorCode as LookupError,
            types::{
                ErrorCode, Host as _, HostTcpSocket, HostTcpSocketWithStore, HostUdpSocket, HostUdpSocketWithStore,
                IpAddress, IpAddressFamily, IpSocketAddress,
            },
        },
        sockets::SocketResult,
    },
    sockets::{TcpSocket, UdpSocket, WasiSockets, WasiSocketsCtxView, WasiSocketsView},
};

use watertight_runtime::CellData as _;

use super::{
    Spent,
    lookup::{Failed, lookup},
};
use crate::{cell::HostCell, follow};

/// What a wait for a datagram holds, and counts as memory for as long as it lasts. A guest may wait any number of times at once.
const DATAGRAM_BYTES: usize = 64 << 10;

/// How one direction of a connection ends.
type End = Result<(), ErrorCode>;

pub(super) fn link(linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
    linker.instance("wasi:sockets/ip-name-lookup@0.3.0")?.func_wrap_concurrent(
        "resolve-addresses",
        |accessor: &Accessor<HostCell>, (name,): (String,)| {
            Box::pin(async move { Ok((resolve(accessor, name).await?,)) })
        },
    )?;

    let mut types = linker.instance("wasi:sockets/types@0.3.0")?;
    types.func_wrap(
        "[static]tcp-socket.create",
        |mut store: StoreContextMut<'_, HostCell>, (family,): (IpAddressFamily,)| {
            let cell = store.data_mut();
            if let Err(spent) = cell.socket_fits() {
                return Ok((Err(code(spent)),));
            }
            let mut view = cell.sockets();
            let result = HostTcpSocket::create(&mut view, family);
            let result = settle(&mut view, result)?;
            cell.recount_sockets();
            Ok((result,))
        },
    )?;
    types.func_wrap_async("[static]udp-socket.create", |mut store, (family,): (IpAddressFamily,)| {
        Box::new(async move {
            let cell: &mut HostCell = store.data_mut();
            if let Err(spent) = cell.socket_fits() {
                return Ok((Err(code(spent)),));
            }
            let mut view = cell.sockets();
            let result = HostUdpSocket::create(&mut view, family).await;
            let result = settle(&mut view, result)?;
            cell.recount_sockets();
            Ok((result,))
        })
    })?;
    types.func_wrap_concurrent(
        "[method]udp-socket.receive",
        |accessor: &Accessor<HostCell>, (socket,): (Resource<UdpSocket>,)| {
            Box::pin(async move {
                let buffer = accessor.with(|mut access| access.get().core().account().charge(DATAGRAM_BYTES));
                let Some(_buffer) = buffer else { return Ok((Err(ErrorCode::OutOfMemory),)) };
                let view = accessor.with_getter::<WasiSockets>(HostCell::sockets);
                let received = <WasiSockets as HostUdpSocketWithStore<HostCell>>::receive(&view, socket).await;
                Ok((match received {
                    Ok(received) => Ok(received),
                    Err(error) => Err(accessor.with(|mut access| access.get().sockets().convert_error_code(error))?),
                },))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.send",
        |accessor: &Accessor<HostCell>, (socket, data, to): (Resource<UdpSocket>, Vec<u8>, Option<IpSocketAddress>)| {
            Box::pin(async move {
                let buffer = accessor.with(|mut access| access.get().core().account().charge(data.len()));
                let Some(_buffer) = buffer else { return Ok((Err(ErrorCode::OutOfMemory),)) };
                let view = accessor.with_getter::<WasiSockets>(HostCell::sockets);
                let sent = <WasiSockets as HostUdpSocketWithStore<HostCell>>::send(&view, socket, data, to).await;
                Ok((match sent {
                    Ok(()) => Ok(()),
                    Err(error) => Err(accessor.with(|mut access| access.get().sockets().convert_error_code(error))?),
                },))
            })
        },
    )?;
    types.func_wrap(
        "[method]tcp-socket.receive",
        |mut store: StoreContextMut<'_, HostCell>, (socket,): (Resource<TcpSocket>,)| {
            let rep = socket.rep();
            let access = Access::<_, WasiSockets>::new(store.as_context_mut(), HostCell::sockets);
            let (stream, end) = <WasiSockets as HostTcpSocketWithStore<HostCell>>::receive(access, socket)?;
            let end = follow(&mut store, rep, end)?;
            Ok(((stream, end),))
        },
    )?;
    types.func_wrap(
        "[method]tcp-socket.send",
        |mut store: StoreContextMut<'_, HostCell>, (socket, data): (Resource<TcpSocket>, StreamReader<u8>)| {
            let rep = socket.rep();
            let access = Access::<_, WasiSockets>::new(store.as_context_mut(), HostCell::sockets);
            let end = <WasiSockets as HostTcpSocketWithStore<HostCell>>::send(access, socket, data)?;
            Ok((follow(&mut store, rep, end)?,))
        },
    )?;
    types.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, rep| {
        let cell: &mut HostCell = store.data_mut();
        HostTcpSocket::drop(&mut cell.sockets(), Resource::new_own(rep))?;
        if let Some(streams) = cell.streams.remove(&rep) {
            cell.sockets.outlives(&streams);
        }
        cell.recount_sockets();
        Ok(())
    })?;
    types.resource("udp-socket", ResourceType::host::<UdpSocket>(), |mut store, rep| {
        let cell: &mut HostCell = store.data_mut();
        HostUdpSocket::drop(&mut cell.sockets(), Resource::new_own(rep))?;
        cell.recount_sockets();
        Ok(())
    })
}

async fn resolve(accessor: &Accessor<HostCell>, name: String) -> wasmtime::Result<Result<Vec<IpAddress>, LookupError>> {
    if !accessor.with(|mut access| access.get().sockets.allows_name(&name)) {
        return Ok(Err(LookupError::AccessDenied));
    }
    let Ok(place) = accessor.with(|mut access| access.get().looking_up()) else {
        return Ok(Err(LookupError::TemporaryResolverFailure));
    };
    Ok(match lookup(name, place).await {
        Ok(addresses) => Ok(addresses.into_iter().map(IpAddress::from).collect()),
        Err(Failed::Invalid) => Err(LookupError::InvalidArgument),
        Err(Failed::Unresolvable) => Err(LookupError::NameUnresolvable),
    })
}

fn code(spent: Spent) -> ErrorCode {
    match spent {
        // WASI 0.3 has no error of its own for this.
        Spent::Sockets => ErrorCode::Other(Some("this component's budget of sockets is spent".into())),
        Spent::Memory => ErrorCode::OutOfMemory,
    }
}

/// Marks a direction of a socket's connection as open until `end` resolves, which is passed on.
fn follow(
    store: &mut StoreContextMut<'_, HostCell>,
    rep: u32,
    end: FutureReader<End>,
) -> wasmtime::Result<FutureReader<End>> {
    let open = Arc::clone(store.data_mut().streams.entry(rep).or_default());
    follow::follow(store.as_context_mut(), end, open)
}

/// Tells an error that the guest sees from one that traps.
fn settle<T>(view: &mut WasiSocketsCtxView<'_>, result: SocketResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => view.convert_error_code(error).map(Err),
    }
}
