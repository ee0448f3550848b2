//! The functions of `wasi:sockets` 0.2 that count or check, and leave the work to wasmtime-wasi.

use std::task::Poll;

use wasmtime::{
    StoreContextMut,
    component::{Linker, Resource, ResourceType},
};
use wasmtime_wasi::{
    p2::{
        DynInputStream, DynOutputStream, Network, SocketResult, TcpSocket, UdpSocket,
        bindings::sockets::{
            network::{ErrorCode, Host as _, IpAddress, IpAddressFamily},
            tcp::HostTcpSocket,
            tcp_create_socket::Host as _,
            udp::HostUdpSocket,
            udp_create_socket::Host as _,
        },
        subscribe,
    },
    sockets::{WasiSocketsCtxView, WasiSocketsView as _},
};

use super::{
    Spent,
    lookup::{Failed, Lookup},
};
use crate::cell::HostCell;

/// What `accept` returns: the socket and its two streams.
type Accepted = (Resource<TcpSocket>, Resource<DynInputStream>, Resource<DynOutputStream>);

pub(super) fn link(linker: &mut Linker<HostCell>) -> wasmtime::Result<()> {
    linker.instance("wasi:sockets/tcp-create-socket@0.2.12")?.func_wrap(
        "create-tcp-socket",
        |mut store: StoreContextMut<'_, HostCell>, (family,): (IpAddressFamily,)| {
            Ok((store.data_mut().one_more_socket(|view| view.create_tcp_socket(family))?,))
        },
    )?;
    linker.instance("wasi:sockets/udp-create-socket@0.2.12")?.func_wrap_async(
        "create-udp-socket",
        |mut store, (family,): (IpAddressFamily,)| {
            Box::new(async move {
                let cell: &mut HostCell = store.data_mut();
                if let Err(spent) = cell.socket_fits() {
                    return Ok((Err(code(spent)),));
                }
                let mut view = cell.sockets();
                let result = view.create_udp_socket(family).await;
                let result = settle(&mut view, result)?;
                cell.recount_sockets();
                Ok((result,))
            })
        },
    )?;
    let mut names = linker.instance("wasi:sockets/ip-name-lookup@0.2.12")?;
    names.func_wrap(
        "resolve-addresses",
        |mut store: StoreContextMut<'_, HostCell>, (network, name): (Resource<Network>, String)| {
            Ok((resolve(store.data_mut(), &network, name)?,))
        },
    )?;
    names.resource("resolve-address-stream", ResourceType::host::<Lookup>(), |mut store, rep| {
        let cell: &mut HostCell = store.data_mut();
        cell.table.delete(Resource::<Lookup>::new_own(rep))?;
        Ok(())
    })?;
    names.func_wrap(
        "[method]resolve-address-stream.resolve-next-address",
        |mut store: StoreContextMut<'_, HostCell>, (lookup,): (Resource<Lookup>,)| {
            Ok((match store.data_mut().table.get_mut(&lookup)?.next() {
                Poll::Pending => Err(ErrorCode::WouldBlock),
                Poll::Ready(Ok(address)) => Ok(address.map(IpAddress::from)),
                Poll::Ready(Err(Failed::Invalid)) => Err(ErrorCode::InvalidArgument),
                Poll::Ready(Err(Failed::Unresolvable)) => Err(ErrorCode::NameUnresolvable),
            },))
        },
    )?;
    names.func_wrap(
        "[method]resolve-address-stream.subscribe",
        |mut store: StoreContextMut<'_, HostCell>, (lookup,): (Resource<Lookup>,)| {
            Ok((subscribe(&mut store.data_mut().table, lookup)?,))
        },
    )?;

    let mut tcp = linker.instance("wasi:sockets/tcp@0.2.12")?;
    tcp.func_wrap(
        "[method]tcp-socket.accept",
        |mut store: StoreContextMut<'_, HostCell>, (socket,): (Resource<TcpSocket>,)| {
            let accepted: Result<Accepted, _> = store.data_mut().one_more_socket(|view| view.accept(socket))?;
            Ok((accepted,))
        },
    )?;
    tcp.resource("tcp-socket", ResourceType::host::<TcpSocket>(), |mut store, rep| {
        let cell: &mut HostCell = store.data_mut();
        HostTcpSocket::drop(&mut cell.sockets(), Resource::new_own(rep))?;
        cell.recount_sockets();
        Ok(())
    })?;
    linker.instance("wasi:sockets/udp@0.2.12")?.resource(
        "udp-socket",
        ResourceType::host::<UdpSocket>(),
        |mut store, rep| {
            let cell: &mut HostCell = store.data_mut();
            HostUdpSocket::drop(&mut cell.sockets(), Resource::new_own(rep))?;
            cell.recount_sockets();
            Ok(())
        },
    )
}

impl HostCell {
    /// Makes one more socket, if one fits.
    fn one_more_socket<R>(
        &mut self,
        make: impl FnOnce(&mut WasiSocketsCtxView<'_>) -> SocketResult<R>,
    ) -> wasmtime::Result<Result<R, ErrorCode>> {
        if let Err(spent) = self.socket_fits() {
            return Ok(Err(code(spent)));
        }
        let mut view = self.sockets();
        let result = make(&mut view);
        let result = settle(&mut view, result)?;
        self.recount_sockets();
        Ok(result)
    }
}

fn resolve(
    cell: &mut HostCell,
    network: &Resource<Network>,
    name: String,
) -> wasmtime::Result<Result<Resource<Lookup>, ErrorCode>> {
    // Who may look names up has one of these.
    cell.table.get(network)?;
    if !cell.sockets.allows_name(&name) {
        return Ok(Err(ErrorCode::AccessDenied));
    }
    Ok(match cell.looking_up() {
        Ok(place) => cell.table.push(Lookup::begin(name, place)).map_err(|_| ErrorCode::NewSocketLimit),
        Err(spent) => Err(code(spent)),
    })
}

fn code(spent: Spent) -> ErrorCode {
    match spent {
        Spent::Sockets => ErrorCode::NewSocketLimit,
        Spent::Memory => ErrorCode::OutOfMemory,
    }
}

/// Tells an error that the guest sees from one that traps.
fn settle<T>(view: &mut WasiSocketsCtxView<'_>, result: SocketResult<T>) -> wasmtime::Result<Result<T, ErrorCode>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(error) => view.convert_error_code(error).map(Err),
    }
}
