//! The host resources that may move from one cell to another.
//!
//! Each has the Rust type that wasmtime-wasi, or this crate in its place, keeps in the table under its WIT name: the bindings name it, so that a type that
//! changes there changes here. WASI 0.2 and 0.3 share some of these types.
//!
//! `wasi:io/poll/pollable` is not among them. A pollable holds the index of what it waits for in its own cell's table; in another
//! table that index is something else, and wasmtime-wasi would panic on it. An app that hands one across is refused when it is
//! loaded.

use std::sync::LazyLock;

use wasmtime_wasi::{
    p2::bindings::{cli, filesystem, io, sockets},
    p3::bindings::{cli as cli3, sockets as sockets3},
};
use wasmtime_wasi_http::{p2::bindings::http::types as http, p3::bindings::http::types as http3};
use watertight_runtime::HostResource;

use crate::{
    filesystem::{STREAM_BYTES, entries::Entries},
    http::held::BODY_BYTES,
    sockets::{SOCKET_BYTES, lookup::Lookup},
};

/// What the host keeps with one that was handed over, at most.
fn buffers(name: &str) -> usize {
    match name.rsplit('/').next() {
        Some("input-stream" | "output-stream" | "directory-entry-stream") => STREAM_BYTES,
        Some("tcp-socket" | "udp-socket" | "incoming-datagram-stream" | "outgoing-datagram-stream") => SOCKET_BYTES,
        Some("incoming-body" | "outgoing-body" | "outgoing-request" | "outgoing-response" | "request" | "response") => {
            BODY_BYTES
        }
        _ => 0,
    }
}

/// Lists the resources, with their types for the test.
macro_rules! movable {
    ($($(#[$comment:meta])* $name:literal: $ty:ty,)*) => {
        /// Every host resource that may move.
        pub(crate) fn movable() -> &'static [HostResource] {
            static MOVABLE: LazyLock<Vec<HostResource>> = LazyLock::new(|| vec![$(HostResource::of::<$ty>($name).with_buffers(buffers($name))),*]);
            &MOVABLE
        }

        #[cfg(test)]
        fn types() -> Vec<(&'static str, wasmtime::component::ResourceType)> {
            vec![$(($name, wasmtime::component::ResourceType::host::<$ty>())),*]
        }
    };
}

movable! {
    "wasi:io/error/error": io::error::Error,
    "wasi:io/streams/input-stream": io::streams::InputStream,
    "wasi:io/streams/output-stream": io::streams::OutputStream,
    "wasi:cli/terminal-input/terminal-input": cli::terminal_input::TerminalInput,
    "wasi:cli/terminal-output/terminal-output": cli::terminal_output::TerminalOutput,
    "wasi:filesystem/types/descriptor": filesystem::types::Descriptor,
    "wasi:filesystem/types/directory-entry-stream": Entries,
    "wasi:sockets/network/network": sockets::network::Network,
    "wasi:sockets/ip-name-lookup/resolve-address-stream": Lookup,
    "wasi:sockets/tcp/tcp-socket": sockets::tcp::TcpSocket,
    "wasi:sockets/udp/udp-socket": sockets::udp::UdpSocket,
    "wasi:sockets/udp/incoming-datagram-stream": sockets::udp::IncomingDatagramStream,
    "wasi:sockets/udp/outgoing-datagram-stream": sockets::udp::OutgoingDatagramStream,
    "wasi:http/types/fields": http::Fields,
    "wasi:http/types/incoming-request": http::IncomingRequest,
    "wasi:http/types/incoming-body": http::IncomingBody,
    "wasi:http/types/incoming-response": http::IncomingResponse,
    "wasi:http/types/outgoing-request": http::OutgoingRequest,
    "wasi:http/types/outgoing-response": http::OutgoingResponse,
    "wasi:http/types/outgoing-body": http::OutgoingBody,
    "wasi:http/types/response-outparam": http::ResponseOutparam,
    "wasi:http/types/future-incoming-response": http::FutureIncomingResponse,
    "wasi:http/types/future-trailers": http::FutureTrailers,
    "wasi:http/types/request-options": http::RequestOptions,
    // WASI 0.3, where it has types of its own.
    "wasi:cli/terminal-input/terminal-input": cli3::terminal_input::TerminalInput,
    "wasi:cli/terminal-output/terminal-output": cli3::terminal_output::TerminalOutput,
    "wasi:sockets/types/tcp-socket": sockets3::types::TcpSocket,
    "wasi:sockets/types/udp-socket": sockets3::types::UdpSocket,
    "wasi:http/types/request": http3::Request,
    "wasi:http/types/response": http3::Response,
    "wasi:http/types/request-options": http3::RequestOptions,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use wasmtime::{
        Config, Engine,
        component::{Component, Linker, ResourceType, types::ComponentItem},
    };
    use watertight_model::app::Lifetime;
    use watertight_runtime::Host as _;
    use watertight_testkit::guest;

    use super::*;
    use crate::{WasiHost, cell::HostCell, fixture::app};

    /// Every resource of WASI, by the interface that defines it.
    const P2: &[(&str, &[&str])] = &[
        ("wasi:io/error", &["error"]),
        ("wasi:io/poll", &["pollable"]),
        ("wasi:io/streams", &["input-stream", "output-stream"]),
        ("wasi:cli/terminal-input", &["terminal-input"]),
        ("wasi:cli/terminal-output", &["terminal-output"]),
        ("wasi:filesystem/types", &["descriptor", "directory-entry-stream"]),
        ("wasi:sockets/network", &["network"]),
        ("wasi:sockets/ip-name-lookup", &["resolve-address-stream"]),
        ("wasi:sockets/tcp", &["tcp-socket"]),
        ("wasi:sockets/udp", &["udp-socket", "incoming-datagram-stream", "outgoing-datagram-stream"]),
        (
            "wasi:http/types",
            &[
                "fields",
                "incoming-request",
                "incoming-body",
                "incoming-response",
                "outgoing-request",
                "outgoing-response",
                "outgoing-body",
                "response-outparam",
                "future-incoming-response",
                "future-trailers",
                "request-options",
            ],
        ),
    ];
    const P3: &[(&str, &[&str])] = &[
        ("wasi:cli/terminal-input", &["terminal-input"]),
        ("wasi:cli/terminal-output", &["terminal-output"]),
        ("wasi:filesystem/types", &["descriptor"]),
        ("wasi:sockets/types", &["tcp-socket", "udp-socket"]),
        ("wasi:http/types", &["fields", "request", "response", "request-options"]),
    ];

    /// The types that the linker gives a component which imports these resources.
    fn linked(version: &str, resources: &[(&str, &[&str])], asynchronous: bool) -> Vec<(String, ResourceType)> {
        let mut imports = String::new();
        for (interface, names) in resources {
            let exports: String =
                names.iter().map(|name| format!("(export \"{name}\" (type (sub resource)))")).collect();
            imports.push_str(&format!("(import \"{interface}@{version}\" (instance {exports}))"));
        }
        let bytes = guest::wat(&format!("(component {imports})"));

        let mut config = Config::new();
        config.wasm_component_model_async(asynchronous).concurrency_support(asynchronous);
        let engine = Engine::new(&config).expect("an engine");
        let component = Component::new(&engine, bytes).expect("a component");
        let app = app(|component| component.lifetime = Lifetime::Request);
        let mut linker = Linker::<HostCell>::new(&engine);
        WasiHost::new(app.clone(), "").link(&app.components[0], &mut linker).expect("it links");
        linker.instantiate_pre(&component).expect("every import is there");
        let ty = linker.substituted_component_type(&component).expect("every import is there");

        let mut found = Vec::new();
        for (interface, item) in ty.imports(&engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            let defined = resources.iter().find(|(name, _)| interface == format!("{name}@{version}"));
            for (name, item) in instance.exports(&engine) {
                // An interface also exports the resources that it uses from others.
                if let (ComponentItem::Resource(ty), Some((interface, names))) = (item.ty, defined)
                    && names.contains(&name)
                {
                    found.push((format!("{interface}/{name}"), ty));
                }
            }
        }
        found
    }

    #[test]
    fn every_resource_has_the_type_that_the_linker_gives_it() {
        let p2 = linked("0.2.12", P2, false);
        let p3 = linked("0.3.0", P3, true);
        assert_eq!(p2.len(), P2.iter().map(|(_, names)| names.len()).sum::<usize>());
        assert_eq!(p3.len(), P3.iter().map(|(_, names)| names.len()).sum::<usize>());

        let listed = types();
        let mut missing = BTreeSet::new();
        for (name, ty) in p2.iter().chain(&p3) {
            if !listed.iter().any(|(listed, known)| listed == name && known == ty) {
                missing.insert(name.as_str());
            }
        }
        assert_eq!(missing.into_iter().collect::<Vec<_>>(), ["wasi:io/poll/pollable"], "why, the module's head says");
        for (name, ty) in &listed {
            assert!(
                p2.iter().chain(&p3).any(|(known, linked)| known == name && linked == ty),
                "nothing is linked as {name}"
            );
        }
        assert_eq!(movable().len(), listed.len());
    }
}
