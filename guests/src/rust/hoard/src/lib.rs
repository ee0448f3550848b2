//! Has the host keep things for it, over WASI 0.2.

wit_bindgen::generate!({ path: "../../../wit", world: "hoard-guest", generate_all });

use exports::watertight::test::hoard::Guest;
use wasi::filesystem::{
    preopens::get_directories,
    types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags},
};
use wasi::http::types::{Fields, OutgoingRequest};

struct Hoard;

const MUCH: usize = 32 << 10;
const CHUNK: usize = 64 << 10;

/// Makes one thing, and loses its handle.
fn make(kind: &str, folder: &Option<Descriptor>, file: &Option<Descriptor>) -> Result<(), String> {
    match kind {
        "headers" => {
            let fields = Fields::new();
            fields.append("x-much", &vec![b'x'; MUCH]).map_err(|error| format!("{error:?}"))?;
            std::mem::forget(fields);
        }
        "paths" => {
            let request = OutgoingRequest::new(Fields::new());
            let path = format!("/{}", "x".repeat(MUCH));
            request.set_path_with_query(Some(&path)).map_err(|()| "refused".to_owned())?;
            std::mem::forget(request);
        }
        "bodies" => {
            let request = OutgoingRequest::new(Fields::new());
            let body = request.body().map_err(|()| "refused".to_owned())?;
            let stream = body.write().map_err(|()| "no stream".to_owned())?;
            while stream.check_write().map_err(|error| format!("{error:?}"))? > 0 {
                stream.write(&vec![b'x'; CHUNK]).map_err(|error| format!("{error:?}"))?;
            }
            // What was written waits for the request to be sent.
            drop(stream);
            std::mem::forget((body, request));
        }
        "streams" => {
            let file = file.as_ref().ok_or("no file")?;
            let stream = file.read_via_stream(0).map_err(|code| code.name().to_owned())?;
            stream.blocking_read(1).map_err(|error| format!("{error:?}"))?;
            std::mem::forget(stream);
        }
        "entries" => {
            let folder = folder.as_ref().ok_or("no folder")?;
            std::mem::forget(folder.read_directory().map_err(|code| code.name().to_owned())?);
        }
        _ => return Err(format!("nothing is called {kind}")),
    }
    Ok(())
}

impl Guest for Hoard {
    fn keep(kind: String, count: u32) -> Result<u32, String> {
        let folder = get_directories().into_iter().next().map(|(folder, _)| folder);
        let open = |folder: &Descriptor| {
            folder.open_at(PathFlags::empty(), "file", OpenFlags::empty(), DescriptorFlags::READ).ok()
        };
        let file = folder.as_ref().and_then(open);
        for made in 0..count {
            make(&kind, &folder, &file).map_err(|error| format!("{made}, then {error}"))?;
        }
        Ok(count)
    }
}

export!(Hoard);
