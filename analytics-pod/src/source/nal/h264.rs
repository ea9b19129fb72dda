//! H.264 NAL units.

use super::{
    Headers, NalUnits,
    bits::{Bits, Payload, has_recovery_point},
};

/// `nal_unit_type` (H.264 table 7-1).
const SLICE: u8 = 1;
const SLICE_PARTITION_A: u8 = 2;
const IDR_SLICE: u8 = 5;
const SEI: u8 = 6;

/// `slice_type` modulo 5 (H.264 table 7-6).
const I_SLICE: u32 = 2;
const SI_SLICE: u32 = 4;

/// The size of a NAL unit's length in an `avcC` record (ISO/IEC 14496-15 5.3.3.1); 4, by far the usual one, where the
/// record is cut short.
pub(super) fn length_size(avcc: &[u8]) -> usize {
    avcc.get(4).map_or(4, |byte| usize::from(byte & 3) + 1)
}

pub(super) fn read(units: NalUnits<'_>) -> Headers {
    let mut recovery_point = false;
    for unit in units {
        let Some((header, body)) = unit.split_first() else { continue };
        let reference = header >> 5 & 3 != 0;
        match header & 0x1f {
            SEI => recovery_point |= has_recovery_point(Payload::new(body)),
            IDR_SLICE => return Headers { key_frame: true, intra: true, disposable: false },
            SLICE | SLICE_PARTITION_A => {
                return Headers { key_frame: recovery_point, intra: is_intra(body), disposable: !reference };
            }
            _ => {}
        }
    }
    Headers::default()
}

/// Whether the slice whose header begins `body` is an I or SI slice (H.264 7.3.3).
fn is_intra(body: &[u8]) -> bool {
    let mut bits = Bits::new(Payload::new(body));
    let (Some(_first_macroblock), Some(slice_type)) = (bits.unsigned_exp_golomb(), bits.unsigned_exp_golomb()) else {
        return false;
    };
    slice_type < 10 && matches!(slice_type % 5, I_SLICE | SI_SLICE)
}
