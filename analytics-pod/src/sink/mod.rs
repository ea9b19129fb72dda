//! Where observations go: the [`Publisher`] turns inferred frames into [`Observation`]s and hands them to [`Sink`]s.

mod channel;
mod frame_files;
mod json_lines;
mod publisher;

pub use channel::{ChannelSink, NullSink};
pub use frame_files::FrameFiles;
pub use json_lines::JsonLines;
pub use publisher::{Publisher, PublisherEnd, SourceOutput, Sources, observe};

use std::{io, time::Duration};

use tracing::{info, warn};

use crate::{observation::Observation, telemetry::OutputTelemetry};

/// How long an output that cannot be written is left alone before it is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Notes, and says once, that `output` cannot be written, which may pass: room is made on a disk, a share comes back.
fn note_trouble(output: &OutputTelemetry, error: &io::Error) {
    if output.set_trouble(Some(error.to_string())) {
        warn!(output = output.name(), %error, "cannot be written; what finds no room to wait is dropped and counted");
    }
}

/// Notes, and says once, that `output` can be written again.
fn note_recovery(output: &OutputTelemetry) {
    if output.set_trouble(None) {
        info!(output = output.name(), "can be written again");
    }
}

/// Takes observations, one call a frame, in the order of publication.
pub trait Sink: Send {
    /// What messages call it.
    fn name(&self) -> &str;

    /// Takes `observation`. A sink for live sources never waits for its reader: where there is no room it refuses.
    fn publish(&mut self, observation: &Observation) -> Result<(), Refused>;

    /// Delivers what it still holds, waiting for a slow reader no longer than the sink's own limit. Called once, last.
    fn finish(&mut self) -> Result<(), SinkError>;
}

/// Why a sink did not take an observation.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its reader is slower than the frames; a later observation may be taken.
    #[error("the reader is slower than the frames")]
    Full,
    /// It takes nothing any more.
    #[error(transparent)]
    Broken(#[from] SinkError),
}

/// Why a sink takes nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The reader has gone: nobody wants more, which is no fault.
    #[error("{sink}: the reader has gone")]
    ReaderGone {
        /// The sink's name.
        sink: String,
    },
    /// Writing failed.
    #[error("{sink}: {message}")]
    Write {
        /// The sink's name.
        sink: String,
        /// The system's words.
        message: String,
    },
    /// What was published last did not reach the reader in time.
    #[error("{sink}: {bytes} bytes were not read in time and are lost")]
    Unread {
        /// The sink's name.
        sink: String,
        /// How much.
        bytes: usize,
    },
}

impl SinkError {
    /// Whether the reader ended it, as `head` does.
    #[must_use]
    pub const fn is_reader_gone(&self) -> bool {
        matches!(self, Self::ReaderGone { .. })
    }

    /// Whether the reader left or did not keep up, and nothing else went wrong.
    #[must_use]
    pub const fn is_readers_doing(&self) -> bool {
        matches!(self, Self::ReaderGone { .. } | Self::Unread { .. })
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use jiff::Timestamp;
    use serde_json::Map;

    use crate::observation::{CaptureClock, ModelReference, NormalizedBox, Observation, TrackedObject};

    /// A frame with one person in it.
    pub(crate) fn observation(frame: u64) -> Observation {
        let time = Timestamp::from_microsecond(1_795_000_000_123_456).unwrap_or_default();
        Observation {
            source: "gate".into(),
            namespace: "shop".into(),
            file: None,
            epoch: 7,
            session: 8,
            frame,
            capture_clock: CaptureClock::Arrival,
            capture_time: time,
            publish_time: time,
            width: 1280,
            height: 720,
            model: ModelReference { name: "starter".into(), digest: "sha256:00ff".into() },
            objects: vec![TrackedObject {
                track_id: Some(3),
                label: "person".into(),
                confidence: 0.875,
                bounding_box: NormalizedBox { x: 0.25, y: 0.5, width: 0.125, height: 0.25 },
                zones: Vec::new(),
            }],
            events: Vec::new(),
            inference_ms: 5.5,
            metadata: Map::new(),
        }
    }
}
