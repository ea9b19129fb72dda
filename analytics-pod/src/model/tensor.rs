//! The session's own input buffer and views of its outputs.

use half::{f16, slice::HalfFloatSliceExt};
use ort::{
    session::SessionInputValue,
    value::{DynValue, TensorElementType, TensorRef},
};

use super::info::{ChannelOrder, ElementType, InputSpec};

/// Colours of a picture.
const CHANNELS: usize = 3;

/// The input of one session: planes that the caller writes, and the form the model wants where that is another one.
#[derive(Debug)]
pub(super) struct InputTensor {
    planes: Vec<f32>,
    converted: Converted,
    width: usize,
    height: usize,
    interleaved: bool,
}

#[derive(Debug)]
enum Converted {
    /// The model takes the planes as they are.
    Planes,
    F32(Vec<f32>),
    F16(Vec<f16>),
    U8(Vec<u8>),
}

impl InputTensor {
    pub(super) fn new(spec: &InputSpec) -> Self {
        let (width, height) = (spec.width as usize, spec.height as usize);
        let values = CHANNELS * width * height * spec.max_batch;
        let interleaved = spec.channel_order == ChannelOrder::Nhwc;
        let converted = match spec.element_type {
            ElementType::F32 if interleaved => Converted::F32(vec![0.0; values]),
            ElementType::F32 => Converted::Planes,
            ElementType::F16 => Converted::F16(vec![f16::ZERO; values]),
            ElementType::U8 => Converted::U8(vec![0; values]),
        };
        Self { planes: vec![0.0; values], converted, width, height, interleaved }
    }

    const fn picture_len(&self) -> usize {
        CHANNELS * self.width * self.height
    }

    /// The planes of picture `index`, if the batch has it.
    pub(super) fn picture(&mut self, index: usize) -> Option<&mut [f32]> {
        let length = self.picture_len();
        self.planes.chunks_exact_mut(length).nth(index)
    }

    /// The first `pictures` pictures as the model wants them.
    pub(super) fn as_value(&mut self, pictures: usize) -> ort::Result<SessionInputValue<'_>> {
        let length = pictures * self.picture_len();
        let shape = if self.interleaved {
            [pictures, self.height, self.width, CHANNELS]
        } else {
            [pictures, CHANNELS, self.height, self.width]
        };
        let planes = &self.planes[..length];
        let plane = self.width * self.height;
        Ok(match &mut self.converted {
            Converted::Planes => TensorRef::from_array_view((shape, planes))?.into(),
            Converted::F32(values) => {
                interleave(planes, plane, values, |value| value);
                TensorRef::from_array_view((shape, &values[..length]))?.into()
            }
            Converted::F16(values) => {
                if self.interleaved {
                    interleave(planes, plane, values, f16::from_f32);
                } else {
                    values[..length].convert_from_f32_slice(planes);
                }
                TensorRef::from_array_view((shape, &values[..length]))?.into()
            }
            Converted::U8(values) => {
                if self.interleaved {
                    interleave(planes, plane, values, to_byte);
                } else {
                    for (byte, value) in values.iter_mut().zip(planes) {
                        *byte = to_byte(*value);
                    }
                }
                TensorRef::from_array_view((shape, &values[..length]))?.into()
            }
        })
    }
}

/// The nearest byte.
fn to_byte(value: f32) -> u8 {
    value.round() as u8
}

/// Three planes of `plane` values a picture → triples.
fn interleave<T>(planes: &[f32], plane: usize, into: &mut [T], convert: impl Fn(f32) -> T) {
    let pictures = planes.chunks_exact(CHANNELS * plane).zip(into.chunks_exact_mut(CHANNELS * plane));
    for (picture, into) in pictures {
        let (first, rest) = picture.split_at(plane);
        let (second, third) = rest.split_at(plane);
        for (((triple, a), b), c) in into.chunks_exact_mut(CHANNELS).zip(first).zip(second).zip(third) {
            triple[0] = convert(*a);
            triple[1] = convert(*b);
            triple[2] = convert(*c);
        }
    }
}

/// Reads one output as 32-bit floats; keeps the buffer that 16-bit ones and class indices are widened into.
#[derive(Debug, Default)]
pub(super) struct OutputTensor {
    widened: Vec<f32>,
}

impl OutputTensor {
    /// The dimensions and the values of `value`.
    pub(super) fn read<'a>(&'a mut self, value: &'a DynValue) -> ort::Result<(Vec<usize>, &'a [f32])> {
        let dimensions = |shape: &[i64]| shape.iter().map(|size| usize::try_from(*size).unwrap_or(0)).collect();
        let shape = match value.dtype().tensor_type() {
            Some(TensorElementType::Float16) => {
                let (shape, halves) = value.try_extract_tensor::<f16>()?;
                self.widened.resize(halves.len(), 0.0);
                halves.convert_to_f32_slice(&mut self.widened);
                shape
            }
            Some(TensorElementType::Int64) => {
                let (shape, indices) = value.try_extract_tensor::<i64>()?;
                self.widened.clear();
                self.widened.extend(indices.iter().map(|index| *index as f32));
                shape
            }
            Some(TensorElementType::Int32) => {
                let (shape, indices) = value.try_extract_tensor::<i32>()?;
                self.widened.clear();
                self.widened.extend(indices.iter().map(|index| *index as f32));
                shape
            }
            _ => {
                let (shape, values) = value.try_extract_tensor::<f32>()?;
                return Ok((dimensions(shape), values));
            }
        };
        Ok((dimensions(shape), &self.widened))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interleaves_pictures_one_by_one() {
        let planes = [1.0, 2.0, 10.0, 20.0, 100.0, 200.0, 3.0, 4.0, 30.0, 40.0, 255.4, 1e9];
        let mut bytes = [0_u8; 12];
        interleave(&planes, 2, &mut bytes, to_byte);
        assert_eq!(bytes, [1, 10, 100, 2, 20, 200, 3, 30, 255, 4, 40, 255]);
    }

    #[test]
    fn bytes_saturate() {
        assert_eq!([-3.0, f32::NAN, 0.49, 254.5, f32::INFINITY].map(to_byte), [0, 0, 0, 255, 255]);
    }
}
