//! The words for what happens to frames and sources, in metrics, status and reports.

/// Why a received access unit did not become an observation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// The queue before the decoder held a second of video; skipped to the next key frame.
    QueueOverflow,
    /// Nothing refers to it and the asked rate does not need it: not decoded.
    NotReferenced,
    /// Decoded because others refer to it, but not due at the asked rate.
    NotDue,
    /// A newer frame took its place before the detector was free.
    Superseded,
    /// The decoder gave no picture for it.
    Undecodable,
    /// It waited for a key frame after a loss or at the start.
    AwaitingKeyFrame,
    /// The model's run failed.
    InferenceFailed,
    /// The outputs were slower than the frames.
    OutputOverflow,
    /// The attempt ended while it was on its way.
    Stopped,
    /// Inferred while the source warms up for a handover: another pod publishes.
    Warming,
}

impl DropReason {
    /// Every reason, in the order of their counters.
    pub const ALL: [Self; 10] = [
        Self::QueueOverflow,
        Self::NotReferenced,
        Self::NotDue,
        Self::Superseded,
        Self::Undecodable,
        Self::AwaitingKeyFrame,
        Self::InferenceFailed,
        Self::OutputOverflow,
        Self::Stopped,
        Self::Warming,
    ];

    /// The word in metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueOverflow => "QueueOverflow",
            Self::NotReferenced => "NotReferenced",
            Self::NotDue => "NotDue",
            Self::Superseded => "Superseded",
            Self::Undecodable => "Undecodable",
            Self::AwaitingKeyFrame => "AwaitingKeyFrame",
            Self::InferenceFailed => "InferenceFailed",
            Self::OutputOverflow => "OutputOverflow",
            Self::Stopped => "Stopped",
            Self::Warming => "Warming",
        }
    }

    /// Whether the frame was left out because nobody asked for it, not because the pod was too slow.
    #[must_use]
    pub const fn is_by_request(self) -> bool {
        matches!(self, Self::NotReferenced | Self::NotDue | Self::Warming)
    }
}

/// A part of the work on a frame whose time is accounted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Stage {
    /// Access unit → picture (CPU time of the decoding thread).
    Decode,
    /// Picture → input tensor (CPU time).
    Convert,
    /// From the decoded picture in its slot to a worker taking it (elapsed time; costs no CPU).
    Wait,
    /// The model's run (CPU time of the process that the run accounts for).
    Infer,
    /// Output tensors → detections (CPU time).
    PostProcess,
    /// Detections → tracks (CPU time).
    Track,
    /// Tracks → published line (CPU time).
    Publish,
}

impl Stage {
    /// Every stage, in the order of the work.
    pub const ALL: [Self; 7] =
        [Self::Decode, Self::Convert, Self::Wait, Self::Infer, Self::PostProcess, Self::Track, Self::Publish];

    /// The word in metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Convert => "convert",
            Self::Wait => "wait",
            Self::Infer => "infer",
            Self::PostProcess => "post-process",
            Self::Track => "track",
            Self::Publish => "publish",
        }
    }
}

/// Where the supervisor of a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamState {
    /// Not started yet, or disabled.
    Idle,
    /// An attempt is under way and no frame has come.
    Connecting,
    /// Frames come.
    Streaming,
    /// No frame for the stall timeout.
    Stalled,
    /// Waiting before the next attempt.
    Backoff,
    /// Ended for good: a file that played once, or `recovery.maxAttempts` reached.
    Ended,
}

impl StreamState {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::Idle, Self::Connecting, Self::Streaming, Self::Stalled, Self::Backoff, Self::Ended];

    /// The word in metrics, status and the live view.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "Idle",
            Self::Connecting => "Connecting",
            Self::Streaming => "Streaming",
            Self::Stalled => "Stalled",
            Self::Backoff => "Backoff",
            Self::Ended => "Ended",
        }
    }
}
