#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const START: [u8; 4] = [0, 0, 0, 1];

fn byte_stream(units: &[&[u8]]) -> Vec<u8> {
    units.iter().flat_map(|unit| START.iter().chain(unit.iter())).copied().collect()
}

fn length_prefixed(units: &[&[u8]], size: usize) -> Vec<u8> {
    units
        .iter()
        .flat_map(|unit| {
            let length = (unit.len() as u64).to_be_bytes();
            length[8 - size..].iter().copied().chain(unit.iter().copied()).collect::<Vec<_>>()
        })
        .collect()
}

/// An `avcC` record with lengths of `size` bytes.
fn avcc(size: u8) -> Vec<u8> {
    vec![1, 100, 0, 31, 0xfc | (size - 1)]
}

/// An `hvcC` record with lengths of `size` bytes and one sequence parameter set.
fn hvcc(size: u8, sps: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 21];
    record.extend([size - 1, 1, 33, 0, 1]);
    record.extend((sps.len() as u16).to_be_bytes());
    record.extend(sps);
    record
}

/// Reads the same units in every framing and expects the same of each.
fn read(standard: Standard, codec_data: impl Fn(u8) -> Vec<u8>, units: &[&[u8]]) -> Headers {
    let expected = HeaderReader::new(standard, false, &codec_data(4)).read(&byte_stream(units));
    for size in [1, 2, 4] {
        let mut reader = HeaderReader::new(standard, true, &codec_data(size));
        assert_eq!(reader.read(&length_prefixed(units, size.into())), expected, "lengths of {size} bytes");
    }
    expected
}

const AUD_264: &[u8] = &[0x09, 0xf0];
const SPS_264: &[u8] = &[0x67, 0x64, 0, 0x1f];
/// A user data message that holds a start code's bytes behind emulation prevention, then a recovery point.
const SEI_264: &[u8] = &[0x06, 0x05, 0x04, 0, 0, 3, 1, 0xff, 0x06, 0x01, 0xc4, 0x80];
const IDR_264: &[u8] = &[0x65, 0x88, 0x84, 0];
/// `first_mb_in_slice` 0 (`1`), `slice_type` 7 (`0001000`): I.
const I_264: &[u8] = &[0x41, 0b1000_1000];
/// `slice_type` 5 (`00110`): P.
const P_264: &[u8] = &[0x41, 0b1001_1000];
/// `slice_type` 6 (`00111`): B; `nal_ref_idc` 0.
const B_264: &[u8] = &[0x01, 0b1001_1100];

#[test]
fn h264_access_units() {
    let read = |units: &[&[u8]]| read(Standard::H264, avcc, units);
    let headers = |key_frame, intra, disposable| Headers { key_frame, intra, disposable };
    assert_eq!(read(&[AUD_264, SPS_264, IDR_264]), headers(true, true, false));
    assert_eq!(read(&[AUD_264, P_264]), headers(false, false, false));
    assert_eq!(read(&[B_264, B_264]), headers(false, false, true));
    assert_eq!(read(&[I_264]), headers(false, true, false));
    assert_eq!(read(&[SEI_264, I_264]), headers(true, true, false));
    assert_eq!(read(&[SEI_264, P_264]), headers(true, false, false), "gradual refresh");
    assert_eq!(read(&[AUD_264, SPS_264]), headers(false, false, false), "no picture");
    assert_eq!(read(&[]), headers(false, false, false));
}

/// Payload of a sequence parameter set that allows `highest` as `TemporalId`.
fn sps_265(highest: u8) -> Vec<u8> {
    vec![0x42, 0x01, highest << 1 | 1, 0x60]
}

fn slice_265(kind: u8, temporal_id: u8) -> Vec<u8> {
    vec![kind << 1, temporal_id + 1, 0x80, 0x12]
}

#[test]
fn h265_access_units() {
    let with = |highest: u8, slice: &[u8]| read(Standard::H265, |size| hvcc(size, &sps_265(highest)), &[slice]);
    for kind in 16..=21 {
        assert!(with(0, &slice_265(kind, 0)).key_frame, "random access picture {kind}");
    }
    assert_eq!(with(0, &slice_265(1, 0)), Headers::default(), "TRAIL_R");
    assert!(with(0, &slice_265(0, 0)).disposable, "TRAIL_N in the only sub-layer");
    assert!(!with(2, &slice_265(0, 0)).disposable, "higher sub-layers may refer to it");
    assert!(with(2, &slice_265(2, 2)).disposable, "TSA_N in the highest sub-layer");
    assert!(!with(2, &slice_265(3, 2)).disposable, "TSA_R");
    assert!(!with(7, &slice_265(0, 7)).disposable, "7 is forbidden");
}

#[test]
fn h265_parameter_sets_in_the_stream_count() {
    let mut reader = HeaderReader::new(Standard::H265, false, &[]);
    assert!(!reader.read(&byte_stream(&[&slice_265(0, 0)])).disposable, "no parameter set yet");
    assert!(reader.read(&byte_stream(&[&sps_265(0), &slice_265(19, 0)])).key_frame);
    assert!(reader.read(&byte_stream(&[&slice_265(0, 0)])).disposable);
    reader.read(&byte_stream(&[&sps_265(1), &slice_265(19, 0)]));
    assert!(!reader.read(&byte_stream(&[&slice_265(0, 0)])).disposable);
    let other_layer = [0x01, 0x01 | 1 << 3, 0];
    assert_eq!(reader.read(&byte_stream(&[&other_layer])), Headers::default());
}

#[test]
fn h265_recovery_point() {
    let sei = [39 << 1, 1, 6, 1, 0x80];
    let slice = slice_265(1, 0);
    assert!(read(Standard::H265, |size| hvcc(size, &sps_265(0)), &[&sei, &slice]).key_frame);
}

#[test]
fn exp_golomb_codes() {
    for (bytes, number) in [
        (&[0b1000_0000_u8][..], Some(0)),
        (&[0b0100_0000], Some(1)),
        (&[0b0110_0000], Some(2)),
        (&[0b0010_0000], Some(3)),
        (&[0, 0, 3], None),
        (&[], None),
    ] {
        assert_eq!(bits::Bits::new(bits::Payload::new(bytes)).unsigned_exp_golomb(), number, "{bytes:?}");
    }
}

/// NAL-like bytes: many zeros, ones and threes, so that start codes and emulation prevention happen.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0_u8), 2 => Just(1_u8), 1 => Just(3_u8), 1 => Just(0xff_u8), 5 => any::<u8>()];
    proptest::collection::vec(byte, 0..600)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_are_read(
        h264 in any::<bool>(),
        length_prefixed in any::<bool>(),
        codec_data in bytes(),
        access_units in proptest::collection::vec(bytes(), 1..4),
    ) {
        let standard = if h264 { Standard::H264 } else { Standard::H265 };
        let mut reader = HeaderReader::new(standard, length_prefixed, &codec_data);
        for access_unit in &access_units {
            let headers = reader.read(access_unit);
            prop_assert!(!(headers.key_frame && headers.disposable && headers.intra));
        }
    }

    #[test]
    fn a_start_code_is_found_where_it_is(bytes in bytes()) {
        let expected = bytes.windows(3).position(|window| window == [0, 0, 1]);
        prop_assert_eq!(find_start_code(&bytes), expected);
    }

    #[test]
    fn emulation_prevention_is_taken_out(bytes in bytes()) {
        let mut escaped = Vec::new();
        let mut zeros = 0;
        for byte in &bytes {
            if zeros == 2 && *byte <= 3 {
                escaped.push(3);
                zeros = 0;
            }
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            escaped.push(*byte);
        }
        prop_assert_eq!(bits::Payload::new(&escaped).collect::<Vec<_>>(), bytes);
    }
}

/// The worst input for a parser that goes back: it must take time in proportion to the bytes.
#[test]
fn megabytes_of_anything_are_read_at_once() {
    let begin = std::time::Instant::now();
    for byte in [0, 1, 3, 6, 0xff] {
        let nothing = vec![byte; 4 << 20];
        let starts: Vec<u8> = [0, 0, 1, byte].repeat(1 << 20);
        for standard in [Standard::H264, Standard::H265] {
            for length_prefixed in [false, true] {
                let mut reader = HeaderReader::new(standard, length_prefixed, &nothing);
                reader.read(&nothing);
                reader.read(&starts);
            }
        }
    }
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}
