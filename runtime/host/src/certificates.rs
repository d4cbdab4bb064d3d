//! Certificates of the link between hosts: read from a folder and judged as peers will judge them, or made (`make`).
//!
//! ```text
//! ca.pem             who is trusted: one certificate authority, or two while one follows the other
//! ca.key             the authority's key: needed to make certificates, never to run a node
//! CCM1.pem CCM1.key  a node's certificate (and what stands between it and the authority), and its private key
//! ```
//! Everything is PEM. A private key is never shown, and one that everybody may read is refused.

pub mod make;

use crate::disk::{Disk, RealDisk};
use crate::error::HostError;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tandem_base::{NodeName, UnixMillis};

/// Longest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// So long before it expires a certificate is warned of; for short-lived ones it is the last third of their life.
const WARN_BEFORE: Duration = Duration::from_secs(30 * 86_400);

/// Why certificates cannot be used. Each says which file, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// A file is not there.
    #[error("there is no {}: make certificates with `tandem cluster certs` and copy ca.pem and the node's .pem and .key into this folder", .0.display())]
    Missing(PathBuf),
    /// A file cannot be read.
    #[error("{0}")]
    Unreadable(String),
    /// It holds something else.
    #[error("{} holds no {expected} in PEM: {why}", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why it does not.
        why: String,
    },
    /// Everybody on the host could act as the node.
    #[error("everybody may read the private key {} (mode {mode:03o}): `chmod 600` it, and make a new one if somebody may have", path.display())]
    Open {
        /// The key.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is over.
    #[error("the certificate {} expired {ago} ago ({at}): make new ones with `tandem cluster certs --force`", path.display())]
    Expired {
        /// The certificate.
        path: PathBuf,
        /// How long ago.
        ago: String,
        /// When.
        at: String,
    },
    /// It is not good yet.
    #[error("the certificate {} is good from {at} on: is the clock of this host right?", path.display())]
    NotYet {
        /// The certificate.
        path: PathBuf,
        /// From when.
        at: String,
    },
    /// Peers would refuse it.
    #[error("peers would refuse the certificate {}: {why}; expected one that {} signed for {address}, good for client and server", path.display(), ca.display())]
    Refused {
        /// The certificate.
        path: PathBuf,
        /// Who should have signed it.
        ca: PathBuf,
        /// Where the node is reached.
        address: IpAddr,
        /// Why.
        why: String,
    },
    /// The key is another one's.
    #[error("the private key {} does not belong to the certificate {}: {why}", key.display(), path.display())]
    Strange {
        /// The key.
        key: PathBuf,
        /// The certificate.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The three files of a node, as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Files {
    folder: PathBuf,
    node: NodeName,
    /// Who is trusted.
    pub(crate) ca: Vec<u8>,
    /// The node's certificate.
    pub(crate) certificate: Vec<u8>,
    /// Its private key.
    pub(crate) key: Vec<u8>,
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("folder", &self.folder).field("node", &self.node).finish_non_exhaustive()
    }
}

/// The authority's certificate in a folder.
pub fn ca_path(folder: &Path) -> PathBuf {
    folder.join("ca.pem")
}
/// The authority's key in a folder.
pub fn ca_key_path(folder: &Path) -> PathBuf {
    folder.join("ca.key")
}
/// A node's certificate in a folder.
pub fn node_path(folder: &Path, node: &NodeName) -> PathBuf {
    folder.join(format!("{node}.pem"))
}
/// A node's key in a folder.
pub fn node_key_path(folder: &Path, node: &NodeName) -> PathBuf {
    folder.join(format!("{node}.key"))
}

fn read_file(path: &Path) -> Result<Vec<u8>, CertificateError> {
    RealDisk.read(path, FILE_BYTES_MAX).map_err(|e| match e {
        e if e.is_not_found() => CertificateError::Missing(path.to_owned()),
        e => CertificateError::Unreadable(e.to_string()),
    })
}
fn read_key(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let bytes = read_file(path)?;
    let unreadable = |e| CertificateError::Unreadable(HostError::disk("look at", path, e).to_string());
    let mode = std::fs::metadata(path).map_err(unreadable)?.permissions().mode() & 0o777;
    if mode & 0o007 != 0 { Err(CertificateError::Open { path: path.to_owned(), mode }) } else { Ok(bytes) }
}

impl Files {
    /// Reads them; nothing is judged yet but who may read the key.
    ///
    /// # Errors
    /// [`CertificateError`]: one is missing, cannot be read, or lies open.
    pub fn read(folder: &Path, node: &NodeName) -> Result<Self, CertificateError> {
        Ok(Self {
            ca: read_file(&ca_path(folder))?,
            certificate: read_file(&node_path(folder, node))?,
            key: read_key(&node_key_path(folder, node))?,
            folder: folder.to_owned(),
            node: node.clone(),
        })
    }

    /// Judges them as peers will: at this moment, for a node that is reached at `address`.
    ///
    /// # Errors
    /// [`CertificateError`]: the first that would make a peer refuse the node, or the node its peers.
    pub fn check(self, address: IpAddr, now: UnixMillis) -> Result<Credentials, CertificateError> {
        let (ca_path, path) = (ca_path(&self.folder), node_path(&self.folder, &self.node));
        let authorities = chain(&ca_path, &self.ca)?;
        let chain = chain(&path, &self.certificate)?;
        // While one authority follows another, the one that is good for longer counts.
        let spans = authorities.iter().map(|c| Span::of(&ca_path, c)).collect::<Result<Vec<_>, _>>()?;
        let ca = spans.into_iter().max_by_key(|s| s.until).unwrap_or_default();
        ca.check(&ca_path, now)?;
        let spans = chain.iter().map(|c| Span::of(&path, c)).collect::<Result<Vec<_>, _>>()?;
        let own = spans.into_iter().min_by_key(|s| s.until).unwrap_or_default();
        own.check(&path, now)?;
        let why = |why: String| CertificateError::Refused { path: path.clone(), ca: ca_path.clone(), address, why };
        verify(&ca_path, authorities, &chain, address, now, &why)?;
        let key_path = node_key_path(&self.folder, &self.node);
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|e| CertificateError::NotPem {
            path: key_path.clone(),
            expected: "private key",
            why: e.to_string(),
        })?;
        CertifiedKey::from_der(chain, key, &provider()).map_err(|e| CertificateError::Strange {
            key: key_path,
            path,
            why: e.to_string(),
        })?;
        Ok(Credentials { files: self, own, ca })
    }
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let failed = |why: String| CertificateError::NotPem { path: path.to_owned(), expected: "certificate", why };
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().map_err(|e| failed(e.to_string()))?;
    if all.is_empty() { Err(failed("there is none in it".to_owned())) } else { Ok(all) }
}

/// What each side of a connection will ask of the other.
fn verify(
    ca_path: &Path,
    authorities: Vec<CertificateDer<'static>>,
    chain: &[CertificateDer<'static>],
    address: IpAddr,
    now: UnixMillis,
    refused: &dyn Fn(String) -> CertificateError,
) -> Result<(), CertificateError> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|e| CertificateError::NotPem {
            path: ca_path.to_owned(),
            expected: "certificate of an authority",
            why: e.to_string(),
        })?;
    }
    let (roots, provider) = (Arc::new(roots), Arc::new(provider()));
    let now = UnixTime::since_unix_epoch(Duration::from_millis(now.0));
    let (end, between) = chain.split_first().ok_or_else(|| refused("there is none".to_owned()))?;
    let client = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
        .build()
        .map_err(|e| refused(e.to_string()))?;
    client.verify_client_cert(end, between, now).map_err(|e| refused(e.to_string()))?;
    let server =
        WebPkiServerVerifier::builder_with_provider(roots, provider).build().map_err(|e| refused(e.to_string()))?;
    let name = ServerName::IpAddress(address.into());
    server.verify_server_cert(end, between, &name, &[], now).map_err(|e| refused(e.to_string()))?;
    Ok(())
}

/// From when until when a certificate is good, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Span {
    from: i64,
    until: i64,
    from_text: String,
    until_text: String,
}

impl Span {
    fn of(path: &Path, certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).map_err(|e| CertificateError::NotPem {
            path: path.to_owned(),
            expected: "certificate",
            why: e.to_string(),
        })?;
        let validity = parsed.validity();
        Ok(Self {
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
            from_text: validity.not_before.to_string(),
            until_text: validity.not_after.to_string(),
        })
    }
    fn check(&self, path: &Path, now: UnixMillis) -> Result<(), CertificateError> {
        let path = path.to_owned();
        match self.left(now) {
            left if left <= 0 => {
                Err(CertificateError::Expired { path, ago: length(left.saturating_neg()), at: self.until_text.clone() })
            }
            _ if self.from > seconds(now) => Err(CertificateError::NotYet { path, at: self.from_text.clone() }),
            _ => Ok(()),
        }
    }
    fn left(&self, now: UnixMillis) -> i64 {
        self.until.saturating_sub(seconds(now))
    }
    fn is_short(&self, now: UnixMillis) -> bool {
        let third = self.until.saturating_sub(self.from) / 3;
        self.left(now) < third.min(i64::try_from(WARN_BEFORE.as_secs()).unwrap_or(i64::MAX))
    }
}

fn seconds(now: UnixMillis) -> i64 {
    i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX)
}
/// A length of time for people.
fn length(seconds: i64) -> String {
    match seconds {
        s if s >= 2 * 86_400 => format!("{} days", s / 86_400),
        s if s >= 2 * 3_600 => format!("{} hours", s / 3_600),
        s => format!("{} minutes", (s / 60).max(1)),
    }
}

/// Certificates that peers will accept.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    files: Files,
    own: Span,
    ca: Span,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Credentials {
    /// The files.
    pub(crate) const fn files(&self) -> &Files {
        &self.files
    }
    /// Seconds until the node's certificate, and the authority's, expires; negative when it has.
    pub fn seconds_left(&self, now: UnixMillis) -> [i64; 2] {
        [self.own.left(now), self.ca.left(now)]
    }
    /// What an operator should know by now: one of the two expires soon, or has.
    pub fn warning(&self, now: UnixMillis) -> Option<String> {
        let both = [
            (&self.own, node_path(&self.files.folder, &self.files.node), ""),
            (&self.ca, ca_path(&self.files.folder), " --new-ca"),
        ];
        let (span, path, option) = both.into_iter().find(|(span, ..)| span.is_short(now))?;
        let (path, at) = (path.display(), &span.until_text);
        Some(match span.left(now) {
            left if left > 0 => {
                let left = length(left);
                format!(
                    "the certificate {path} expires in {left} ({at}): make new ones with `tandem cluster certs --force{option}`"
                )
            }
            left => {
                format!("the certificate {path} expired {} ago ({at}): peers refuse it", length(left.saturating_neg()))
            }
        })
    }
    /// In a few words.
    pub fn summary(&self, now: UnixMillis) -> String {
        let [own, ca] = self.seconds_left(now).map(length);
        format!("good for {own}, the authority's for {ca}")
    }
}

/// Reads and judges a node's certificates.
///
/// # Errors
/// [`CertificateError`].
pub fn load(folder: &Path, node: &NodeName, address: IpAddr, now: UnixMillis) -> Result<Credentials, CertificateError> {
    Files::read(folder, node)?.check(address, now)
}

#[cfg(test)]
mod tests;
