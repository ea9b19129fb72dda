//! What `operator run` is told.

use std::net::SocketAddr;

use clap::{ArgAction, Args, ValueEnum};

use super::RunError;
use crate::pods::{Media, Settings};

/// What `operator run` is told.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// A namespace to serve; repeatable. None: all
    #[arg(long = "watch-namespace", env = "VISION_WATCH_NAMESPACES", value_delimiter = ',', value_name = "NAMESPACE")]
    pub watch_namespaces: Vec<String>,
    /// The image of pods with the native engine
    #[arg(long, env = "VISION_NATIVE_IMAGE", value_name = "IMAGE")]
    pub native_image: String,
    /// The image of pods with DeepStream; without it models that ask for it are refused
    #[arg(long, env = "VISION_DEEPSTREAM_IMAGE", value_name = "IMAGE")]
    pub deepstream_image: Option<String>,
    /// When nodes pull images: Always, `IfNotPresent` or Never
    #[arg(long, env = "VISION_IMAGE_PULL_POLICY", value_name = "POLICY")]
    pub image_pull_policy: Option<String>,
    /// The largest that a pod's cache of models may get
    #[arg(long, env = "VISION_CACHE_SIZE", value_name = "QUANTITY", default_value = "4Gi")]
    pub cache_size: String,
    /// The `PersistentVolumeClaim` with files to read, of the same name in each namespace
    #[arg(long, env = "VISION_MEDIA_CLAIM", value_name = "CLAIM")]
    pub media_claim: Option<String>,
    /// Where it is mounted in pods
    #[arg(long, env = "VISION_MEDIA_PATH", value_name = "PATH")]
    pub media_path: Option<String>,
    /// Whether evictions wait until streams have moved; needs the right to see nodes
    #[arg(long, env = "VISION_GATE_EVICTIONS", value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub gate_evictions: bool,
    /// Where /metrics, /livez and /readyz are served
    #[arg(long, env = "VISION_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// The Lease by which one of several replicas decides, in the operator's namespace
    #[arg(long, env = "VISION_LEASE", value_name = "NAME", default_value = "vision-operator")]
    pub lease: String,
    /// The Secret with the operator's own CA, in the operator's namespace
    #[arg(long, env = "VISION_CA_SECRET", value_name = "NAME", default_value = "vision-operator-ca")]
    pub ca_secret: String,
    /// The operator's own namespace
    #[arg(long, env = "VISION_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: String,
    /// Who this replica is among the others: its pod's name
    #[arg(long, env = "VISION_POD_NAME", value_name = "NAME")]
    pub identity: String,
    /// What is logged, such as `info` or `warn,operator=debug`
    #[arg(long, env = "VISION_LOG_LEVEL", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
    /// How it is written; absent: human on a terminal, JSON otherwise
    #[arg(long, env = "VISION_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Flags {
    /// What the pods have in common.
    pub(super) fn settings(&self) -> Result<Settings, RunError> {
        let media = match (&self.media_claim, &self.media_path) {
            (None, None) => None,
            (Some(claim), Some(path)) if path.starts_with('/') => {
                Some(Media { claim: claim.clone(), path: path.clone() })
            }
            (Some(_), Some(path)) => {
                return Err(RunError::Flag(format!("--media-path {path}: must be an absolute path")));
            }
            _ => {
                let message = "--media-claim and --media-path belong together: set both or none";
                return Err(RunError::Flag(message.to_owned()));
            }
        };
        if let Some(policy) = &self.image_pull_policy
            && !matches!(policy.as_str(), "Always" | "IfNotPresent" | "Never")
        {
            let message = format!("--image-pull-policy {policy}: must be Always, IfNotPresent or Never");
            return Err(RunError::Flag(message));
        }
        Ok(Settings {
            native_image: self.native_image.clone(),
            deepstream_image: self.deepstream_image.clone().filter(|image| !image.is_empty()),
            image_pull_policy: self.image_pull_policy.clone(),
            cache_size: self.cache_size.clone(),
            media,
            gate_evictions: self.gate_evictions,
        })
    }
}
