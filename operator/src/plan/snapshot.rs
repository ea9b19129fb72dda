//! What the planner is told: the cluster as it looks now.

use std::{collections::BTreeMap, fmt, sync::Arc};

use super::Load;

/// An object's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl Key {
    /// The key of `name` in `namespace`.
    pub fn new(namespace: impl Into<Arc<str>>, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// Another object in the same namespace.
    #[must_use]
    pub fn beside(&self, name: impl Into<Arc<str>>) -> Self {
        Self { namespace: self.namespace.clone(), name: name.into() }
    }

    pub(super) fn parts(&self) -> (&str, &str) {
        (&self.namespace, &self.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The cluster as it looks at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The moment, in Unix milliseconds. All times here are.
    pub now: i64,
    /// The `DetectionModel`s.
    pub models: BTreeMap<Key, Model>,
    /// The analytics pods. Those of the writer's own creation are here as soon as the API server has answered, whether
    /// or not the watch has told of them.
    pub pods: BTreeMap<Key, Pod>,
    /// The `VideoSource`s.
    pub sources: BTreeMap<Key, Source>,
    /// The nodes; one that is not here (an operator that may not see nodes) is taken to be well.
    pub nodes: BTreeMap<Arc<str>, Node>,
}

/// Why an object cannot be served as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// One stable word.
    pub reason: Arc<str>,
    /// A sentence with the remedy.
    pub message: Arc<str>,
}

/// A DetectionModel, as far as it matters for where streams go.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Why no pods can be made from it.
    pub refusal: Option<Refusal>,
    /// Identifies what its pods are made from.
    pub template_hash: Arc<str>,
    /// Pods to keep while the number is automatic.
    pub min_pods: u64,
    /// Pods to have at the most.
    pub max_pods: u64,
    /// A fixed number of pods.
    pub replicas: Option<u64>,
    /// What the spec says that a pod takes, by dimension.
    pub declared: Declared,
    /// What is assumed of a pod that has not measured itself.
    pub assumed: Load,
    /// What a stream takes of which nothing is known yet.
    pub typical: Load,
    /// How long fewer pods must have been enough, in milliseconds.
    pub stabilization: i64,
    /// Streams to move in a round at the most, in percent; nothing: none are moved to even out the pods.
    pub rebalance_percent: Option<u64>,
    /// Pods that are replaced at the same time.
    pub max_surge: u64,
}

/// A capacity of which each dimension may be left open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// Streams.
    pub streams: Option<u64>,
    /// Thousandths of an inference per second.
    pub inferences: Option<u64>,
    /// Microseconds of decoder time per second.
    pub decode: Option<u64>,
}

impl Declared {
    /// Nothing is left open but the number of streams, which nothing has to limit.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.inferences.is_some() && self.decode.is_some()
    }

    /// This where it says something, else `other`.
    #[must_use]
    pub fn or(self, other: Load) -> Load {
        Load {
            streams: self.streams.unwrap_or(other.streams),
            inferences: self.inferences.unwrap_or(other.inferences),
            decode: self.decode.unwrap_or(other.decode),
        }
    }
}

/// How far Kubernetes is with a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PodPhase {
    /// Not running yet.
    Pending,
    /// At least one container runs, or is about to again.
    Running,
    /// All containers have ended for good.
    Finished,
}

/// Why a pod is to end although it is well. Kept at the pod, so that another operator goes on with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retirement {
    /// Fewer pods are enough, or asked for.
    ScaleDown,
    /// It was made from another template.
    Outdated,
}

/// An analytics pod.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own that Kubernetes tells")]
pub struct Pod {
    /// The model that it serves, in the same namespace.
    pub model: Arc<str>,
    /// Its node, once it has one.
    pub node: Option<Arc<str>>,
    /// When it was created.
    pub created: i64,
    /// What it was made from.
    pub template_hash: Arc<str>,
    /// How far Kubernetes is with it.
    pub phase: PodPhase,
    /// Kubernetes says that it is ready.
    pub ready: bool,
    /// It has a deletionTimestamp.
    pub deleting: bool,
    /// Somebody asked for its streams to leave, by the annotation `vision-operator.dev/evacuate`.
    pub evacuate: bool,
    /// Its node has a taint that it does not tolerate, which somebody put there.
    pub tainted: bool,
    /// It is to end.
    pub retiring: Option<Retirement>,
    /// It has the label that keeps evictions off.
    pub protected: bool,
    /// Since when it has not answered, or has answered that it does not serve although it did before.
    pub down_since: Option<i64>,
    /// What it last answered; nothing if it never has since the operator began to ask.
    pub report: Option<Report>,
}

/// What a pod told of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// It has a model in use and takes sources.
    pub serving: bool,
    /// It was told to end and takes no more sources.
    pub terminating: bool,
    /// What it can take, as measured.
    pub capacity: Option<Load>,
    /// How long frames have waited without an inference, in milliseconds.
    pub engine_stalled: u64,
    /// The sources that it holds.
    pub sources: BTreeMap<Key, Holding>,
}

/// What a pod tells of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Holding {
    /// The binding that it carries out.
    pub epoch: i64,
    /// Frames are decoded and inferred, for a handover.
    pub warm: bool,
    /// How the camera does.
    pub camera: Camera,
    /// What the stream takes, as measured.
    pub demand: Option<Load>,
}

/// How a camera does, as a pod sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Camera {
    /// Frames arrive.
    Streaming,
    /// No frames, for a reason that may be the pod's place in the network.
    Failing,
    /// No frames, and there would be none elsewhere: it refuses the login, was played to its end, was given up.
    Hopeless,
}

/// The binding of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The pod, in the same namespace.
    pub pod: Arc<str>,
    /// When it was decided, in Unix milliseconds, or later by as many as needed to be new.
    pub epoch: i64,
}

/// A VideoSource, as far as it matters for where it goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The model that it names, in the same namespace.
    pub model: Arc<str>,
    /// It is to be watched.
    pub enabled: bool,
    /// Why it cannot be watched.
    pub refusal: Option<Refusal>,
    /// Sources with a higher one are placed first.
    pub priority: i32,
    /// The camera takes one connection only.
    pub single_connection: bool,
    /// What it takes, by its spec.
    pub demand: Load,
    /// The pod that has it.
    pub assignment: Option<Binding>,
    /// The pod that warms up for it.
    pub handover: Option<Binding>,
    /// The highest epoch that a binding of it was given; 0: none.
    pub epoch: i64,
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its kubelet reports.
    pub ready: bool,
    /// Pods are to leave: it is unschedulable.
    pub draining: bool,
}
