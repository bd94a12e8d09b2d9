//! Reads certificates and keys from PEM files.

use std::fs::File;
use std::io::{self, Read};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem};

use super::SettingsError;

/// The largest file that is read; the bundle of all public authorities has 0.3 MiB.
const FILE_MAX: u64 = 4 << 20;

fn read(path: &str) -> Result<Vec<u8>, SettingsError> {
    let error = |why: String| SettingsError::file(path, why);
    let mut text = Vec::new();
    let file = File::open(path).map_err(|why| error(why.to_string()))?;
    file.take(FILE_MAX + 1).read_to_end(&mut text).map_err(|why: io::Error| error(why.to_string()))?;
    if text.len() as u64 > FILE_MAX {
        return Err(error(format!("it has more than {FILE_MAX} bytes")));
    }
    Ok(text)
}

/// The certificates of a file, in their order; at least one.
pub(super) fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|why| SettingsError::file(path, why))?;
    if found.is_empty() { Err(SettingsError::file(path, "there is no certificate in it")) } else { Ok(found) }
}

/// The first private key of a file.
pub(super) fn key(path: &str) -> Result<PrivateKeyDer<'static>, SettingsError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|why| match why {
        pem::Error::NoItemsFound => {
            SettingsError::file(path, "there is no private key in it (one under a password cannot be read)")
        }
        other => SettingsError::file(path, other),
    })
}
