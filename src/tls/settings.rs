//! [`Settings`]: what the connections of a context have in common.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore, ServerConfig, SupportedCipherSuite};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::verify::{Anybody, load_system_roots};
use super::{ciphers, pem};
use crate::clock::Clock;

/// Certificates that `set_ca` may add up to.
const AUTHORITIES_MAX: usize = 4096;

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SettingsError {
    #[error("{path}: {why}")]
    File { path: String, why: String },
    #[error("{key}: the key is not that of the certificate in {cert}")]
    OtherKey { cert: String, key: String },
    #[error("no cipher suite of {0:?} is supported; for TLS 1.2 there are {known}", known = ciphers::known_names())]
    Ciphers(String),
    #[error("{0} certificates are over the limit of {AUTHORITIES_MAX}")]
    Authorities(usize),
    #[error("{0} protocols are over the limit of {max}", max = Settings::PROTOCOLS_MAX)]
    Protocols(usize),
    #[error("the name of a protocol has 1 to 255 bytes, not {0}")]
    Protocol(usize),
    #[error("a server needs a certificate: call ctx:set_cert(certfile, keyfile) first")]
    NoCertificate,
    #[error("{0}")]
    Tls(String),
}

impl SettingsError {
    pub(super) fn file(path: &str, why: impl fmt::Display) -> SettingsError {
        SettingsError::File { path: path.to_owned(), why: why.to_string() }
    }
}

impl From<rustls::Error> for SettingsError {
    fn from(error: rustls::Error) -> SettingsError {
        SettingsError::Tls(error.to_string())
    }
}

/// A node's wall clock, for the dates in certificates.
#[derive(Debug)]
struct NodeTime(Clock);

impl TimeProvider for NodeTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.0.unix_start() + self.0.now()))
    }
}

/// Certificates, whom to trust, and what to speak. What is made of them is kept until one changes, so that connections
/// after the first resume its session.
pub(crate) struct Settings {
    clock: Clock,
    identity: Option<Arc<CertifiedKey>>,
    authorities: Vec<CertificateDer<'static>>,
    verifies: bool,
    protocols: Vec<Vec<u8>>,
    suites: Vec<SupportedCipherSuite>,
    client: Option<Arc<ClientConfig>>,
    server: Option<Arc<ServerConfig>>,
}

impl Settings {
    /// Protocols that may be offered; a name has 1 to 255 bytes.
    pub(crate) const PROTOCOLS_MAX: usize = 16;

    pub(crate) fn new(clock: Clock) -> Settings {
        Settings {
            clock,
            identity: None,
            authorities: Vec::new(),
            verifies: true,
            protocols: Vec::new(),
            suites: ciphers::all(),
            client: None,
            server: None,
        }
    }

    fn changed(&mut self) {
        self.client = None;
        self.server = None;
    }

    fn provider(&self) -> Arc<CryptoProvider> {
        let provider = rustls::crypto::ring::default_provider();
        Arc::new(CryptoProvider { cipher_suites: self.suites.clone(), ..provider })
    }

    /// Who this side is: a certificate with those that lead to its authority, and its key.
    ///
    /// # Errors
    /// A file cannot be read or is not what it should be, or the key is another one's.
    pub(crate) fn set_cert(&mut self, cert: &str, key: &str) -> Result<(), SettingsError> {
        let chain = pem::certificates(cert)?;
        let signing = self.provider().key_provider.load_private_key(pem::key(key)?);
        let signing = signing.map_err(|why| SettingsError::file(key, why))?;
        let identity = CertifiedKey::new(chain, signing);
        match identity.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => {
                return Err(SettingsError::OtherKey { cert: cert.to_owned(), key: key.to_owned() });
            }
            Err(why) => return Err(SettingsError::file(cert, why)),
        }
        self.identity = Some(Arc::new(identity));
        self.changed();
        Ok(())
    }

    /// Trusts the authorities of a file, beside those of the system.
    ///
    /// # Errors
    /// The file cannot be read, or is not certificates.
    pub(crate) fn add_authorities(&mut self, path: &str) -> Result<(), SettingsError> {
        let found = pem::certificates(path)?;
        let count = self.authorities.len() + found.len();
        if count > AUTHORITIES_MAX {
            return Err(SettingsError::Authorities(count));
        }
        let mut probe = RootCertStore::empty();
        for certificate in &found {
            probe.add(certificate.clone()).map_err(|why| SettingsError::file(path, why))?;
        }
        self.authorities.extend(found);
        self.changed();
        Ok(())
    }

    /// Whether a client asks who the server is.
    pub(crate) fn set_verify(&mut self, verifies: bool) {
        self.verifies = verifies;
        self.changed();
    }

    pub(crate) fn verifies(&self) -> bool {
        self.verifies
    }

    /// # Errors
    /// The list allows nothing that is supported.
    pub(crate) fn set_ciphers(&mut self, list: &str) -> Result<(), SettingsError> {
        self.suites = ciphers::select(list).ok_or_else(|| SettingsError::Ciphers(list.to_owned()))?;
        self.changed();
        Ok(())
    }

    /// The protocols that are spoken inside, best first.
    ///
    /// # Errors
    /// There are too many, or one's name is not fit.
    pub(crate) fn set_protocols(&mut self, protocols: Vec<Vec<u8>>) -> Result<(), SettingsError> {
        if protocols.len() > Settings::PROTOCOLS_MAX {
            return Err(SettingsError::Protocols(protocols.len()));
        }
        if let Some(bad) = protocols.iter().find(|name| name.is_empty() || name.len() > 255) {
            return Err(SettingsError::Protocol(bad.len()));
        }
        self.protocols = protocols;
        self.changed();
        Ok(())
    }

    /// What a client connection is made with.
    pub(crate) fn client(&mut self) -> Result<Arc<ClientConfig>, SettingsError> {
        if let Some(config) = &self.client {
            return Ok(Arc::clone(config));
        }
        let provider = self.provider();
        let time = Arc::new(NodeTime(self.clock.clone()));
        let builder = ClientConfig::builder_with_details(Arc::clone(&provider), time)
            .with_safe_default_protocol_versions()?;
        let builder = if self.verifies {
            let mut roots = load_system_roots().clone();
            roots.add_parsable_certificates(self.authorities.iter().cloned());
            builder.with_root_certificates(roots)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        };
        let mut config = match &self.identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity))))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.protocols);
        Ok(Arc::clone(self.client.insert(Arc::new(config))))
    }

    /// What a server connection is made with.
    ///
    /// # Errors
    /// It has no certificate.
    pub(crate) fn server(&mut self) -> Result<Arc<ServerConfig>, SettingsError> {
        if let Some(config) = &self.server {
            return Ok(Arc::clone(config));
        }
        let identity = self.identity.clone().ok_or(SettingsError::NoCertificate)?;
        let time = Arc::new(NodeTime(self.clock.clone()));
        let mut config = ServerConfig::builder_with_details(self.provider(), time)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(identity)));
        config.alpn_protocols.clone_from(&self.protocols);
        Ok(Arc::clone(self.server.insert(Arc::new(config))))
    }
}
