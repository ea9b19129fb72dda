//! What the first bytes of an H.264 or H.265 access unit say about it: whether decoding can start there and whether
//! anything refers to it. Reads headers only, never the picture, and accepts any bytes.
//!
//! "H.264" is ITU-T Rec. H.264 (08/2021), "H.265" is ITU-T Rec. H.265 (08/2021).

mod bits;
mod h264;
mod h265;

use bits::find_start_code;

/// How NAL units are told apart in an access unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Start codes (H.264 and H.265, annex B): `stream-format=byte-stream`.
    StartCodes,
    /// A big-endian length of this many bytes (1–4) before each: `avc`, `avc3`, `hvc1`, `hev1`.
    Lengths(usize),
}

/// What is known of an access unit from its headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Headers {
    /// Decoding can start here by the standard: an IDR or other random access picture, or a recovery point.
    pub(super) key_frame: bool,
    /// Its first slice refers to no other picture. An encoder that sends no key frames can often be read from here.
    pub(super) intra: bool,
    /// No other access unit refers to it.
    pub(super) disposable: bool,
}

/// Which of the two standards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standard {
    /// ITU-T H.264.
    H264,
    /// ITU-T H.265.
    H265,
}

/// Reads the headers of the access units of one stream, in order.
#[derive(Clone, Debug)]
pub(super) struct HeaderReader {
    standard: Standard,
    framing: Framing,
    /// H.265: the highest `TemporalId` that the last sequence parameter set allows.
    highest_temporal_id: Option<u8>,
}

impl HeaderReader {
    /// A reader for a stream whose caps name `framing` by `length_prefixed` and carry `codec_data` (`avcC` or `hvcC`;
    /// empty where there is none).
    pub(super) fn new(standard: Standard, length_prefixed: bool, codec_data: &[u8]) -> Self {
        let (length_size, highest_temporal_id) = match standard {
            Standard::H264 => (h264::length_size(codec_data), None),
            Standard::H265 => (h265::length_size(codec_data), h265::highest_temporal_id(codec_data)),
        };
        let framing = if length_prefixed { Framing::Lengths(length_size) } else { Framing::StartCodes };
        Self { standard, framing, highest_temporal_id }
    }

    /// Reads the headers of `access_unit`. Stops at its first slice: all slices of a picture agree in what is asked
    /// here (H.264 7.4.1, `nal_ref_idc`; H.265 7.4.2.2, `nal_unit_type`).
    pub(super) fn read(&mut self, access_unit: &[u8]) -> Headers {
        let units = NalUnits { rest: access_unit, framing: self.framing };
        match self.standard {
            Standard::H264 => h264::read(units),
            Standard::H265 => h265::read(units, &mut self.highest_temporal_id),
        }
    }
}

/// The NAL units of an access unit, each from its header on. With start codes a unit reaches to the end of the access
/// unit: its own end is searched only when the next one is asked for, so that the bytes of a slice are not touched.
#[derive(Clone, Debug)]
struct NalUnits<'a> {
    rest: &'a [u8],
    framing: Framing,
}

impl<'a> Iterator for NalUnits<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        match self.framing {
            Framing::StartCodes => {
                let start = find_start_code(self.rest)?;
                self.rest = self.rest.get(start + 3..)?;
                Some(self.rest)
            }
            Framing::Lengths(size) => {
                let (prefix, rest) = self.rest.split_at_checked(size)?;
                let length = prefix.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                let (unit, rest) = rest.split_at(length.min(rest.len()));
                self.rest = rest;
                Some(unit)
            }
        }
    }
}

#[cfg(test)]
mod tests;
