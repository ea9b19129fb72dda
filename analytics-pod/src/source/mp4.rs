//! The outermost boxes of an MP4 file (ISO/IEC 14496-12, 4.2), by which one that was cut off is told from a whole one.

use std::io::{self, Read, Seek, SeekFrom};

/// More boxes at the top than any recorder writes, fragments of a day included.
const MAX_BOXES: usize = 1_000_000;

/// The length that the boxes of an MP4 file say it has, where it is longer than `length`; `None` where all of it is
/// there, and of other files.
pub(super) fn missing_length(mut file: impl Read + Seek, length: u64) -> io::Result<Option<u64>> {
    let mut at = 0_u64;
    for number in 0..MAX_BOXES {
        if length.saturating_sub(at) < 8 {
            break;
        }
        file.seek(SeekFrom::Start(at))?;
        let mut header = [0; 8];
        file.read_exact(&mut header)?;
        let [a, b, c, d, kind @ ..] = header;
        if number == 0 && &kind != b"ftyp" {
            return Ok(None);
        }
        let size = match u32::from_be_bytes([a, b, c, d]) {
            // It reaches to the end, wherever that is.
            0 => return Ok(None),
            1 if length - at >= 16 => {
                let mut size = [0; 8];
                file.read_exact(&mut size)?;
                u64::from_be_bytes(size)
            }
            size => u64::from(size),
        };
        if size < 8 {
            return Ok(None);
        }
        at = at.saturating_add(size);
        if at > length {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn of(bytes: &[u8]) -> Option<u64> {
        missing_length(Cursor::new(bytes), bytes.len() as u64).unwrap()
    }

    fn boxed(kind: [u8; 4], content: usize) -> Vec<u8> {
        let size = u32::try_from(8 + content).unwrap().to_be_bytes();
        [&size[..], &kind, &vec![7; content]].concat()
    }

    #[test]
    fn a_cut_is_found_by_the_box_that_it_goes_through() {
        let whole = [boxed(*b"ftyp", 12), boxed(*b"moov", 40), boxed(*b"mdat", 100)].concat();
        assert_eq!(of(&whole), None);
        assert_eq!(of(&whole[..whole.len() - 1]), Some(whole.len() as u64));
        assert_eq!(of(&whole[..40]), Some(20 + 48));
        let large = [&boxed(*b"ftyp", 12)[..], &[0, 0, 0, 1], b"mdat", &1_000_000_u64.to_be_bytes(), &[0; 50]].concat();
        assert_eq!(of(&large), Some(20 + 1_000_000));
    }

    #[test]
    fn what_has_no_length_or_is_no_mp4_is_taken_as_it_is() {
        let open = [&boxed(*b"ftyp", 12)[..], &[0, 0, 0, 0], b"mdat", &[0; 50]].concat();
        for bytes in [&open[..], b"", b"this is a text", &boxed(*b"free", 3)[..9]] {
            assert_eq!(of(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            of(&[&boxed(*b"ftyp", 4)[..], &bytes].concat());
        }
    }
}
