//! Makes an authority and certificates that it signs, for `tandem cluster certs`.
//!
//! ECDSA over P-256; the serial is random bits of the key. It writes nothing: texts are handed out, private keys among them.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use std::net::IpAddr;
use std::time::Duration;
use tandem_base::{NodeName, UnixMillis};
use time::OffsetDateTime;

/// Clocks of hosts may differ by so much: certificates are good from before they were made.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3_600);

/// Why none was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MakeError {
    /// The authority's files are not what they should be.
    #[error("the authority's certificate and key cannot be used: {0}")]
    Authority(String),
    /// The library refuses.
    #[error("no certificate can be made: {0}")]
    Refused(String),
}

/// A certificate and its private key, both in PEM.
pub struct Made {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// Who signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

fn refused(error: rcgen::Error) -> MakeError {
    MakeError::Refused(error.to_string())
}

fn moment(now: UnixMillis, later: Duration) -> Result<OffsetDateTime, MakeError> {
    let seconds = i64::try_from(now.0 / 1_000 + later.as_secs()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|e| MakeError::Refused(e.to_string()))
}

fn parameters(cluster: &str, common: String, now: UnixMillis, life: Duration) -> Result<CertificateParams, MakeError> {
    let mut parameters = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name.push(DnType::OrganizationName, cluster);
    parameters.distinguished_name = name;
    let before = UnixMillis(now.0.saturating_sub(u64::try_from(CLOCKS_DIFFER.as_millis()).unwrap_or(0)));
    parameters.not_before = moment(before, Duration::ZERO)?;
    parameters.not_after = moment(now, life)?;
    Ok(parameters)
}

impl Authority {
    /// A new one, good for `life` from `now` on.
    ///
    /// # Errors
    /// [`MakeError::Refused`].
    pub fn new(cluster: &str, now: UnixMillis, life: Duration) -> Result<(Self, Made), MakeError> {
        let key = KeyPair::generate().map_err(refused)?;
        let mut parameters = parameters(cluster, format!("Tandem cluster {cluster}"), now, life)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = parameters.self_signed(&key).map_err(refused)?.pem();
        let made = Made { certificate, key: key.serialize_pem() };
        Ok((Self { issuer: Issuer::new(parameters, key) }, made))
    }

    /// One that was made before.
    ///
    /// # Errors
    /// [`MakeError::Authority`].
    pub fn read(certificate: &str, key: &str) -> Result<Self, MakeError> {
        let wrong = |e: rcgen::Error| MakeError::Authority(e.to_string());
        let key = KeyPair::from_pem(key).map_err(wrong)?;
        Ok(Self { issuer: Issuer::from_ca_cert_pem(certificate, key).map_err(wrong)? })
    }

    /// A node's certificate: good for `life` from `now` on, as client and as server, at this address.
    ///
    /// # Errors
    /// [`MakeError::Refused`].
    pub fn issue(
        &self,
        cluster: &str,
        node: &NodeName,
        address: IpAddr,
        now: UnixMillis,
        life: Duration,
    ) -> Result<Made, MakeError> {
        let key = KeyPair::generate().map_err(refused)?;
        let mut parameters = parameters(cluster, node.to_string(), now, life)?;
        parameters.subject_alt_names = vec![SanType::IpAddress(address)];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        parameters.use_authority_key_identifier_extension = true;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(refused)?.pem();
        Ok(Made { certificate, key: key.serialize_pem() })
    }
}
