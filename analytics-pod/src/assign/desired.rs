//! What the pod is asked to run, resolved: no references left to look up.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use crds::{Detection, DetectionModelSpec, Protocol, VideoSourceSpec};

use super::strict::suggest;
use crate::{
    engine::DetectionSettings,
    model::ModelInfo,
    observation::SourceKey,
    source::{Credentials, Input, RtspProtocol, Transport, supervisor::Alternatives},
};

/// The namespace and name of a `DetectionModel`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelKey {
    /// The Kubernetes namespace (`default` without a cluster).
    pub namespace: Arc<str>,
    /// The object's name.
    pub name: Arc<str>,
}

impl ModelKey {
    /// A key from its two parts.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A model to detect with.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredModel {
    /// Which.
    pub key: ModelKey,
    /// As its manifest has it; `source.file` is absolute.
    pub spec: DetectionModelSpec,
}

/// A class that a source asks for and its model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model {model} has no class {class:?}; {remedy}")]
pub struct UnknownClass {
    /// The model.
    pub model: Arc<str>,
    /// As the source has it.
    pub class: String,
    /// The class that was probably meant, or all that there are.
    pub remedy: String,
}

/// What a source asks to detect, before its model is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectionRequest {
    /// Frames inferred per second at the most; `None`: every frame.
    pub fps: Option<f64>,
    /// Objects below this confidence are not reported; `None`: the model's thresholds.
    pub confidence: Option<f32>,
    /// Boxes of a class that overlap more than this are one object; `None`: the model's own.
    pub iou: Option<f32>,
    /// Classes to report, by name; `None`: all.
    pub classes: Option<Vec<String>>,
    /// Objects per frame at the most; `None`: the model's own.
    pub max_objects: Option<usize>,
}

impl DetectionRequest {
    /// The engine's settings for `model`.
    ///
    /// # Errors
    /// A class that the model does not know.
    pub fn settings(&self, model: &ModelInfo) -> Result<DetectionSettings, UnknownClass> {
        let index = |class: &String| {
            model.labels.iter().position(|label| **label == **class).map(|index| index as u32).ok_or_else(|| {
                let labels: Vec<&str> = model.labels.iter().map(AsRef::as_ref).collect();
                UnknownClass { model: model.name.clone(), class: class.clone(), remedy: suggest(class, &labels) }
            })
        };
        let classes = self.classes.as_ref().map(|classes| classes.iter().map(index).collect::<Result<_, _>>());
        Ok(DetectionSettings {
            fps: self.fps,
            confidence: self.confidence,
            iou: self.iou,
            classes: classes.transpose()?,
            max_objects: self.max_objects.unwrap_or(model.thresholds.max_objects),
            ..DetectionSettings::default()
        })
    }
}

/// What `detection` says, and what `defaults` say where it says nothing. `fps` and `interval` are two ways to say one
/// thing; an empty list of classes says that all are wanted.
fn filled(detection: &Detection, defaults: &Detection) -> Detection {
    let says_rate = detection.fps.is_some() || detection.interval.is_some();
    let rate = if says_rate { detection } else { defaults };
    Detection {
        fps: rate.fps,
        interval: rate.interval,
        confidence: detection.confidence.or(defaults.confidence),
        iou: detection.iou.or(defaults.iou),
        classes: detection.classes.as_ref().or(defaults.classes.as_ref()).cloned(),
        max_objects: detection.max_objects.or(defaults.max_objects),
    }
}

impl From<&Detection> for DetectionRequest {
    fn from(detection: &Detection) -> Self {
        let every = detection.interval.map(|interval| 1.0 / interval.get().as_secs_f64());
        Self {
            fps: detection.fps.map(f64::from).or(every),
            confidence: detection.confidence.map(|confidence| confidence as f32),
            iou: detection.iou.map(|iou| iou as f32),
            classes: detection.classes.clone().filter(|classes| !classes.is_empty()),
            max_objects: detection.max_objects.and_then(|count| usize::try_from(count).ok()),
        }
    }
}

/// What to do when a source fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryPolicy {
    /// How long no frame may come before the connection is given up.
    pub stall_timeout: Duration,
    /// The wait before the first new attempt.
    pub initial_backoff: Duration,
    /// The longest wait between two attempts; never less than `initial_backoff`.
    pub max_backoff: Duration,
    /// Failed attempts in a row after which the source is given up; `None`: never.
    pub max_attempts: Option<NonZeroU32>,
}

impl From<&crds::Recovery> for RecoveryPolicy {
    fn from(recovery: &crds::Recovery) -> Self {
        Self {
            stall_timeout: recovery.stall_timeout.get(),
            initial_backoff: recovery.initial_backoff.get(),
            max_backoff: recovery.max_backoff.get(),
            max_attempts: u32::try_from(recovery.max_attempts).ok().and_then(NonZeroU32::new),
        }
    }
}

impl Default for RecoveryPolicy {
    fn default() -> Self {
        Self::from(&crds::Recovery::default())
    }
}

/// The binding of a source to this pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// See [`crate::observation::StreamIdentity::epoch`].
    pub epoch: u64,
    /// Whether what is seen is published; otherwise the stream is opened, decoded and inferred for a handover.
    pub publishes: bool,
}

/// A source to run.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredSource {
    /// Which.
    pub key: SourceKey,
    /// What to read.
    pub input: Input,
    /// What to read in turn when that fails.
    pub fallbacks: Vec<url::Url>,
    /// What to detect.
    pub detection: DetectionRequest,
    /// What to detect with.
    pub model: ModelKey,
    /// Give objects an identity.
    pub tracking: bool,
    /// What to do when it fails.
    pub recovery: RecoveryPolicy,
    /// Connections that the source takes at the same time; `None`: any number.
    pub max_connections: Option<NonZeroU32>,
    /// In a cluster the binding; `None`: the source is this pod's for as long as that runs.
    pub binding: Option<Binding>,
    /// The Secret whose login is looked up before each connection; `None`: the input has what it needs.
    pub login: Option<Arc<str>>,
}

impl DesiredSource {
    /// Resolves a spec that breaks no rule; `uri` and `fallbacks` are its URIs, parsed.
    #[must_use]
    pub fn resolve(
        key: SourceKey,
        spec: &VideoSourceSpec,
        uri: url::Url,
        fallbacks: Vec<url::Url>,
        credentials: Option<Credentials>,
    ) -> Self {
        let transport = Transport {
            protocol: match spec.transport.protocol {
                Protocol::Auto => RtspProtocol::Auto,
                Protocol::Tcp => RtspProtocol::Tcp,
                Protocol::Udp => RtspProtocol::Udp,
            },
            latency: spec.transport.latency.get(),
            drop_on_latency: spec.transport.drop_on_latency,
            insecure_skip_tls_verify: spec.transport.insecure_skip_tls_verify,
        };
        Self {
            model: ModelKey::new(&key.namespace, &spec.model_ref.name),
            key,
            input: Input { uri, credentials, transport, capture: spec.capture, repeat: spec.repeat },
            fallbacks,
            detection: DetectionRequest::from(&spec.detection),
            tracking: spec.tracking.enabled,
            recovery: RecoveryPolicy::from(&spec.recovery),
            max_connections: spec.max_connections.and_then(|count| u32::try_from(count).ok()).and_then(NonZeroU32::new),
            binding: None,
            login: None,
        }
    }

    /// What a new attempt is needed for if it changes. Another epoch is another binding, which begins anew.
    fn connection(&self) -> impl PartialEq {
        let epoch = self.binding.map(|binding| binding.epoch);
        (&self.input, &self.fallbacks, self.max_connections, epoch, &self.login)
    }

    /// Every place of the source, in the order in which they are tried. A camera that takes one connection only is not
    /// asked whether it is back while its second stream is read.
    #[must_use]
    pub fn alternatives(&self) -> Alternatives {
        let fallback = |uri: &url::Url| Input { uri: uri.clone(), ..self.input.clone() };
        let inputs = [self.input.clone()].into_iter().chain(self.fallbacks.iter().map(fallback)).collect();
        Alternatives { inputs, ask_first: self.max_connections != NonZeroU32::new(1) }
    }
}

/// Everything that the pod is asked to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DesiredState {
    /// The sources that are enabled.
    pub sources: BTreeMap<SourceKey, Arc<DesiredSource>>,
    /// The sources that are not.
    pub disabled: BTreeSet<SourceKey>,
    /// What was asked of each source, enabled or not, as it was written.
    pub specs: BTreeMap<SourceKey, Arc<VideoSourceSpec>>,
    /// Every model, whether a source uses it or not.
    pub models: BTreeMap<ModelKey, Arc<DesiredModel>>,
}

/// Which parts of a source changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "the parts change independently of one another")]
pub struct ChangedParts {
    /// What to read and how: a new attempt is needed.
    pub connection: bool,
    /// What to do when it fails; the running attempt is not touched.
    pub recovery: bool,
    /// What to detect; the running attempt takes it over.
    pub detection: bool,
    /// Whether objects have an identity.
    pub tracking: bool,
    /// Whether what is seen is published.
    pub publishes: bool,
    /// What to detect with: another model, or the model itself changed.
    pub model: bool,
}

/// A source that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangedSource {
    /// As it is to be.
    pub source: Arc<DesiredSource>,
    /// What is different.
    pub parts: ChangedParts,
}

/// The way from one state to another. All lists are in the order of the keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Sources to stop.
    pub removed: Vec<SourceKey>,
    /// Sources to change.
    pub changed: Vec<ChangedSource>,
    /// Sources to start.
    pub added: Vec<Arc<DesiredSource>>,
}

impl Changes {
    /// Nothing is to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.changed.is_empty() && self.added.is_empty()
    }
}

impl DesiredState {
    /// Sources detect what `defaults` say where they do not say it themselves.
    pub(super) fn fill_detection(&mut self, defaults: &Detection) {
        if *defaults == Detection::default() {
            return;
        }
        for (key, source) in &mut self.sources {
            let Some(spec) = self.specs.get(key) else { continue };
            let detection = DetectionRequest::from(&filled(&spec.detection, defaults));
            if source.detection != detection {
                Arc::make_mut(source).detection = detection;
            }
        }
    }

    /// What is to do to get here from `old`.
    #[must_use]
    pub fn changes_from(&self, old: &Self) -> Changes {
        let mut changes = Changes {
            removed: old.sources.keys().filter(|key| !self.sources.contains_key(key)).cloned().collect(),
            ..Changes::default()
        };
        for (key, source) in &self.sources {
            let Some(before) = old.sources.get(key) else {
                changes.added.push(source.clone());
                continue;
            };
            let parts = ChangedParts {
                connection: source.connection() != before.connection(),
                recovery: source.recovery != before.recovery,
                detection: source.detection != before.detection,
                tracking: source.tracking != before.tracking,
                publishes: source.binding != before.binding,
                model: source.model != before.model || self.models.get(&source.model) != old.models.get(&before.model),
            };
            if parts != ChangedParts::default() {
                changes.changed.push(ChangedSource { source: source.clone(), parts });
            }
        }
        changes
    }
}
