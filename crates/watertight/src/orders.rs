//! What a supervisor hands to its workers: the app as it was checked, and how to serve it, in one sealed file in memory.
//!
//! A worker that starts later serves the same app, whatever became of the files since. The file has no name: workers inherit its
//! descriptor, which needs no rights over the supervisor, and it goes when the last of them does.
//!
//! ```text
//! length of the JSON (8 bytes, little-endian) · JSON: everything but the components' bytes · those bytes, one after another
//! ```

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use watertight_host::SharedLedgers;
use watertight_ingress::HttpConfig;

use crate::{
    serve::TlsFiles,
    source::{AppSource, SourceParts},
};

/// The longest JSON part that is read.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// Everything a worker needs to know. `X` is what the program adds, such as where its events go.
#[derive(Clone, Debug)]
pub struct Orders<X> {
    /// The app.
    pub app: AppSource,
    /// The folder of the compile cache.
    pub cache: PathBuf,
    /// The limits of the HTTP server.
    pub http: HttpConfig,
    /// Certificate and key.
    pub tls: Option<TlsFiles>,
    /// What counts the folders that guests write to: see [`crate::CompiledNode::ledgers`].
    pub ledgers: SharedLedgers,
    /// Where postmortems go, if they are kept.
    pub postmortems: Option<PathBuf>,
    /// What the program adds.
    pub extra: X,
}

/// Orders that lie ready for workers, for as long as this lives.
#[derive(Debug)]
pub struct PostedOrders {
    file: File,
}

/// Orders that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read a worker's orders from {}: {error}", path.display())]
pub struct OrdersError {
    path: PathBuf,
    error: io::Error,
}

#[derive(Serialize, Deserialize)]
struct Wire<X> {
    app: SourceParts,
    cache: PathBuf,
    #[serde(with = "HttpWire")]
    http: HttpConfig,
    tls: Option<TlsFiles>,
    ledgers: SharedLedgers,
    postmortems: Option<PathBuf>,
    extra: X,
}

/// The fields of [`HttpConfig`], which is not this crate's.
#[derive(Serialize, Deserialize)]
#[serde(remote = "HttpConfig")]
struct HttpWire {
    max_header_bytes: u32,
    max_headers: u32,
    max_body_bytes: u64,
    max_buffer_bytes: u32,
    max_connections: u32,
    max_streams: u32,
    header_timeout: Duration,
    idle_timeout: Duration,
    body_timeout: Duration,
    write_timeout: Duration,
    drain_timeout: Duration,
}

impl<X: Serialize + DeserializeOwned> Orders<X> {
    /// Lays the orders ready for workers.
    ///
    /// # Errors
    /// When there is no memory for them.
    pub fn post(self) -> io::Result<PostedOrders> {
        let (app, blobs) = self.app.parts();
        let Self { app: _, cache, http, tls, ledgers, postmortems, extra } = self;
        let wire = Wire { app, cache, http, tls, ledgers, postmortems, extra };
        let json = serde_json::to_vec(&wire)?;
        // Without CLOEXEC: it is there for the processes that this one starts.
        let memory = memfd_create("watertight-orders", MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(memory);
        file.write_all(&(json.len() as u64).to_le_bytes())?;
        file.write_all(&json)?;
        for blob in &blobs {
            file.write_all(blob)?;
        }
        fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(PostedOrders { file })
    }

    /// Reads the orders that a supervisor posted.
    ///
    /// # Errors
    /// When the supervisor is gone, or the file holds something else.
    pub fn read(path: &Path) -> Result<Self, OrdersError> {
        let read = || -> io::Result<Self> {
            let mut file = File::open(path)?;
            let mut length = [0; 8];
            file.read_exact(&mut length)?;
            let json = read_exactly(&mut file, u64::from_le_bytes(length).min(MAX_JSON_BYTES))?;
            let wire: Wire<X> = serde_json::from_slice(&json)?;
            let lengths = wire.app.blobs.iter().map(|(_, length)| *length);
            let blobs = lengths
                .map(|length| Ok(Arc::from(read_exactly(&mut file, length)?)))
                .collect::<io::Result<Vec<_>>>()?;
            let app = AppSource::from_parts(wire.app, blobs);
            let Wire { app: _, cache, http, tls, ledgers, postmortems, extra } = wire;
            Ok(Self { app, cache, http, tls, ledgers, postmortems, extra })
        };
        read().map_err(|error| OrdersError { path: path.to_owned(), error })
    }
}

impl PostedOrders {
    /// Where a process that was started by this one finds them. Each gets a position of its own in the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }
}

/// Reads so many bytes; memory grows with what is there, not with what was promised.
fn read_exactly(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use watertight_testkit::guest;

    use super::*;

    #[test]
    fn orders_arrive_as_they_were_posted() {
        let orders = Orders {
            app: AppSource::single("hello.wasm", guest::built("http-hello")),
            cache: PathBuf::from("/cache"),
            http: HttpConfig {
                max_body_bytes: 17,
                drain_timeout: Duration::from_millis(1500),
                ..HttpConfig::default()
            },
            tls: Some(TlsFiles { cert: "c.pem".into(), key: "k.pem".into() }),
            ledgers: SharedLedgers::keep(["/".into()]).expect("there is memory"),
            postmortems: Some("/state".into()),
            extra: "json".to_owned(),
        };
        let posted = orders.clone().post().expect("there is memory");
        let read = Orders::<String>::read(&posted.path()).expect("they lie ready");
        assert_eq!(format!("{read:?}"), format!("{orders:?}"));
        assert_eq!((read.http, read.tls, read.extra), (orders.http, orders.tls, orders.extra));
    }

    #[test]
    fn something_else_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("the temporary folder is writable");
        for content in [&b""[..], b"\xff\xff\xff\xff\xff\xff\xff\xff", b"\x02\0\0\0\0\0\0\0{}"] {
            std::fs::write(file.path(), content).expect("the temporary folder is writable");
            assert!(Orders::<()>::read(file.path()).is_err(), "{content:?}");
        }
    }
}
