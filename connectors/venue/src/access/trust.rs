//! Whose certificates are trusted: the system's store or, without one, bundled roots; and a file of one's own.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::AccessError;

/// Bytes of a file of certificates: all roots of a system are a quarter of a megabyte.
const FILE_MAX: u64 = 16 << 20;
/// Troubles with the system's store that are told.
const TROUBLES_MAX: usize = 3;

/// Where the trusted certificates come from.
pub(crate) struct Trust {
    /// Of the system's store; 0 if it has none, and bundled roots stand in.
    n_system: usize,
    n_bundled: usize,
    /// Of `feeds.ca`.
    own: Option<(usize, PathBuf)>,
    /// What of the system's store could not be read.
    pub(crate) troubles: Vec<String>,
}

impl Trust {
    /// As this machine says, and the certificates of a file.
    pub(super) fn load(ca: Option<&Path>) -> Result<(Trust, RootCertStore), AccessError> {
        let own = ca.map(|path| Ok((authorities(path)?, path.to_path_buf()))).transpose()?;
        let found = rustls_native_certs::load_native_certs();
        let troubles = found.errors.iter().take(TROUBLES_MAX).map(ToString::to_string).collect();
        Ok(Trust::of(found.certs, troubles, own))
    }

    /// Of what was found of the system's store.
    pub(super) fn of(
        system: Vec<CertificateDer<'static>>,
        troubles: Vec<String>,
        own: Option<(Vec<CertificateDer<'static>>, PathBuf)>,
    ) -> (Trust, RootCertStore) {
        let mut roots = RootCertStore::empty();
        let (n_system, _) = roots.add_parsable_certificates(system);
        if n_system == 0 {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        let n_bundled = if n_system == 0 { roots.len() } else { 0 };
        let own = own.map(|(certificates, path)| (roots.add_parsable_certificates(certificates).0, path));
        (Trust { n_system, n_bundled, own, troubles }, roots)
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.n_system {
            0 => write!(f, "the {} roots that prism carries, as this system has no store", self.n_bundled)?,
            n => write!(f, "{n} of this system's store")?,
        }
        match &self.own {
            Some((n, path)) => write!(f, ", and {n} of {}", path.display()),
            None => Ok(()),
        }
    }
}

/// The certificates of a PEM file, each of which can be trusted; none is an error, as is one that cannot be read.
pub fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, AccessError> {
    let wrong = |detail: String| AccessError::Authority { path: path.into(), detail };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 == FILE_MAX {
        return Err(wrong(format!("is no file of certificates: it has {} MiB or more", FILE_MAX >> 20)));
    }
    let mut found = Vec::new();
    for one in CertificateDer::pem_slice_iter(&bytes) {
        let one = one.map_err(|error| wrong(format!("its certificate {}: {error}", found.len() + 1)))?;
        let added = RootCertStore::empty().add(one.clone());
        added.map_err(|error| wrong(format!("its certificate {} cannot be trusted: {error}", found.len() + 1)))?;
        found.push(one);
    }
    match (found.is_empty(), bytes.first()) {
        (false, _) => Ok(found),
        (true, None) => Err(wrong("is empty".into())),
        // How a certificate begins in DER.
        (true, Some(0x30)) => Err(wrong("is not PEM but DER: openssl x509 -inform der -in FILE -out FILE.pem".into())),
        (true, _) => Err(wrong("has no -----BEGIN CERTIFICATE-----: it must be the PEM of the authority".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As slim images are.
    #[test]
    fn without_a_store_bundled_roots_are_trusted() {
        let (trust, roots) = Trust::of(Vec::new(), Vec::new(), None);
        assert!(100 < roots.len());
        let said = format!("the {} roots that prism carries, as this system has no store", roots.len());
        assert_eq!(trust.to_string(), said);
    }

    #[test]
    fn a_file_of_certificates_that_cannot_be_used_says_why() {
        let directory = std::env::temp_dir().join(format!("prism-authorities-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let broken = "-----BEGIN CERTIFICATE-----\nTm9uZQ==\n-----END CERTIFICATE-----\n";
        for (name, content, expected) in [
            ("absent.pem", None, "No such file"),
            ("empty.pem", Some(&b""[..]), "is empty"),
            ("der.pem", Some(&[0x30, 0x82, 1][..]), "openssl x509 -inform der"),
            ("key.pem", Some(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "BEGIN CERTIFICATE"),
            ("broken.pem", Some(broken.as_bytes()), "its certificate 1 cannot be trusted"),
            ("cut.pem", Some(&broken.as_bytes()[..40]), "its certificate 1"),
        ] {
            let path = directory.join(name);
            if let Some(content) = content {
                std::fs::write(&path, content).unwrap();
            }
            let said = authorities(&path).unwrap_err().to_string();
            let is_named = said.starts_with(&format!("feeds.ca = \"{}\": ", path.display()));
            assert!(is_named && said.contains(expected), "{said}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}
