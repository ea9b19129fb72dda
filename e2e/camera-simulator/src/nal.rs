//! Reads from H.264 and H.265 byte streams (ITU-T H.264 and H.265, Annex B) what others refer to.

use crate::config::Codec;

/// Whether other access units may refer to this one.
///
/// H.264: some slice has `nal_ref_idc` ≠ 0 (clause 7.4.1). H.265: some slice is not of a sub-layer non-reference type,
/// the even types up to 14 (table 7-1). An access unit without slices counts as referred to.
#[must_use]
pub fn is_reference(codec: Codec, access_unit: &[u8]) -> bool {
    let mut slices = units(access_unit).filter_map(|unit| {
        let header = *unit.first()?;
        match codec {
            Codec::H264 => (1..=5).contains(&(header & 0x1f)).then_some(header & 0x60 != 0),
            Codec::H265 => {
                let kind = header >> 1 & 0x3f;
                (kind < 32).then_some(kind > 14 || kind % 2 == 1)
            }
        }
    });
    match slices.next() {
        Some(first) => first || slices.any(|referred| referred),
        None => true,
    }
}

/// Where an access unit begins: at its delimiter (H.264 clause 7.4.1.2.3, H.265 clause 7.4.2.4.4), or at 0 if it has
/// none.
pub(crate) fn delimiter(codec: Codec, access_unit: &[u8]) -> usize {
    let is_delimiter = |header: u8| match codec {
        Codec::H264 => header & 0x1f == 9,
        Codec::H265 => header >> 1 & 0x3f == 35,
    };
    let found = access_unit.windows(4).position(|window| window[..3] == [0, 0, 1] && is_delimiter(window[3]));
    // The start code may have a leading zero.
    found.map_or(0, |at| if at > 0 && access_unit[at - 1] == 0 { at - 1 } else { at })
}

/// The NAL units of an access unit, without start codes.
fn units(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = skip_start_code(stream);
    std::iter::from_fn(move || {
        let unit = rest?;
        let end = find_start_code(unit);
        rest = end.and_then(|end| skip_start_code(&unit[end..]));
        Some(&unit[..end.unwrap_or(unit.len())])
    })
}

fn find_start_code(stream: &[u8]) -> Option<usize> {
    stream.windows(3).position(|window| window == [0, 0, 1])
}

fn skip_start_code(stream: &[u8]) -> Option<&[u8]> {
    find_start_code(stream).map(|at| &stream[at + 3..])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stream(headers: &[u8]) -> Vec<u8> {
        headers.iter().flat_map(|header| [0, 0, 0, 1, *header, 0x42, 0x42]).collect()
    }

    #[test]
    fn h264_slices_are_referred_to_by_their_ref_idc() {
        assert!(is_reference(Codec::H264, &stream(&[0x09, 0x67, 0x68, 0x65])), "IDR with its parameter sets");
        assert!(is_reference(Codec::H264, &stream(&[0x09, 0x41])), "P slice");
        assert!(!is_reference(Codec::H264, &stream(&[0x09, 0x06, 0x01])), "B slice behind a delimiter and an SEI");
        assert!(is_reference(Codec::H264, &stream(&[0x01, 0x41])), "one referred slice is enough");
    }

    #[test]
    fn h265_slices_are_referred_to_by_their_type() {
        assert!(is_reference(Codec::H265, &stream(&[32 << 1, 33 << 1, 34 << 1, 19 << 1])), "IDR_W_RADL");
        assert!(is_reference(Codec::H265, &stream(&[1 << 1])), "TRAIL_R");
        assert!(!is_reference(Codec::H265, &stream(&[0])), "TRAIL_N");
        assert!(!is_reference(Codec::H265, &stream(&[35 << 1, 8 << 1])), "RASL_N behind a delimiter");
    }

    #[test]
    fn without_slices_nothing_may_be_dropped() {
        assert!(is_reference(Codec::H264, &[]));
        assert!(is_reference(Codec::H264, &[0, 0, 1]));
        assert!(is_reference(Codec::H265, &stream(&[35 << 1])));
    }

    #[test]
    fn an_access_unit_begins_at_its_delimiter() {
        assert_eq!(delimiter(Codec::H264, &stream(&[0x67, 0x09, 0x65])), 7);
        assert_eq!(delimiter(Codec::H265, &stream(&[32 << 1, 34 << 1, 35 << 1, 32 << 1])), 14);
        assert_eq!(delimiter(Codec::H265, &stream(&[32 << 1, 34 << 1])), 0);
        assert_eq!(delimiter(Codec::H264, &[0, 0, 1, 9]), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(0u8..3, 0..64)) {
            let total: usize = units(&bytes).map(<[u8]>::len).sum();
            prop_assert!(total <= bytes.len());
            let sliced = units(&bytes).any(|unit| unit.first().is_some_and(|header| (1..=5).contains(&(header & 0x1f))));
            prop_assert!(sliced || is_reference(Codec::H264, &bytes));
        }
    }
}
