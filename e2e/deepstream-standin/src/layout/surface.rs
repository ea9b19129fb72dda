//! `NvBufSurface`, which grew in 8.0. What is a device pointer there is a pointer to the processor's memory here.

use std::ffi::c_void;

use crate::version::Epoch;

/// `NvBufSurfaceMemType`.
pub mod memory_type {
    /// What the platform usually has.
    pub const DEFAULT: i32 = 0;
    /// The GPU's memory.
    pub const CUDA_DEVICE: i32 = 2;
    /// Memory that both reach.
    pub const CUDA_UNIFIED: i32 = 3;
}

/// `NvBufSurfaceColorFormat`, as far as it is used here.
pub mod color_format {
    /// Planar 4:2:0, BT.601, limited range.
    pub const YUV420: i32 = 2;
    /// Semi-planar 4:2:0, BT.601, limited range.
    pub const NV12: i32 = 6;
    /// BT.601, full range.
    pub const NV12_ER: i32 = 7;
    /// Four bytes a pixel.
    pub const RGBA: i32 = 19;
    /// BT.709, limited range.
    pub const NV12_709: i32 = 33;
    /// BT.709, full range.
    pub const NV12_709_ER: i32 = 34;
}

/// `NvBufSurfacePlaneParams`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct PlaneParams {
    /// How many planes there are.
    pub planes: u32,
    /// Pixels.
    pub width: [u32; 4],
    /// Pixels.
    pub height: [u32; 4],
    /// Bytes from row to row.
    pub pitch: [u32; 4],
    /// Bytes from the beginning.
    pub offset: [u32; 4],
    /// Bytes.
    pub size: [u32; 4],
    /// Bytes.
    pub bytes_per_pixel: [u32; 4],
    /// For DeepStream.
    pub reserved: [usize; 16],
}

/// `NvBufSurfaceMappedAddr` up to 7.1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MappedAddresses {
    /// Planes that the processor sees.
    pub planes: [*mut c_void; 4],
    /// An EGL image.
    pub egl_image: *mut c_void,
    /// For DeepStream.
    pub reserved: [usize; 4],
}

/// `NvBufSurfaceMappedAddr` from 8.0 on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct MappedAddresses8 {
    /// Planes that the processor sees.
    pub planes: [*mut c_void; 4],
    /// An EGL image.
    pub egl_image: *mut c_void,
    /// Jetson's memory.
    pub nvmm: *mut c_void,
    /// CUDA's memory.
    pub cuda: *mut c_void,
    /// For DeepStream.
    pub reserved: [usize; 4],
}

/// What `NvBufSurfaceParams` of all epochs begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SurfaceParamsHead {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bytes from row to row of the first plane.
    pub pitch: u32,
    /// One of [`color_format`].
    pub color_format: i32,
    /// 0: rows one after another.
    pub layout: i32,
    /// A DMA-BUF, on Jetson.
    pub descriptor: u64,
    /// Bytes.
    pub data_size: u32,
    /// The picture.
    pub data: *mut c_void,
    /// Its planes.
    pub planes: PlaneParams,
}

/// `NvBufSurfaceParams` up to 7.1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SurfaceParams {
    /// The fields of every epoch.
    pub head: SurfaceParamsHead,
    /// What the processor sees.
    pub mapped: MappedAddresses,
    /// More of it.
    pub extended: *mut c_void,
    /// For DeepStream.
    pub reserved: [usize; 3],
}

/// `NvBufSurfaceParams` from 8.0 on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SurfaceParams8 {
    /// The fields of every epoch.
    pub head: SurfaceParamsHead,
    /// What the processor sees.
    pub mapped: MappedAddresses8,
    /// More of it.
    pub extended: *mut c_void,
    /// CUDA's memory.
    pub cuda_buffer: *mut c_void,
    /// For DeepStream.
    pub reserved: [usize; 4],
}

/// What `NvBufSurface` of all epochs begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SurfaceHead {
    /// The GPU.
    pub gpu_id: u32,
    /// How many surfaces the list has room for.
    pub batch_size: u32,
    /// How many it holds.
    pub filled: u32,
    /// Whether the pictures lie behind one another.
    pub contiguous: bool,
    /// One of [`memory_type`].
    pub memory_type: i32,
    /// The surfaces.
    pub list: *mut c_void,
}

/// `NvBufSurface` up to 7.1.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Surface {
    /// The fields of every epoch.
    pub head: SurfaceHead,
    /// For DeepStream.
    pub reserved: [usize; 4],
}

/// `NvBufSurface` from 8.0 on.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Surface8 {
    /// The fields of every epoch.
    pub head: SurfaceHead,
    /// Whether somebody else's memory is used.
    pub imported: bool,
    /// For DeepStream.
    pub reserved: [usize; 4],
}

/// Bytes from one surface of a batch to the next.
#[must_use]
pub fn surface_params_size(epoch: Epoch) -> usize {
    if epoch < Epoch::V8 { size_of::<SurfaceParams>() } else { size_of::<SurfaceParams8>() }
}

/// The surface `index` of a batch.
///
/// # Safety
/// `surface` must be a batch of this epoch that lives for `'a`, nothing else may change it meanwhile, and `index` must be
/// below its `batch_size`.
#[must_use]
pub unsafe fn surface_params<'a>(epoch: Epoch, surface: *mut SurfaceHead, index: usize) -> &'a mut SurfaceParamsHead {
    // SAFETY: the caller warrants the batch and the index; `list` points to `batch_size` surfaces of the epoch.
    unsafe { &mut *(*surface).list.byte_add(index * surface_params_size(epoch)).cast() }
}
