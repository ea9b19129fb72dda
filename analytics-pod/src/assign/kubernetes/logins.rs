//! The logins of sources, from Secrets of the cluster: looked up at each connection, so that a changed password is used
//! from the next one on, and kept over an outage of the API server.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use super::media::Media;
use crate::{
    assign::strict::SECRET_TYPE,
    observation::SourceKey,
    source::{Credentials, Failure, Input, Prepare, Reason},
};

/// How long the API server may take to answer before what is known is used.
const TIMEOUT: Duration = Duration::from_secs(3);

/// How long the right to read a Secret may take to arrive: it is given with the binding and seen by all API servers a
/// little later.
const FORBIDDEN_FOR: Duration = Duration::from_secs(10);

/// Between two tries of a Secret that may not be read yet.
const FORBIDDEN_RETRY: Duration = Duration::from_millis(500);

/// Completes inputs with logins, and holds files against the media mount.
#[derive(Clone)]
pub struct Logins {
    secrets: Api<Secret>,
    namespace: Arc<str>,
    media: Media,
    known: Arc<Mutex<BTreeMap<Arc<str>, Credentials>>>,
}

impl Logins {
    /// From the Secrets of `namespace`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, media: Media) -> Self {
        let secrets = Api::namespaced(client, namespace);
        Self { secrets, namespace: namespace.into(), media, known: Arc::default() }
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Credentials>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look_up(&self, name: &Arc<str>) -> Result<Credentials, Failure> {
        let id = format!("{}/{name}", self.namespace);
        let began = Instant::now();
        loop {
            match judge(&id, timeout(TIMEOUT, self.secrets.get(name)).await.ok()) {
                Answer::Found(credentials) => {
                    self.known().insert(Arc::clone(name), credentials.clone());
                    return Ok(credentials);
                }
                Answer::Forbidden(_) if began.elapsed() < FORBIDDEN_FOR => sleep(FORBIDDEN_RETRY).await,
                Answer::Forbidden(failure) => return Err(failure),
                // What is gone or changed for the worse is not used any more.
                Answer::Unusable(failure) => {
                    self.known().remove(name);
                    return Err(failure);
                }
                Answer::Silence(failure) => return self.known().get(name).cloned().ok_or(failure),
            }
        }
    }
}

impl Prepare for Logins {
    fn prepare(
        &self,
        _: &SourceKey,
        login: Option<&Arc<str>>,
        input: Input,
    ) -> BoxFuture<'static, Result<Input, Failure>> {
        let (logins, login) = (self.clone(), login.cloned());
        async move {
            let (media, uri) = (logins.media.clone(), input.uri.clone());
            let allowed = tokio::task::spawn_blocking(move || media.allows_resolved(&uri)).await;
            allowed.map_err(|error| Failure::new(Reason::PipelineFailed, error.to_string()))??;
            let credentials = match &login {
                Some(name) => Some(logins.look_up(name).await?),
                None => input.credentials.clone(),
            };
            Ok(Input { credentials, ..input })
        }
        .boxed()
    }
}

/// What an API server's answer means.
enum Answer {
    Found(Credentials),
    /// The pod may not read it, maybe not yet.
    Forbidden(Failure),
    /// There is none that can be used.
    Unusable(Failure),
    /// Nobody knows.
    Silence(Failure),
}

/// `None`: no answer in time.
fn judge(id: &str, answer: Option<kube::Result<Secret>>) -> Answer {
    let failed = |reason, message: String| Failure::new(reason, format!("Secret {id}: {message}"));
    let failure = |message: String| failed(Reason::AuthenticationFailed, message);
    let silence = |message: String| Answer::Silence(failed(Reason::Timeout, message));
    match answer {
        Some(Ok(secret)) => match credentials(&secret) {
            Ok(credentials) => Answer::Found(credentials),
            Err(problem) => Answer::Unusable(failure(problem)),
        },
        Some(Err(kube::Error::Api(status))) if status.code == 404 => {
            let message = "there is none; create it, or correct spec.credentialsSecretRef.name";
            Answer::Unusable(failure(message.to_owned()))
        }
        Some(Err(kube::Error::Api(status))) if status.code == 403 => {
            let message = "this pod may not read it; the operator gives it the right through the Role of its model";
            Answer::Forbidden(failed(Reason::PermissionDenied, message.to_owned()))
        }
        Some(Err(kube::Error::Api(status))) => {
            silence(format!("the API server answers {} {}", status.code, status.reason))
        }
        // Its words may quote what came; that it did not come is enough.
        Some(Err(_)) | None => silence("the API server does not answer".to_owned()),
    }
}

/// What a Secret of the one type that is read holds.
fn credentials(secret: &Secret) -> Result<Credentials, String> {
    let kind = secret.type_.as_deref().unwrap_or("Opaque");
    if kind != SECRET_TYPE {
        return Err(format!("is of type {kind}; only Secrets of type {SECRET_TYPE} are read"));
    }
    let text = |key: &str| match secret.data.as_ref().and_then(|data| data.get(key)) {
        None => Ok(None),
        Some(ByteString(bytes)) => match String::from_utf8(bytes.clone()) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(format!("its {key} is not UTF-8")),
        },
    };
    match (text("username")?, text("password")?) {
        (None, None) => Err("has neither username nor password".to_owned()),
        (username, password) => {
            Ok(Credentials { username: username.unwrap_or_default(), password: password.unwrap_or_default() })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn secret(kind: &str, data: &[(&str, &[u8])]) -> Secret {
        let data = data.iter().map(|&(key, value)| (key.to_owned(), ByteString(value.to_vec()))).collect();
        Secret { type_: Some(kind.to_owned()), data: Some(data), ..Secret::default() }
    }

    #[test]
    fn only_basic_auth_is_read() {
        let login = [("username", &b"viewer"[..]), ("password", &b"hunter2"[..])];
        let found = credentials(&secret(SECRET_TYPE, &login)).unwrap();
        assert_eq!((&*found.username, &*found.password), ("viewer", "hunter2"));
        let refused = credentials(&secret("Opaque", &login)).unwrap_err();
        assert!(refused.contains("type Opaque") && !refused.contains("hunter2"), "{refused}");
    }

    #[test]
    fn what_is_wrong_with_a_secret_is_said_without_it() {
        assert_eq!(credentials(&secret(SECRET_TYPE, &[])).unwrap_err(), "has neither username nor password");
        let bytes = credentials(&secret(SECRET_TYPE, &[("password", &[0xff, 0xfe][..])])).unwrap_err();
        assert_eq!(bytes, "its password is not UTF-8");
        let passphrase = credentials(&secret(SECRET_TYPE, &[("password", &b"p"[..])])).unwrap();
        assert_eq!((&*passphrase.username, &*passphrase.password), ("", "p"));
    }

    #[test]
    fn silence_keeps_what_is_known_and_an_answer_does_not() {
        let status =
            |code: u16| kube::Error::Api(Box::new(kube::core::Status { code, ..kube::core::Status::default() }));
        assert!(matches!(judge("yard/login", None), Answer::Silence(_)));
        assert!(matches!(judge("yard/login", Some(Err(status(500)))), Answer::Silence(_)));
        assert!(matches!(judge("yard/login", Some(Err(status(403)))), Answer::Forbidden(_)));
        let Answer::Unusable(failure) = judge("yard/login", Some(Err(status(404)))) else { panic!("usable") };
        assert_eq!(failure.reason, Reason::AuthenticationFailed);
        assert!(failure.message.starts_with("Secret yard/login: there is none"), "{failure}");
    }
}
