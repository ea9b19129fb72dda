//! The operator's own CA, and the certificates that it issues. Pure but for the random numbers of keys: time comes in as
//! Unix seconds.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use x509_parser::parse_x509_certificate;

/// For how long a CA is valid, in seconds.
pub(super) const CA_LIFE: i64 = 365 * DAY;

/// For how long the certificate of a model's pods is valid.
pub(super) const SERVER_LIFE: i64 = 90 * DAY;

/// For how long the operator's own is valid. It is made anew at each start and with each check.
const CLIENT_LIFE: i64 = 7 * DAY;

/// A new CA signs only after this time: until then every pod has been told of it (the kubelet takes about a minute).
pub(super) const SETTLES: i64 = DAY;

/// Clocks of pods may be behind by so much.
const SKEW: i64 = 3_600;

const DAY: i64 = 86_400;

/// What went wrong with certificates.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A certificate could not be made.
    #[error("a certificate cannot be made: {0}")]
    Make(#[from] rcgen::Error),
    /// What is stored is no CA.
    #[error("{0} is missing or cannot be read: delete the Secret to have a new CA made")]
    Stored(&'static str),
    /// TLS refuses what was made.
    #[error("TLS refuses the certificate: {0}")]
    Tls(#[from] rustls::Error),
}

/// A certificate with its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

#[derive(Clone)]
struct Ca {
    identity: Identity,
    not_before: i64,
    not_after: i64,
}

/// The CA, and while one takes over from another, both.
#[derive(Clone)]
pub struct Authority {
    newest: Ca,
    before: Option<Ca>,
}

impl Authority {
    /// A new one.
    pub fn new(now: i64) -> Result<Self, Error> {
        Ok(Self { newest: Ca::new(now)?, before: None })
    }

    /// As [`Self::secret`] wrote it.
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let newest = Ca::read(data, "tls.crt", "tls.key")?;
        let before = data.contains_key("previous.crt").then(|| Ca::read(data, "previous.crt", "previous.key"));
        Ok(Self { newest, before: before.transpose()? })
    }

    /// What is to be stored.
    #[must_use]
    pub fn secret(&self) -> BTreeMap<String, String> {
        let entry = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut data = BTreeMap::from([
            entry("tls.crt", &self.newest.identity.certificate),
            entry("tls.key", &self.newest.identity.key),
            entry("ca.crt", &self.bundle()),
        ]);
        if let Some(before) = &self.before {
            data.extend([
                entry("previous.crt", &before.identity.certificate),
                entry("previous.key", &before.identity.key),
            ]);
        }
        data
    }

    /// A successor, if it is time for one.
    pub fn rotated(&self, now: i64) -> Result<Option<Self>, Error> {
        let due = self.newest.not_before + CA_LIFE / 3 * 2;
        if now < due {
            return Ok(None);
        }
        Ok(Some(Self { newest: Ca::new(now)?, before: Some(self.newest.clone()) }))
    }

    /// What certificates must chain to: each CA, the newest first.
    #[must_use]
    pub fn bundle(&self) -> String {
        let before = self.before.iter().map(|ca| ca.identity.certificate.as_str());
        [self.newest.identity.certificate.as_str()].into_iter().chain(before).collect()
    }

    /// The certificate of a server of this name.
    pub fn server(&self, host: &str, now: i64) -> Result<Identity, Error> {
        self.issue(vec![host.to_owned()], ExtendedKeyUsagePurpose::ServerAuth, now, SERVER_LIFE)
    }

    /// The operator's own side of TLS.
    pub fn client(&self, now: i64) -> Result<Arc<ClientConfig>, Error> {
        let identity = self.issue(Vec::new(), ExtendedKeyUsagePurpose::ClientAuth, now, CLIENT_LIFE)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.bundle().as_bytes()) {
            roots.add(certificate.map_err(|_| Error::Stored("ca.crt"))?)?;
        }
        let chain = vec![
            CertificateDer::from_pem_slice(identity.certificate.as_bytes()).map_err(|_| Error::Stored("tls.crt"))?,
        ];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(|_| Error::Stored("tls.key"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        Ok(Arc::new(config))
    }

    /// The one that signs: the newest, once everyone has been told of it.
    fn signer(&self, now: i64) -> &Ca {
        match &self.before {
            Some(before) if now < self.newest.not_before + SKEW + SETTLES && now < before.not_after => before,
            _ => &self.newest,
        }
    }

    fn issue(
        &self,
        hosts: Vec<String>,
        usage: ExtendedKeyUsagePurpose,
        now: i64,
        life: i64,
    ) -> Result<Identity, Error> {
        let signer = self.signer(now);
        let mut params = CertificateParams::new(hosts)?;
        params.distinguished_name.push(DnType::CommonName, "vision-operator");
        params.not_before = moment(now - SKEW);
        params.not_after = moment((now + life).min(signer.not_after));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let issuer = Issuer::from_ca_cert_pem(&signer.identity.certificate, KeyPair::from_pem(&signer.identity.key)?)?;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        Ok(Identity { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}

impl Ca {
    fn new(now: i64) -> Result<Self, Error> {
        let (not_before, not_after) = (now - SKEW, now + CA_LIFE);
        let mut params = CertificateParams::new(Vec::new())?;
        // The name tells two of them apart, which may be valid at the same time.
        params.distinguished_name.push(DnType::CommonName, format!("vision-operator CA {now}"));
        params.not_before = moment(not_before);
        params.not_after = moment(not_after);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let identity = Identity { certificate: certificate.pem(), key: key.serialize_pem() };
        Ok(Self { identity, not_before, not_after })
    }

    fn read(data: &BTreeMap<String, Vec<u8>>, certificate: &'static str, key: &'static str) -> Result<Self, Error> {
        let text = |name: &'static str| {
            let bytes = data.get(name).cloned().ok_or(Error::Stored(name))?;
            String::from_utf8(bytes).map_err(|_| Error::Stored(name))
        };
        let identity = Identity { certificate: text(certificate)?, key: text(key)? };
        KeyPair::from_pem(&identity.key).map_err(|_| Error::Stored(key))?;
        let der = CertificateDer::from_pem_slice(identity.certificate.as_bytes());
        let der = der.map_err(|_| Error::Stored(certificate))?;
        let (_, parsed) = parse_x509_certificate(&der).map_err(|_| Error::Stored(certificate))?;
        let validity = parsed.validity();
        Ok(Self { identity, not_before: validity.not_before.timestamp(), not_after: validity.not_after.timestamp() })
    }
}

fn moment(seconds: i64) -> time::OffsetDateTime {
    date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds.max(0).unsigned_abs())
}
