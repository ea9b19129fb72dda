//! What nvinfer hands to parsers of outputs and attaches as raw outputs.

use std::ffi::{c_char, c_void};

use crate::version::Epoch;

/// `NvDsInferDims`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    /// How many dimensions there are.
    pub count: u32,
    /// The dimensions without the batch.
    pub d: [u32; 8],
    /// Their product.
    pub elements: u32,
}

/// `NvDsInferLayerInfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct LayerInfo {
    /// 0 is 32-bit floating point.
    pub data_type: i32,
    /// The shape without the batch.
    pub dims: Dims,
    /// The number of the layer.
    pub binding: i32,
    /// The name of the layer.
    pub name: *const c_char,
    /// Its values for one picture.
    pub buffer: *mut c_void,
    /// Whether it is an input.
    pub is_input: i32,
}

/// `NvDsInferNetworkInfo`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct NetworkInfo {
    /// Of the input, pixels.
    pub width: u32,
    /// Of the input, pixels.
    pub height: u32,
    /// Of the input.
    pub channels: u32,
}

/// `NvDsInferObjectDetectionInfo` up to 8.0.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectInfo24 {
    /// Its class.
    pub class_id: u32,
    /// Pixels of the input.
    pub left: f32,
    /// Pixels of the input.
    pub top: f32,
    /// Pixels of the input.
    pub width: f32,
    /// Pixels of the input.
    pub height: f32,
    /// From 0 to 1.
    pub confidence: f32,
}

/// `NvDsInferObjectDetectionInfo` from 9.0 on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObjectInfo28 {
    /// The fields of every epoch.
    pub info: ObjectInfo24,
    /// Radians.
    pub rotation_angle: f32,
}

/// Bytes from one object to the next in a parser's result.
#[must_use]
pub fn object_info_size(epoch: Epoch) -> usize {
    if epoch < Epoch::V9 { size_of::<ObjectInfo24>() } else { size_of::<ObjectInfo28>() }
}

/// A `std::vector` of any type as `libstdc++` lays it out.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CppVector {
    /// The first element.
    pub begin: *mut c_void,
    /// Behind the last element.
    pub end: *mut c_void,
    /// Behind the memory.
    pub capacity: *mut c_void,
}

/// `NvDsInferParseDetectionParams`.
#[repr(C)]
#[derive(Debug)]
pub struct ParseParameters {
    /// How many classes there are.
    pub classes: u32,
    /// Thresholds by class before boxes are joined.
    pub before: CppVector,
    /// Thresholds by class afterwards.
    pub after: CppVector,
    /// A reference to `before` under its old name.
    pub old_name: *const CppVector,
}

/// `NvDsInferTensorMeta`.
#[repr(C)]
#[derive(Debug)]
pub struct TensorMeta {
    /// Which nvinfer attached it.
    pub unique_id: u32,
    /// How many outputs there are.
    pub outputs: u32,
    /// What is known of each; the `buffer` in it is not valid.
    pub layers: *mut LayerInfo,
    /// The values where the processor sees them.
    pub host: *mut *mut c_void,
    /// The values where the GPU sees them.
    pub device: *mut *mut c_void,
    /// The GPU.
    pub gpu_id: i32,
    /// For nvinfer.
    pub private: *mut c_void,
    /// The input's size.
    pub network: NetworkInfo,
    /// Whether the picture kept its aspect ratio.
    pub maintain_aspect_ratio: i32,
    /// Whether it was centred.
    pub symmetric_padding: i32,
}
