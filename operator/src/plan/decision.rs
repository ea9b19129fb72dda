//! What the planner decides, and why.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use super::{Key, Load, Memory, Retirement};

/// What is to be done, and what the next round needs to remember.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What is to be done, in this order.
    pub decisions: Vec<Decision>,
    /// The sources that have no pod and are not being given one, with why.
    pub pending: BTreeMap<Key, Pending>,
    /// How the models stand.
    pub models: BTreeMap<Key, Standing>,
    /// To be given to the next round.
    pub memory: Memory,
}

/// One thing to do. Each names its objects in full: nothing else needs to be looked up to carry it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Make a pod.
    CreatePod {
        /// Its name, which no other pod has had.
        pod: Key,
        /// The model, in the same namespace.
        model: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// End a pod; nothing is bound to it.
    DeletePod {
        /// The pod.
        pod: Key,
        /// Why.
        reason: Reason,
    },
    /// Note at a pod that it is to end once its streams have moved.
    RetirePod {
        /// The pod.
        pod: Key,
        /// What to note.
        retirement: Retirement,
        /// Why.
        reason: Reason,
    },
    /// Take that note back.
    KeepPod {
        /// The pod.
        pod: Key,
        /// Why.
        reason: Reason,
    },
    /// Keep evictions off a pod.
    ProtectPod {
        /// The pod.
        pod: Key,
        /// Why.
        reason: Reason,
    },
    /// Let a pod be evicted: its streams have moved.
    UnprotectPod {
        /// The pod.
        pod: Key,
        /// Why.
        reason: Reason,
    },
    /// Give a source to a pod at once.
    Bind {
        /// The source.
        source: Key,
        /// The pod, in the same namespace.
        pod: Arc<str>,
        /// Its node.
        node: Option<Arc<str>>,
        /// The new epoch.
        epoch: i64,
        /// Why.
        reason: Reason,
    },
    /// Let another pod warm up for a source.
    StartHandover {
        /// The source.
        source: Key,
        /// The pod that has it.
        from: Arc<str>,
        /// The pod that is to have it.
        to: Arc<str>,
        /// The epoch that the assignment will have.
        epoch: i64,
        /// Why.
        reason: Reason,
    },
    /// Give a source to the pod that warmed up for it.
    FinishHandover {
        /// The source.
        source: Key,
        /// That pod.
        pod: Arc<str>,
        /// Its node.
        node: Option<Arc<str>>,
        /// The epoch of the handover.
        epoch: i64,
        /// Why.
        reason: Reason,
    },
    /// Leave a source where it is.
    AbortHandover {
        /// The source.
        source: Key,
        /// The pod that was to have it.
        pod: Arc<str>,
        /// Why.
        reason: Reason,
    },
    /// Take a source from its pod, without another one yet, or at all.
    Release {
        /// The source.
        source: Key,
        /// The pod that loses it.
        pod: Arc<str>,
        /// Why.
        reason: Reason,
    },
}

impl Decision {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::CreatePod { reason, .. }
            | Self::DeletePod { reason, .. }
            | Self::RetirePod { reason, .. }
            | Self::KeepPod { reason, .. }
            | Self::ProtectPod { reason, .. }
            | Self::UnprotectPod { reason, .. }
            | Self::Bind { reason, .. }
            | Self::StartHandover { reason, .. }
            | Self::FinishHandover { reason, .. }
            | Self::AbortHandover { reason, .. }
            | Self::Release { reason, .. } => *reason,
        }
    }

    /// The kind of decision, as a label of metrics.
    #[must_use]
    pub fn action(&self) -> &'static str {
        match self {
            Self::CreatePod { .. } => "CreatePod",
            Self::DeletePod { .. } => "DeletePod",
            Self::RetirePod { .. } => "RetirePod",
            Self::KeepPod { .. } => "KeepPod",
            Self::ProtectPod { .. } => "ProtectPod",
            Self::UnprotectPod { .. } => "UnprotectPod",
            Self::Bind { .. } => "Bind",
            Self::StartHandover { .. } => "StartHandover",
            Self::FinishHandover { .. } => "FinishHandover",
            Self::AbortHandover { .. } => "AbortHandover",
            Self::Release { .. } => "Release",
        }
    }

    /// The source that this is about.
    #[must_use]
    pub fn source(&self) -> Option<&Key> {
        match self {
            Self::Bind { source, .. }
            | Self::StartHandover { source, .. }
            | Self::FinishHandover { source, .. }
            | Self::AbortHandover { source, .. }
            | Self::Release { source, .. } => Some(source),
            _ => None,
        }
    }
}

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $word:ident => $sentence:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $word,)* }

        impl $name {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$word,)*];

            /// The stable word: the reason of events and conditions, and a label of metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word),)* }
            }

            /// The same as a sentence.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$word => $sentence,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words! {
    /// Why something was decided.
    Reason {
        /// A source gets its first pod, or one again after a wait.
        Placed => "a pod has room for it",
        /// A pod is gone or does not answer.
        PodLost => "its pod is gone or does not answer",
        /// Frames wait, but the pod infers none.
        EngineHangs => "frames wait, but its pod's engine does not take them",
        /// The pod is being deleted.
        PodDeleted => "its pod is being deleted",
        /// The pod's node is being drained.
        NodeDrains => "the node is being drained",
        /// The pod has the evacuate annotation.
        Evacuated => "the pod has the annotation vision-operator.dev/evacuate",
        /// Fewer pods are enough.
        ScaleDown => "fewer pods are enough",
        /// More pods are needed.
        ScaleUp => "sources need more room",
        /// The least number of pods is not there.
        MinimumPods => "fewer pods than asked for are there",
        /// The pod was made from another template.
        TemplateChanged => "what pods are made from has changed",
        /// The source names another model.
        ModelChanged => "the source names another model",
        /// The pods are loaded unevenly.
        Rebalance => "the pods are loaded unevenly",
        /// The camera fails on its pod.
        CameraFails => "the camera fails on its pod, another one may reach it",
        /// The new pod was warm.
        Warm => "the new pod is warm",
        /// The new pod was not warm in time.
        NotWarmInTime => "the new pod was not warm within 15 s",
        /// The new pod is gone, or leaves as well.
        TargetLost => "the new pod is gone, or has to go as well",
        /// The reason of the handover is gone.
        NotNeeded => "it is no longer needed",
        /// The source is not enabled.
        Disabled => "the source is not enabled",
        /// The source cannot be watched as it is.
        NotAccepted => "the source cannot be watched as it is",
        /// The number of pods was set to 0.
        NoPodsWanted => "the number of pods was set to 0",
        /// All streams have left the pod.
        StreamsMoved => "all its streams have moved",
        /// The pod's containers have ended.
        PodFinished => "its containers have ended for good",
        /// The pod has not answered for a minute.
        Unresponsive => "it has not answered for a minute",
        /// The pod takes streams again.
        InUse => "it takes streams",
    }
}

words! {
    /// Why a source has no pod.
    PendingReason {
        /// It is not enabled.
        Disabled => "the source is not enabled",
        /// It cannot be watched as it is.
        NotAccepted => "the source cannot be watched as it is",
        /// There is no model of that name.
        ModelNotFound => "there is no DetectionModel of this name in the namespace",
        /// The model cannot be served as it is.
        ModelNotAccepted => "the DetectionModel cannot be served as it is",
        /// The pod that had it has not let go of it yet.
        Releasing => "the pod that had it is letting go of it",
        /// A pod is starting.
        WaitingForPod => "a pod for it is starting",
        /// All pods are full, and no more are allowed.
        InsufficientCapacity => "all pods are full, and no more are allowed (spec.serving.maxPods or replicas)",
        /// It takes more than a whole pod can.
        ExceedsPod => "it takes more than one pod can: lower detection.fps, or raise serving.capacity",
        /// The number of pods was set to 0.
        NoPodsWanted => "the DetectionModel's replicas are 0",
    }
}

/// Why a source has no pod, and what would give it one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The stable word.
    pub reason: PendingReason,
    /// For [`PendingReason::InsufficientCapacity`] and [`PendingReason::ExceedsPod`]: what is missing.
    pub shortage: Option<Shortage>,
}

impl Pending {
    /// For this reason, with nothing to add.
    #[must_use]
    pub const fn of(reason: PendingReason) -> Self {
        Self { reason, shortage: None }
    }

    /// Why, and what to do.
    #[must_use]
    pub fn sentence(&self) -> Cow<'static, str> {
        match (self.reason, &self.shortage) {
            (PendingReason::InsufficientCapacity, Some(shortage)) => shortage.of_pods().into(),
            (PendingReason::ExceedsPod, Some(shortage)) => shortage.of_one_pod().into(),
            (reason, _) => reason.sentence().into(),
        }
    }
}

/// The room that a source lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// By how much it does not fit on the pod with the most room, or on an empty one for
    /// [`PendingReason::ExceedsPod`].
    pub missing: Load,
    /// What is planned on one pod at the most.
    pub pod: Load,
    /// Sources of the model that wait for room, this one too.
    pub waiting: u64,
    /// Pods that there may be.
    pub allowed: Allowed,
    /// Pods that would have room for all of them.
    pub enough: u64,
}

/// What says how many pods a model may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// `serving.maxPods`.
    MaxPods(u64),
    /// `serving.replicas`, a fixed number.
    Replicas(u64),
}

impl Allowed {
    /// The field of the spec, and what it says.
    const fn field(self) -> (&'static str, u64) {
        match self {
            Self::MaxPods(now) => ("maxPods", now),
            Self::Replicas(now) => ("replicas", now),
        }
    }
}

impl Shortage {
    /// For one source: what it lacks. How many others wait is the model's to say, or each would change with every other.
    fn of_pods(&self) -> String {
        let (missing, (field, now)) = (self.missing.words(), self.allowed.field());
        format!(
            "no pod has room: the emptiest lacks {missing}; raise serving.{field}, which is {now}, with nodes for the pods, \
             or lower detection.fps"
        )
    }

    /// For the model: how many sources wait, and how many pods would do.
    #[must_use]
    pub fn of_all(&self) -> String {
        let Self { waiting, enough, .. } = self;
        let (field, now) = self.allowed.field();
        let waits = if *waiting == 1 { "1 source waits".to_owned() } else { format!("{waiting} sources wait") };
        // Whoever may have more pods than there are only waits for them.
        let to = (*enough).max(now + 1);
        format!(
            "{waits} for room: raise serving.{field} from {now} to {to}, with nodes for the pods, or lower detection.fps of \
             sources"
        )
    }

    fn of_one_pod(&self) -> String {
        let (missing, pod) = (self.missing.words(), self.pod.words());
        format!(
            "it takes {missing} more than one pod can, which is planned for {pod}: lower detection.fps, or raise \
             serving.capacity"
        )
    }
}

/// How a model stands after the decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Pods that serve or are about to, without those that are to end.
    pub pods: u64,
    /// Pods that take sources.
    pub ready: u64,
    /// Pods that were made from the present template.
    pub updated: u64,
    /// Sources that are bound to a pod.
    pub streams: u64,
    /// Sources that wait for one.
    pub pending: u64,
    /// Streams that the pods which take sources can hold together.
    pub capacity: u64,
    /// What one pod takes.
    pub pod_capacity: Load,
    /// What its sources lack that found no room.
    pub shortage: Option<Shortage>,
    /// Pods that should go but whose streams no other pod has room for.
    pub blocked: u64,
    /// More than half of the pods stopped answering together: their streams are left where they are.
    pub cut_off: bool,
}
