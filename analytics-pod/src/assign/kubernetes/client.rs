//! The way to the API server.

use std::time::Duration;

use kube::{
    Client, Config,
    config::{InferConfigError, KubeConfigOptions, Kubeconfig},
};

/// How long a connection to the API server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the API server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing says where it is.
    #[error("there is no way to an API server: {0}; run it in a pod with a service account, or set KUBECONFIG")]
    Unknown(Box<InferConfigError>),
    /// What says where it is cannot be used.
    #[error("the API server cannot be asked: {0}")]
    Unusable(Box<kube::Error>),
    /// There is a kubeconfig that cannot be used.
    #[error("KUBECONFIG: {0}")]
    Kubeconfig(Box<kube::config::KubeconfigError>),
}

/// By `KUBECONFIG` where that is set, else by the pod's service account.
///
/// # Errors
/// Where neither can be used. The API server is not asked yet.
pub async fn client() -> Result<Client, ClientError> {
    let mut config = match std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty()) {
        Some(_) => {
            let failed = |error| ClientError::Kubeconfig(Box::new(error));
            let kubeconfig = Kubeconfig::from_env().map_err(failed)?.unwrap_or_default();
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.map_err(failed)?
        }
        None => Config::infer().await.map_err(|error| ClientError::Unknown(Box::new(error)))?,
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    Client::try_from(config).map_err(|error| ClientError::Unusable(Box::new(error)))
}
