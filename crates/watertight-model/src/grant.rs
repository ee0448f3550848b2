//! Grants: what one component may reach. Nothing is granted by default, and grants only shrink: the checker mints them from the
//! manifest, the crates above only narrow and enforce them (invariant 7).

use std::{collections::BTreeMap, fmt, net::IpAddr, path::PathBuf};

use crate::budget::ByteSize;

/// Every capability that the manifest gives one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Grants {
    /// Environment variables the guest sees.
    pub env: BTreeMap<String, String>,
    /// Arguments the guest sees, after its own name.
    pub args: Vec<String>,
    /// Origins that outbound HTTP may go to.
    pub http: Vec<HttpGrant>,
    /// Addresses that TCP sockets may connect to or listen on.
    pub tcp: Vec<SocketGrant>,
    /// Addresses that UDP sockets may talk to or bind.
    pub udp: Vec<SocketGrant>,
    /// Host names that may be looked up.
    pub dns: Vec<String>,
    /// Folders of the host, under the paths where the guest sees them.
    pub dirs: Vec<DirGrant>,
    /// Whether the guest's stdout and stderr reach the log, and stdin the terminal under `run`.
    pub stdio: bool,
}

/// An origin: scheme, host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct HttpGrant {
    /// `http` or `https`.
    pub scheme: HttpScheme,
    /// A host name or address; a leading `*.` stands for any sub-domain.
    pub host: String,
    /// The port, explicit or the scheme's own.
    pub port: u16,
}

/// The two schemes of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpScheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// An address, and one port or all of them (`127.0.0.1:*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
pub struct SocketGrant {
    /// The address.
    pub ip: IpAddr,
    /// The port; none stands for any.
    pub port: Option<u16>,
}

/// A folder of the host that the guest sees.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DirGrant {
    /// The folder, relative to the manifest.
    pub host: PathBuf,
    /// The absolute path the guest sees.
    pub guest: String,
    /// Read-only, or read and write.
    pub mode: DirMode,
    /// Bytes that may lie in the folder, whoever put them there, for this guest to make them more. Of no effect on a read-only one.
    #[serde(rename = "quota_bytes")]
    pub quota: ByteSize,
    /// Files and folders that may lie in it, likewise.
    pub files: u32,
}

/// What may lie in a folder granted for writing where the manifest does not say.
pub const DEFAULT_QUOTA: ByteSize = ByteSize::mib(100);

/// How many files and folders may.
pub const DEFAULT_FILES: u32 = 10_000;

/// What a guest may do in a granted folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DirMode {
    /// Read only.
    #[default]
    Ro,
    /// Read and write.
    Rw,
}

impl DirGrant {
    /// A folder with the default limits.
    pub fn new(host: impl Into<PathBuf>, guest: impl Into<String>, mode: DirMode) -> Self {
        Self { host: host.into(), guest: guest.into(), mode, quota: DEFAULT_QUOTA, files: DEFAULT_FILES }
    }
}

impl HttpGrant {
    /// Whether a request to this origin is covered.
    #[must_use]
    pub fn covers(&self, scheme: HttpScheme, host: &str, port: u16) -> bool {
        let host_fits = match self.host.strip_prefix("*.") {
            Some(parent) => host.len().checked_sub(parent.len() + 1).is_some_and(|dot| {
                dot > 0 && host.as_bytes()[dot] == b'.' && host[dot + 1..].eq_ignore_ascii_case(parent)
            }),
            None => host.eq_ignore_ascii_case(&self.host),
        };
        self.scheme == scheme && self.port == port && host_fits
    }
}

impl SocketGrant {
    /// Whether this address is covered.
    #[must_use]
    pub fn covers(&self, address: std::net::SocketAddr) -> bool {
        self.ip == address.ip() && self.port.is_none_or(|port| port == address.port())
    }
}

impl fmt::Display for HttpScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl fmt::Display for HttpGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own_port = match self.scheme {
            HttpScheme::Http => 80,
            HttpScheme::Https => 443,
        };
        write!(f, "{}://{}", self.scheme, self.host)?;
        if self.port == own_port { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Display for SocketGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (IpAddr::V4(ip), None) => write!(f, "{ip}:*"),
            (IpAddr::V6(ip), None) => write!(f, "[{ip}]:*"),
            (ip, Some(port)) => write!(f, "{}", std::net::SocketAddr::new(ip, port)),
        }
    }
}

impl fmt::Display for DirMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
        })
    }
}
