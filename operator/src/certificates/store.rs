//! Keeps the CA in a Secret, and what was issued by it in memory.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{Api, Client, api::PostParams};
use rustls::ClientConfig;
use tokio::sync::watch;

use super::{Authority, Error, Identity, authority::SERVER_LIFE};
use crate::pods::FIELD_MANAGER;

/// The CA cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The API server refuses.
    #[error("Secret {0}: {1}")]
    Api(String, Box<kube::Error>),
    /// What it holds, or what is made, is no good.
    #[error("Secret {0}: {1}")]
    Certificate(String, Error),
}

/// Issues certificates.
pub struct Issuer {
    api: Api<Secret>,
    namespace: String,
    name: String,
    authority: Mutex<Option<Authority>>,
    issued: Mutex<HashMap<String, Issued>>,
    tls: watch::Sender<Arc<ClientConfig>>,
}

struct Issued {
    identity: Identity,
    bundle: String,
    renew: i64,
}

impl Issuer {
    /// Reads the CA from the Secret, or makes it. `now` in Unix seconds.
    pub async fn open(client: &Client, namespace: &str, name: &str, now: i64) -> Result<Self, StoreError> {
        let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let failed = |error| StoreError::Certificate(format!("{namespace}/{name}"), error);
        let fresh = Authority::new(now).map_err(failed)?;
        let (tls, _) = watch::channel(fresh.client(now).map_err(failed)?);
        let issuer = Self {
            api,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            authority: Mutex::new(None),
            issued: Mutex::default(),
            tls,
        };
        issuer.refresh(now).await?;
        Ok(issuer)
    }

    /// The operator's side of TLS, as it is now and becomes.
    pub fn tls(&self) -> watch::Receiver<Arc<ClientConfig>> {
        self.tls.subscribe()
    }

    /// Reads the CA anew, replaces it where it is time to, and makes the operator's own certificate anew.
    pub async fn refresh(&self, now: i64) -> Result<(), StoreError> {
        let authority = self.stored(now).await?;
        let config = authority.client(now).map_err(|error| self.failed(error))?;
        *self.authority.lock().unwrap_or_else(PoisonError::into_inner) = Some(authority);
        self.tls.send_replace(config);
        Ok(())
    }

    /// The certificate of a server of this name with what its clients must chain to: the one that was issued before, or
    /// a new one where it is time to.
    pub fn server(&self, host: &str, now: i64) -> Result<(Identity, String), StoreError> {
        let authority = self.authority.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let authority = authority.ok_or_else(|| self.failed(Error::Stored("tls.crt")))?;
        let bundle = authority.bundle();
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = issued.get(host).filter(|known| now < known.renew && known.bundle == bundle) {
            return Ok((known.identity.clone(), bundle));
        }
        let identity = authority.server(host, now).map_err(|error| self.failed(error))?;
        let renew = now + SERVER_LIFE / 3 * 2;
        issued.insert(host.to_owned(), Issued { identity: identity.clone(), bundle: bundle.clone(), renew });
        Ok((identity, bundle))
    }

    async fn stored(&self, now: i64) -> Result<Authority, StoreError> {
        // Another replica may write at the same time: then what it wrote counts.
        loop {
            let found = self.api.get_opt(&self.name).await.map_err(|error| self.refused(error))?;
            let read = match &found {
                Some(secret) => {
                    let data = secret.data.clone().unwrap_or_default();
                    let data = data.into_iter().map(|(name, ByteString(bytes))| (name, bytes)).collect();
                    Some(Authority::read(&data).map_err(|error| self.failed(error))?)
                }
                None => None,
            };
            let wanted = match read {
                Some(authority) => match authority.rotated(now).map_err(|error| self.failed(error))? {
                    Some(successor) => successor,
                    None => return Ok(authority),
                },
                None => Authority::new(now).map_err(|error| self.failed(error))?,
            };
            let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
            let written = match found {
                Some(mut secret) => {
                    secret.data = Some(bytes(wanted.secret()));
                    self.api.replace(&self.name, &params, &secret).await
                }
                None => self.api.create(&params, &self.secret(&wanted)).await,
            };
            match written {
                Ok(_) => return Ok(wanted),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(self.refused(error)),
            }
        }
    }

    fn secret(&self, authority: &Authority) -> Secret {
        Secret {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                namespace: Some(self.namespace.clone()),
                labels: Some(
                    [("app.kubernetes.io/managed-by", FIELD_MANAGER), ("app.kubernetes.io/part-of", FIELD_MANAGER)]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .into(),
                ),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            data: Some(bytes(authority.secret())),
            ..Secret::default()
        }
    }

    fn failed(&self, error: Error) -> StoreError {
        StoreError::Certificate(format!("{}/{}", self.namespace, self.name), error)
    }

    fn refused(&self, error: kube::Error) -> StoreError {
        StoreError::Api(format!("{}/{}", self.namespace, self.name), Box::new(error))
    }
}

fn bytes(data: BTreeMap<String, String>) -> BTreeMap<String, ByteString> {
    data.into_iter().map(|(name, text)| (name, ByteString(text.into_bytes()))).collect()
}

/// The Secret with a model's certificate.
#[must_use]
pub(crate) fn server_secret(metadata: ObjectMeta, identity: &Identity, bundle: &str) -> Secret {
    let entry = |name: &str, text: &str| (name.to_owned(), ByteString(text.as_bytes().to_vec()));
    Secret {
        metadata,
        type_: Some("kubernetes.io/tls".to_owned()),
        data: Some(BTreeMap::from([
            entry("tls.crt", &identity.certificate),
            entry("tls.key", &identity.key),
            entry("ca.crt", bundle),
        ])),
        ..Secret::default()
    }
}
