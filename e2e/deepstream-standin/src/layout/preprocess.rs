//! What nvdspreprocess attaches for nvinfer: C++ structs, so their vectors and strings are laid out as `libstdc++` does.

use std::ffi::c_void;

use glib_sys::GList;

use super::{
    infer::CppVector,
    osd::{RectParams, RotatedRectParams},
};
use crate::version::{Epoch, Version};

/// A `std::string` of `libstdc++` whose text lies elsewhere.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CppString {
    /// The text.
    pub text: *mut c_void,
    /// Its length in bytes.
    pub length: usize,
    /// The room that it has; short texts lie here.
    pub capacity: [usize; 2],
}

/// `NvDsPreProcessTensorMeta`.
#[repr(C)]
#[derive(Debug)]
pub struct TensorInput {
    /// The values, for the GPU.
    pub buffer: *mut c_void,
    /// Bytes.
    pub size: u64,
    /// The shape with the batch, 32-bit numbers.
    pub shape: CppVector,
    /// 0 is 32-bit floating point.
    pub data_type: i32,
    /// The name of the model's input.
    pub name: CppString,
    /// The GPU.
    pub gpu_id: u32,
    /// For nvdspreprocess.
    pub private: *mut c_void,
    /// Which of several of one buffer.
    pub id: u32,
    /// Whether pictures keep their shape.
    pub maintain_aspect_ratio: i32,
}

/// `GstNvDsPreProcessBatchMeta`.
#[repr(C)]
#[derive(Debug)]
pub struct PreprocessBatch {
    /// Whom it is for, 64-bit numbers.
    pub targets: CppVector,
    /// The tensor.
    pub tensor: *mut TensorInput,
    /// What the pictures of the batch are of.
    pub regions: CppVector,
    /// For nvdspreprocess.
    pub private: *mut c_void,
}

/// `NvDsRoiMeta`, by the rectangle that it holds and by what stands at its end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Region<R, T> {
    /// In pixels of the mux's picture.
    pub area: R,
    /// Not used.
    pub polygon: [[u32; 2]; 8],
    /// The scaled picture.
    pub converted: *mut c_void,
    /// The frame.
    pub frame: *mut c_void,
    /// Pixels of the input over pixels of the frame.
    pub scale_x: f64,
    /// Pixels of the input over pixels of the frame.
    pub scale_y: f64,
    /// Pixels of the input.
    pub offset_left: f64,
    /// Pixels of the input.
    pub offset_top: f64,
    /// Results of classifiers.
    pub classifier_list: *mut GList,
    /// Users' metadata.
    pub user_list: *mut GList,
    /// The object, from 6.2 on.
    pub tail: T,
}

/// What a region says in every epoch: its area and where it went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionView {
    /// Left, top, width, height in pixels of the mux's picture.
    pub area: [f32; 4],
    /// The frame.
    pub frame: *mut c_void,
    /// Across and down.
    pub scale: (f64, f64),
    /// Left and top in pixels of the input.
    pub offset: (f64, f64),
}

type Early = Region<RectParams, ()>;
type Middle = Region<RectParams, *mut c_void>;
type Last = Region<RotatedRectParams, *mut c_void>;

/// Bytes from one region of a vector to the next.
#[must_use]
pub fn region_size(version: Version, epoch: Epoch) -> usize {
    match epoch {
        Epoch::V9 => size_of::<Last>(),
        _ if version.at_least(6, 2) => size_of::<Middle>(),
        _ => size_of::<Early>(),
    }
}

macro_rules! fill {
    ($region:ident, $rect:expr, $view:expr) => {{
        let view: &RegionView = $view;
        $rect.left = view.area[0];
        $rect.top = view.area[1];
        $rect.width = view.area[2];
        $rect.height = view.area[3];
        $region.frame = view.frame;
        ($region.scale_x, $region.scale_y) = view.scale;
        ($region.offset_left, $region.offset_top) = view.offset;
    }};
}

macro_rules! read {
    ($region:expr, $rect:expr) => {
        RegionView {
            area: [$rect.left, $rect.top, $rect.width, $rect.height],
            frame: $region.frame,
            scale: ($region.scale_x, $region.scale_y),
            offset: ($region.offset_left, $region.offset_top),
        }
    };
}

/// Writes a region into zeroed memory.
///
/// # Safety
/// `region` must have room for [`region_size`] bytes, all zero, aligned to eight.
pub unsafe fn write_region(version: Version, epoch: Epoch, region: *mut c_void, view: &RegionView) {
    // SAFETY: as the caller warrants; all zeroes are a valid region.
    unsafe {
        match epoch {
            Epoch::V9 => {
                let region = &mut *region.cast::<Last>();
                fill!(region, region.area.rect, view);
            }
            _ if version.at_least(6, 2) => {
                let region = &mut *region.cast::<Middle>();
                fill!(region, region.area, view);
            }
            _ => {
                let region = &mut *region.cast::<Early>();
                fill!(region, region.area, view);
            }
        }
    }
}

/// Reads a region.
///
/// # Safety
/// `region` must be one of this version.
#[must_use]
pub unsafe fn read_region(version: Version, epoch: Epoch, region: *const c_void) -> RegionView {
    // SAFETY: as the caller warrants.
    unsafe {
        match epoch {
            Epoch::V9 => {
                let region = &*region.cast::<Last>();
                read!(region, region.area.rect)
            }
            _ if version.at_least(6, 2) => {
                let region = &*region.cast::<Middle>();
                read!(region, region.area)
            }
            _ => {
                let region = &*region.cast::<Early>();
                read!(region, region.area)
            }
        }
    }
}
