//! The certificate that a pod answers with, and whose clients it answers: read again when the files change.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use tokio::{task::JoinHandle, time::sleep};
use tracing::{info, warn};

/// How often the files are looked at. A new Secret takes up to a minute to reach them.
const LOOK: Duration = Duration::from_secs(2);

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A file has not what it is to have.
    #[error("{}: {problem}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what it is to have.
        problem: String,
    },
    /// Certificate and key do not belong together, or are of a kind that is not used.
    #[error("tls.crt and tls.key of {} cannot be used: {source}", folder.display())]
    Pair {
        /// Their folder.
        folder: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// No client can be checked with these.
    #[error("ca.crt of {} cannot be used: {source}", folder.display())]
    Clients {
        /// Its folder.
        folder: PathBuf,
        /// Why.
        source: VerifierBuilderError,
    },
}

/// The files as they are, to see a change.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    clients: Vec<u8>,
}

/// What to serve with, always the newest that can be used. Connections that stand are not touched by a change.
pub struct Certificates {
    config: Arc<ArcSwap<ServerConfig>>,
    task: JoinHandle<()>,
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Certificates {
    /// Reads `tls.crt`, `tls.key` and `ca.crt` of `folder`, and watches them.
    ///
    /// # Errors
    /// Which file cannot be used, and why.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn watch(folder: &Path) -> Result<Self, CertificateError> {
        let mut used = Files::read(folder)?;
        let config = Arc::new(ArcSwap::from_pointee(used.config(folder)?));
        let task = tokio::spawn({
            let (config, folder) = (Arc::clone(&config), folder.to_owned());
            let mut refused: Option<String> = None;
            async move {
                loop {
                    sleep(LOOK).await;
                    // Three small files of a memory file system.
                    let read = Files::read(&folder);
                    if read.as_ref().is_ok_and(|files| *files == used) {
                        continue;
                    }
                    match read.and_then(|files| Ok((files.config(&folder)?, files))) {
                        Ok((changed, files)) => {
                            config.store(Arc::new(changed));
                            (used, refused) = (files, None);
                            info!(folder = %folder.display(), "certificates read anew");
                        }
                        Err(error) => {
                            let problem = error.to_string();
                            if refused.as_ref() != Some(&problem) {
                                warn!("the certificates stay as they were: {problem}");
                                refused = Some(problem);
                            }
                        }
                    }
                }
            }
        });
        Ok(Self { config, task })
    }

    /// What to serve the next connection with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }
}

impl Files {
    fn read(folder: &Path) -> Result<Self, CertificateError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path).map_err(|source| CertificateError::File { path, source })
        };
        Ok(Self { certificate: read("tls.crt")?, key: read("tls.key")?, clients: read("ca.crt")? })
    }

    /// Clients need a certificate for clients (extended key usage) of a CA of `ca.crt`.
    fn config(&self, folder: &Path) -> Result<ServerConfig, CertificateError> {
        let content = |name: &str, problem: String| CertificateError::Content { path: folder.join(name), problem };
        let certificates = |name: &str, bytes: &[u8]| {
            let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
            match read {
                Ok(found) if !found.is_empty() => Ok(found),
                Ok(_) => Err(content(name, "holds no certificate (PEM)".to_owned())),
                Err(error) => Err(content(name, format!("is not PEM: {error}"))),
            }
        };
        let chain = certificates("tls.crt", &self.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| content("tls.key", format!("holds no private key (PEM): {error}")))?;
        let mut authorities = RootCertStore::empty();
        for authority in certificates("ca.crt", &self.clients)? {
            authorities.add(authority).map_err(|error| content("ca.crt", error.to_string()))?;
        }
        let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(&provider))
            .build()
            .map_err(|source| CertificateError::Clients { folder: folder.to_owned(), source })?;
        let pair = |source| CertificateError::Pair { folder: folder.to_owned(), source };
        ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(pair)
    }
}
