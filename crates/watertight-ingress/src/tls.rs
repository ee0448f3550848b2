//! A certificate and its key, read once and checked before anything listens.
//!
//! It never falls back to plaintext and never generates keys. Every way the two files can be wrong has its own error.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, ring},
    sign::CertifiedKey,
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

/// What a server needs to speak TLS 1.2 and 1.3, offering HTTP/2 and HTTP/1.1. Cheap to clone.
#[derive(Clone)]
pub struct TlsConfig {
    server: Arc<ServerConfig>,
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig").finish_non_exhaustive()
    }
}

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read the TLS {what} {}: {source}", path.display())]
    Read {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("the TLS {what} {} is not valid PEM: {source}", path.display())]
    NotPem {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error(
        "no certificate in {}: it needs a \"BEGIN CERTIFICATE\" section, the server's own first, then its issuers",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no private key in the file.
    #[error(
        "no private key in {}: it needs an unencrypted \"BEGIN PRIVATE KEY\", \"BEGIN RSA PRIVATE KEY\" or \"BEGIN EC PRIVATE KEY\" section",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that cannot sign here.
    #[error("the private key in {} cannot be used: {source}", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// The certificate cannot be parsed.
    #[error("the certificate in {} cannot be used: {source}", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// The two files do not belong together.
    #[error(
        "the private key in {} does not belong to the certificate in {}: give the key that the certificate was issued for",
        key.display(), cert.display()
    )]
    Mismatch {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
}

impl TlsConfig {
    /// Reads a PEM certificate chain and a PEM private key.
    ///
    /// # Errors
    /// What is wrong with which file.
    pub fn load(cert: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        let (cert, key) = (cert.as_ref(), key.as_ref());
        let chain = read_chain(cert)?;
        let provider = Arc::new(ring::default_provider());
        let signer = provider
            .key_provider
            .load_private_key(read_key(key)?)
            .map_err(|source| TlsError::BadKey { path: key.to_owned(), source })?;
        let certified = CertifiedKey::new(chain, signer);
        match certified.keys_match() {
            // A kind of key that does not tell its public half was issued by someone who knew.
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(TlsError::Mismatch { cert: cert.to_owned(), key: key.to_owned() });
            }
            Err(source) => return Err(TlsError::BadCertificate { path: cert.to_owned(), source }),
        }
        Ok(Self { server: Arc::new(server_config(provider, certified)) })
    }

    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

fn server_config(provider: Arc<CryptoProvider>, certified: CertifiedKey) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![ALPN_H2.to_vec(), b"http/1.1".to_vec()];
    config
}

/// How HTTP/2 is named in a TLS handshake.
pub(crate) const ALPN_H2: &[u8] = b"h2";

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read("certificate", path)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsError::NotPem { what: "certificate", path: path.to_owned(), source })?;
    if chain.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(chain) }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "pem::Error is foreign and grows")]
fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(&read("key", path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey { path: path.to_owned() },
        source => TlsError::NotPem { what: "key", path: path.to_owned(), source },
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read { what, path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files {
        folder: tempfile::TempDir,
        cert: PathBuf,
        key: PathBuf,
    }

    fn files() -> Files {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a key can be made");
        let cert = folder.path().join("cert.pem");
        let key = folder.path().join("key.pem");
        std::fs::write(&cert, made.cert.pem()).expect("the temporary folder is writable");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("the temporary folder is writable");
        Files { folder, cert, key }
    }

    fn message(cert: &Path, key: &Path) -> String {
        TlsConfig::load(cert, key).expect_err("these files are wrong").to_string()
    }

    #[test]
    fn a_certificate_and_its_key_load_and_offer_both_protocols() {
        let files = files();
        let config = TlsConfig::load(&files.cert, &files.key).expect("the files belong together");
        assert_eq!(config.server().alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    }

    #[test]
    fn each_way_the_files_can_be_wrong_has_its_own_message() {
        let files = files();
        let other = self::files();
        let write = |name: &str, text: &str| {
            let path = files.folder.path().join(name);
            std::fs::write(&path, text).expect("the temporary folder is writable");
            path
        };
        let missing = files.folder.path().join("missing.pem");
        let garbage = write("garbage.pem", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
        let empty_der = write("der.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        let bad_key = write("badkey.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");

        assert!(message(&missing, &files.key).starts_with("cannot read the TLS certificate "));
        assert!(message(&files.cert, &missing).starts_with("cannot read the TLS key "));
        assert!(message(&files.key, &files.key).starts_with("no certificate in "));
        assert!(message(&files.cert, &files.cert).starts_with("no private key in "));
        assert!(message(&garbage, &files.key).contains("is not valid PEM"));
        assert!(message(&empty_der, &files.key).starts_with("the certificate in "));
        assert!(message(&files.cert, &bad_key).starts_with("the private key in "));
        assert!(message(&files.cert, &other.key).contains("does not belong to the certificate"));
    }
}
