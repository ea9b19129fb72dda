//! A loop of encoded video in memory.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{config::Codec, nal};

/// A loop of access units in decoding order, as an H.264 or H.265 byte stream with parameter sets before key frames.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    pub(crate) format: Format,
    pub(crate) units: Vec<AccessUnit>,
    pub(crate) data: Bytes,
}

/// What kind of video a clip is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Format {
    /// Video codec.
    pub codec: Codec,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Frames per second.
    pub rate: FrameRate,
}

/// Frames per second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Frames …
    pub numerator: u32,
    /// … in this many seconds.
    pub denominator: u32,
}

/// One encoded picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessUnit {
    /// Its bytes in [`Clip::data`].
    pub(crate) bytes: Range<usize>,
    /// Its place in the loop as it is shown, the number in the barcode of a scene.
    pub(crate) frame: u32,
    /// Decoding can begin here.
    pub(crate) key: bool,
    /// Others may refer to it.
    pub(crate) reference: bool,
}

/// An access unit as an encoder or a parser delivered it.
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// Presentation time in any unit; only the order counts.
    pub(crate) presentation: u64,
    pub(crate) key: bool,
}

/// How many frames a loop has, and of what kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// All frames.
    pub frames: usize,
    /// Frames at which decoding can begin.
    pub key_frames: usize,
    /// Frames that no other refers to.
    pub non_reference_frames: usize,
}

impl FrameRate {
    /// Nanoseconds from frame 0 to frame `n`.
    pub(crate) fn nanos(self, n: u64) -> u64 {
        let nanos = u128::from(n) * 1_000_000_000 * u128::from(self.denominator) / u128::from(self.numerator.max(1));
        u64::try_from(nanos).unwrap_or(u64::MAX)
    }

    /// The last frame that is due `nanos` after frame 0.
    pub(crate) fn frame_at(self, nanos: u64) -> u64 {
        // One more than the time says, because `nanos` rounds down: the due time of frame n may be n's time less 1 ns.
        let scaled = (u128::from(nanos) + 1) * u128::from(self.numerator);
        let per_frame = 1_000_000_000 * u128::from(self.denominator.max(1));
        u64::try_from(scaled.saturating_sub(1) / per_frame).unwrap_or(u64::MAX)
    }

    /// Frames per second.
    #[must_use]
    pub fn per_second(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator.max(1))
    }
}

impl Clip {
    /// Puts access units in decoding order together; leading ones that cannot be decoded are left out. `None` if there
    /// is no key frame.
    pub(crate) fn assemble(format: Format, encoded: &[Encoded]) -> Option<Self> {
        let start = encoded.iter().position(|unit| unit.key)?;
        let encoded = &encoded[start..];
        let mut shown: Vec<usize> = (0..encoded.len()).collect();
        shown.sort_by_key(|&at| (encoded[at].presentation, at));
        let mut frames = vec![0; encoded.len()];
        for (frame, &at) in shown.iter().enumerate() {
            frames[at] = frame as u32;
        }
        let mut data = Vec::with_capacity(encoded.iter().map(|unit| unit.bytes.len()).sum());
        let units = encoded
            .iter()
            .zip(frames)
            .map(|(unit, frame)| {
                let begin = data.len();
                data.extend_from_slice(&unit.bytes);
                AccessUnit {
                    bytes: begin..data.len(),
                    frame,
                    key: unit.key,
                    reference: nal::is_reference(format.codec, &unit.bytes),
                }
            })
            .collect();
        Some(Self { format, units, data: data.into() })
    }

    /// What kind of video it is.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// How many frames of which kind it has.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            frames: self.units.len(),
            key_frames: self.units.iter().filter(|unit| unit.key).count(),
            non_reference_frames: self.units.iter().filter(|unit| !unit.reference).count(),
        }
    }

    /// Length of the loop in frames.
    pub(crate) fn len(&self) -> u64 {
        self.units.len() as u64
    }

    /// The `n`th access unit of the endless repetition.
    pub(crate) fn unit(&self, n: u64) -> &AccessUnit {
        &self.units[(n % self.len()) as usize]
    }

    /// The bytes of an access unit.
    pub(crate) fn bytes(&self, unit: &AccessUnit) -> Bytes {
        self.data.slice(unit.bytes.clone())
    }

    /// By how many frames presentation has to lag behind decoding so that no frame is shown before it is decoded.
    pub(crate) fn reorder(&self) -> u64 {
        self.units.iter().zip(0u64..).map(|(unit, at)| at.saturating_sub(u64::from(unit.frame))).max().unwrap_or(0)
    }

    /// The position of the last key frame at or before `n`.
    pub(crate) fn key_at_or_before(&self, n: u64) -> u64 {
        (0..=n).rev().find(|&at| self.unit(at).key).unwrap_or(0)
    }

    /// The position of the first key frame at or after `n`.
    pub(crate) fn key_at_or_after(&self, n: u64) -> u64 {
        (n..n + self.len()).find(|&at| self.unit(at).key).unwrap_or(n)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn clip(order: &[(u64, bool)]) -> Option<Clip> {
        let format =
            Format { codec: Codec::H264, width: 64, height: 64, rate: FrameRate { numerator: 25, denominator: 1 } };
        let unit = |&(presentation, key): &(u64, bool)| Encoded {
            bytes: vec![0, 0, 1, if key { 0x65 } else { 0x41 }, presentation as u8],
            presentation,
            key,
        };
        Clip::assemble(format, &order.iter().map(unit).collect::<Vec<_>>())
    }

    #[test]
    fn frames_are_numbered_as_they_are_shown() {
        let clip = clip(&[(0, true), (3, false), (1, false), (2, false)]).unwrap();
        let frames: Vec<_> = clip.units.iter().map(|unit| unit.frame).collect();
        assert_eq!(frames, [0, 3, 1, 2]);
        assert_eq!(clip.reorder(), 1);
        assert_eq!(clip.bytes(clip.unit(5))[4], 3, "the loop repeats");
    }

    #[test]
    fn a_loop_begins_at_a_key_frame() {
        assert!(clip(&[(0, false)]).is_none());
        let clip = clip(&[(0, false), (1, true), (2, false), (3, true), (4, false)]).unwrap();
        assert_eq!(clip.counts(), Counts { frames: 4, key_frames: 2, non_reference_frames: 0 });
        assert_eq!((clip.key_at_or_before(7), clip.key_at_or_after(7)), (6, 8));
    }

    proptest! {
        // Frames up to one that the slowest rate shows after 63 years at most: u64 holds no more than 584 years of nanoseconds.
        #[test]
        fn a_frame_is_due_at_its_time_and_not_before(
            numerator in 1u32..240_000, denominator in 1u32..2_000, n in 1u64..1_000_000,
        ) {
            let rate = FrameRate { numerator, denominator };
            prop_assert_eq!(rate.frame_at(rate.nanos(n)), n);
            prop_assert_eq!(rate.frame_at(rate.nanos(n) - 1), n - 1);
        }
    }
}
