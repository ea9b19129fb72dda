//! H.265 NAL units.

use super::{
    Headers, NalUnits,
    bits::{Payload, has_recovery_point},
};

/// `nal_unit_type` (H.265 table 7-1). Even types up to 14 are sub-layer non-reference pictures.
const LAST_NON_REFERENCE: u8 = 14;
const FIRST_RANDOM_ACCESS: u8 = 16;
const LAST_RANDOM_ACCESS: u8 = 23;
const LAST_SLICE: u8 = 31;
const SEQUENCE_PARAMETER_SET: u8 = 33;
const PREFIX_SEI: u8 = 39;

/// The two bytes before a NAL unit's payload (H.265 7.3.1.2).
struct Header {
    kind: u8,
    layer: u8,
    temporal_id: u8,
}

fn split_header(unit: &[u8]) -> Option<(Header, &[u8])> {
    let (header, body) = unit.split_at_checked(2)?;
    Some((
        Header {
            kind: header[0] >> 1 & 0x3f,
            layer: (header[0] & 1) << 5 | header[1] >> 3,
            temporal_id: (header[1] & 7).saturating_sub(1),
        },
        body,
    ))
}

/// The size of a NAL unit's length in an `hvcC` record (ISO/IEC 14496-15 8.3.3.1); 4 where the record is cut short.
pub(super) fn length_size(hvcc: &[u8]) -> usize {
    hvcc.get(21).map_or(4, |byte| usize::from(byte & 3) + 1)
}

/// The highest `TemporalId` that the sequence parameter sets in an `hvcC` record allow (ISO/IEC 14496-15 8.3.3.1).
pub(super) fn highest_temporal_id(hvcc: &[u8]) -> Option<u8> {
    let mut highest = None;
    let (arrays, mut rest) = hvcc.get(22..)?.split_first()?;
    for _ in 0..*arrays {
        let (head, units) = rest.split_at_checked(3)?;
        rest = units;
        for _ in 0..u16::from_be_bytes([head[1], head[2]]) {
            let (size, tail) = rest.split_at_checked(2)?;
            let (unit, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes([size[0], size[1]])))?;
            rest = tail;
            if let Some((Header { kind: SEQUENCE_PARAMETER_SET, layer: 0, .. }, body)) = split_header(unit) {
                highest = highest.max(sequence_highest_temporal_id(body));
            }
        }
    }
    highest
}

/// `sps_max_sub_layers_minus1` (H.265 7.3.2.2.1); 7 is forbidden.
fn sequence_highest_temporal_id(body: &[u8]) -> Option<u8> {
    let id = body.first()? >> 1 & 7;
    (id < 7).then_some(id)
}

/// A picture is disposable if no other of its own sub-layer refers to it and there is no higher sub-layer that could
/// (H.265 7.4.2.2).
pub(super) fn read(units: NalUnits<'_>, highest_temporal_id: &mut Option<u8>) -> Headers {
    let mut recovery_point = false;
    for unit in units {
        let Some((header, body)) = split_header(unit) else { continue };
        if header.layer != 0 {
            continue;
        }
        match header.kind {
            SEQUENCE_PARAMETER_SET => *highest_temporal_id = sequence_highest_temporal_id(body),
            PREFIX_SEI => recovery_point |= has_recovery_point(Payload::new(body)),
            FIRST_RANDOM_ACCESS..=LAST_RANDOM_ACCESS => {
                return Headers { key_frame: true, intra: true, disposable: false };
            }
            kind @ ..=LAST_SLICE => {
                return Headers {
                    key_frame: recovery_point,
                    intra: false,
                    disposable: kind <= LAST_NON_REFERENCE
                        && kind % 2 == 0
                        && *highest_temporal_id == Some(header.temporal_id),
                };
            }
            _ => {}
        }
    }
    Headers::default()
}
