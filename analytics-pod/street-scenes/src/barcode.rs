//! A number as a barcode in the picture, sturdy enough to survive lossy encoding and scaling.
//!
//! The code is a block of [`COLUMNS`] × [`ROWS`] black and white cells in the top left corner, each 1/64 of the
//! picture's width by 1/48 of its height, so it keeps its place when the picture is scaled as a whole. Row by row, most
//! significant bit first, it holds the 64 bits of the number and their CRC-32, both mixed with a fixed pattern so that
//! every number has cells of both kinds. A reading whose checksum or contrast is wrong is refused.

use crate::Picture;

/// Cells side by side.
pub const COLUMNS: u32 = 24;
/// Cells one above the other.
pub const ROWS: u32 = 4;
/// Cells that would fit side by side in the whole picture.
const COLUMNS_OF_PICTURE: u32 = 64;
/// Cells that would fit one above the other in the whole picture.
const ROWS_OF_PICTURE: u32 = 48;
/// Black and white of limited range.
const LEVELS: [u8; 2] = [16, 235];
/// Dark and bright cells must differ by at least this much on average.
const MIN_CONTRAST: f32 = 48.0;
/// Makes cells of both kinds out of any number; half of its bits are set.
const PATTERN: u128 = 0x9A5C_36C9_5A63_A935_C69A_5C39;

/// Draws `number` into the top left corner of `picture`.
pub fn draw(picture: &mut Picture, number: u64) {
    let bits = cells(number);
    let width = picture.width as usize;
    for row in 0..ROWS {
        for column in 0..COLUMNS {
            let level = LEVELS[usize::from(bit(bits, row, column))];
            let (left, right) = edges(picture.width, column, COLUMNS_OF_PICTURE);
            let (top, bottom) = edges(picture.height, row, ROWS_OF_PICTURE);
            for line in top..bottom {
                picture.y[line * width + left..line * width + right].fill(level);
            }
        }
    }
    let half = width / 2;
    let right = edges(picture.width, COLUMNS - 1, COLUMNS_OF_PICTURE).1.div_ceil(2);
    let bottom = edges(picture.height, ROWS - 1, ROWS_OF_PICTURE).1.div_ceil(2);
    for line in 0..bottom {
        picture.u[line * half..line * half + right].fill(128);
        picture.v[line * half..line * half + right].fill(128);
    }
}

/// Reads the number that [`draw`] put into a picture, from its luma plane (`stride` bytes from row to row).
///
/// `None` when there is no code, when it is damaged, or when the plane is too small for `width`, `height` and `stride`.
#[must_use]
pub fn read(luma: &[u8], stride: usize, width: u32, height: u32) -> Option<u64> {
    let last = (height as usize).checked_sub(1)?.checked_mul(stride)?.checked_add(width as usize)?;
    if width < COLUMNS_OF_PICTURE || height < ROWS_OF_PICTURE || stride < width as usize || luma.len() < last {
        return None;
    }
    let mut means = [0.0_f32; (COLUMNS * ROWS) as usize];
    for (mean, cell) in means.iter_mut().zip(0..) {
        let (left, right) = core(edges(width, cell % COLUMNS, COLUMNS_OF_PICTURE));
        let (top, bottom) = core(edges(height, cell / COLUMNS, ROWS_OF_PICTURE));
        let sum: u32 = (top..bottom)
            .flat_map(|line| &luma[line * stride + left..line * stride + right])
            .map(|&value| u32::from(value))
            .sum();
        *mean = sum as f32 / ((right - left) * (bottom - top)) as f32;
    }
    let threshold = means.iter().sum::<f32>() / means.len() as f32;
    let average = |bright: bool| {
        let of_kind = || means.iter().filter(|&&mean| (mean > threshold) == bright);
        of_kind().sum::<f32>() / of_kind().count().max(1) as f32
    };
    let (dark, bright) = (average(false), average(true));
    if bright - dark < MIN_CONTRAST {
        return None;
    }
    let middle = f32::midpoint(dark, bright);
    let bits = means.iter().fold(0_u128, |bits, &mean| bits << 1 | u128::from(mean > middle));
    let number = ((bits ^ PATTERN) >> 32) as u64;
    (cells(number) == bits).then_some(number)
}

/// The number, its checksum and the pattern, as [`COLUMNS`] × [`ROWS`] bits.
fn cells(number: u64) -> u128 {
    (u128::from(number) << 32 | u128::from(crc32(&number.to_be_bytes()))) ^ PATTERN
}

fn bit(bits: u128, row: u32, column: u32) -> bool {
    bits >> (COLUMNS * ROWS - 1 - (row * COLUMNS + column)) & 1 == 1
}

/// First pixel of a cell and of the one after it.
fn edges(size: u32, cell: u32, cells: u32) -> (usize, usize) {
    let edge = |cell: u32| (u64::from(cell) * u64::from(size) / u64::from(cells)) as usize;
    (edge(cell), edge(cell + 1))
}

/// The middle half of a cell: encoders and scalers smear its borders.
fn core((first, end): (usize, usize)) -> (usize, usize) {
    let margin = (end - first) / 4;
    (first + margin, end - margin)
}

/// CRC-32 as in ISO 3309 (reflected, polynomial `EDB88320`).
fn crc32(bytes: &[u8]) -> u32 {
    let remainder = bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    !remainder
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_picture(picture: &Picture) -> Option<u64> {
        read(&picture.y, picture.width as usize, picture.width, picture.height)
    }

    /// What an encoder does to a plane at a low rate: 8×8 blocks whose high frequencies are gone, and a range squeeze.
    fn blur_and_quantise(picture: &mut Picture, step: u8) {
        let (width, height) = (picture.width as usize, picture.height as usize);
        let source = picture.y.clone();
        for row in 0..height {
            for column in 0..width {
                let mut sum = 0_u32;
                for dy in [row.saturating_sub(1), row, (row + 1).min(height - 1)] {
                    for dx in [column.saturating_sub(1), column, (column + 1).min(width - 1)] {
                        sum += u32::from(source[dy * width + dx]);
                    }
                }
                picture.y[row * width + column] = (sum / 9) as u8 / step * step;
            }
        }
    }

    /// Bilinear with pixel centres kept, the way a consumer would scale the picture.
    fn scale(picture: &Picture, width: u32, height: u32) -> Picture {
        let mut scaled = Picture::new(width, height);
        let (from_w, from_h) = (picture.width as usize, picture.height as usize);
        for row in 0..height as usize {
            for column in 0..width as usize {
                let x = ((column as f32 + 0.5) * from_w as f32 / width as f32 - 0.5).max(0.0);
                let y = ((row as f32 + 0.5) * from_h as f32 / height as f32 - 0.5).max(0.0);
                let at = |x: usize, y: usize| f32::from(picture.y[y.min(from_h - 1) * from_w + x.min(from_w - 1)]);
                let (x0, y0) = (x as usize, y as usize);
                let top = at(x0, y0) + (at(x0 + 1, y0) - at(x0, y0)) * x.fract();
                let bottom = at(x0, y0 + 1) + (at(x0 + 1, y0 + 1) - at(x0, y0 + 1)) * x.fract();
                scaled.y[row * width as usize + column] = (top + (bottom - top) * y.fract()) as u8;
            }
        }
        scaled
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn is_read_back(number: u64, width in 160_u32..1000, height in 120_u32..800) {
            let mut picture = Picture::new(width * 2, height * 2);
            draw(&mut picture, number);
            prop_assert_eq!(read_picture(&picture), Some(number));
        }

        #[test]
        fn survives_noise_blur_and_coarse_levels(number: u64, seed: u64, width in 160_u32..640, step in 1_u8..40) {
            use rand::{RngExt, SeedableRng};
            let mut picture = Picture::new(width * 2, width * 3 / 2);
            draw(&mut picture, number);
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            for value in &mut picture.y {
                *value = value.saturating_add_signed(random.random_range(-30..=30));
            }
            blur_and_quantise(&mut picture, step);
            prop_assert_eq!(read_picture(&picture), Some(number));
        }

        #[test]
        fn survives_scaling(number: u64, width in 160_u32..640, height in 120_u32..400) {
            let mut picture = Picture::new(1280, 720);
            draw(&mut picture, number);
            prop_assert_eq!(read_picture(&scale(&picture, width * 2, height * 2)), Some(number));
        }

        #[test]
        fn a_wrong_cell_is_noticed(number: u64, row in 0..ROWS, column in 0..COLUMNS) {
            let mut picture = Picture::new(640, 360);
            draw(&mut picture, number);
            let (left, right) = edges(640, column, COLUMNS_OF_PICTURE);
            let (top, bottom) = edges(360, row, ROWS_OF_PICTURE);
            for line in top..bottom {
                for value in &mut picture.y[line * 640 + left..line * 640 + right] {
                    *value = 251 - *value;
                }
            }
            prop_assert_eq!(read_picture(&picture), None);
        }

        #[test]
        fn never_panics(luma in proptest::collection::vec(any::<u8>(), 0..9000), stride in 0_usize..200, width in 0_u32..200, height in 0_u32..200) {
            prop_assert_eq!(read(&luma, stride, width, height), None);
        }
    }

    #[test]
    fn a_picture_without_a_code_has_no_number() {
        assert_eq!(read_picture(&Picture::new(640, 360)), None);
        assert_eq!(read(&[], usize::MAX, u32::MAX, u32::MAX), None);
    }

    #[test]
    fn checksum_is_the_usual_one() {
        // The check value that CRC catalogues give for this polynomial.
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }
}
