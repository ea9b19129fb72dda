//! NVMM memory: a GStreamer memory whose content is an `NvBufSurface` of the epoch that is played. Its "device" pointers
//! point to the processor's memory.

use std::{ptr, slice};

use deepstream_standin::{
    layout::{
        MappedAddresses, MappedAddresses8, PlaneParams, Surface, Surface8, SurfaceHead, SurfaceParams, SurfaceParams8,
        SurfaceParamsHead, color_format, memory_type, surface_params,
    },
    version::{Epoch, epoch},
};
use gstreamer as gst;
use gstreamer_video as gst_video;

use crate::picture::{Format, Picture, Plane, View};

/// The caps feature of such memory.
pub(crate) const FEATURE: &str = "memory:NVMM";

/// The pads of an element that works on pictures where they lie.
pub(crate) fn in_place_templates() -> Vec<gst::PadTemplate> {
    let caps = gst_video::VideoCapsBuilder::new()
        .features([FEATURE])
        .format_list([gst_video::VideoFormat::Nv12, gst_video::VideoFormat::Rgba])
        .build();
    [("sink", gst::PadDirection::Sink), ("src", gst::PadDirection::Src)]
        .into_iter()
        .filter_map(|(name, direction)| gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &caps).ok())
        .collect()
}

/// A batch of surfaces with all that it points to.
struct Batch {
    /// The `NvBufSurface`, as whole words so that no byte of it is undefined.
    header: Box<[usize]>,
    /// What `header` points to. Boxes do not move what they hold.
    _surfaces: Surfaces,
    _pictures: Vec<Picture>,
}

enum Surfaces {
    Old(#[allow(dead_code, reason = "kept for the pointer in the header")] Box<[SurfaceParams]>),
    New(#[allow(dead_code, reason = "kept for the pointer in the header")] Box<[SurfaceParams8]>),
}

// SAFETY: all pointers of a batch point to what it owns.
unsafe impl Send for Batch {}

impl AsMut<[u8]> for Batch {
    fn as_mut(&mut self) -> &mut [u8] {
        let bytes = size_of_val(&*self.header);
        // SAFETY: the words' own bytes, borrowed as long as the batch is.
        unsafe { slice::from_raw_parts_mut(self.header.as_mut_ptr().cast(), bytes) }
    }
}

fn describe(picture: &mut Picture) -> SurfaceParamsHead {
    let mut planes = PlaneParams {
        planes: picture.planes.len() as u32,
        width: [0; 4],
        height: [0; 4],
        pitch: [0; 4],
        offset: [0; 4],
        size: [0; 4],
        bytes_per_pixel: [0; 4],
        reserved: [0; 16],
    };
    for (index, plane) in picture.planes.iter().enumerate() {
        planes.width[index] = plane.width as u32;
        planes.height[index] = plane.height as u32;
        planes.pitch[index] = plane.pitch as u32;
        planes.offset[index] = plane.offset as u32;
        planes.size[index] = (plane.pitch * plane.height) as u32;
        planes.bytes_per_pixel[index] = plane.bytes_per_pixel as u32;
    }
    SurfaceParamsHead {
        width: picture.width as u32,
        height: picture.height as u32,
        pitch: planes.pitch[0],
        color_format: picture.color,
        layout: 0,
        descriptor: 0,
        data_size: picture.data.len() as u32,
        data: picture.data.as_mut_ptr().cast(),
        planes,
    }
}

/// A memory with the pictures as surfaces, and room for `capacity` of them.
pub(crate) fn memory(mut pictures: Vec<Picture>, capacity: usize, gpu_id: u32, memory_type: i32) -> gst::Memory {
    let capacity = capacity.max(pictures.len());
    let empty = Picture::new(Format::Rgba, color_format::RGBA, 0, 0);
    let blank = SurfaceParamsHead { data: ptr::null_mut(), ..describe(&mut empty.clone()) };
    let mut heads: Vec<_> = pictures.iter_mut().map(describe).collect();
    heads.resize(capacity, blank);
    let nothing = ptr::null_mut();
    let filled = pictures.len();
    let (size, list, surfaces) = if epoch() < Epoch::V8 {
        let mapped = MappedAddresses { planes: [nothing; 4], egl_image: nothing, reserved: [0; 4] };
        let mut list: Box<[_]> =
            heads.into_iter().map(|head| SurfaceParams { head, mapped, extended: nothing, reserved: [0; 3] }).collect();
        (size_of::<Surface>(), list.as_mut_ptr().cast(), Surfaces::Old(list))
    } else {
        let mapped = MappedAddresses8 {
            planes: [nothing; 4],
            egl_image: nothing,
            nvmm: nothing,
            cuda: nothing,
            reserved: [0; 4],
        };
        let mut list: Box<[_]> = heads
            .into_iter()
            .map(|head| SurfaceParams8 { head, mapped, extended: nothing, cuda_buffer: nothing, reserved: [0; 4] })
            .collect();
        (size_of::<Surface8>(), list.as_mut_ptr().cast(), Surfaces::New(list))
    };
    let mut header = vec![0_usize; size / size_of::<usize>()].into_boxed_slice();
    // SAFETY: the words are as large as the epoch's surface and aligned as it is; each field is written by itself.
    unsafe {
        let head = header.as_mut_ptr().cast::<SurfaceHead>();
        (*head).gpu_id = gpu_id;
        (*head).batch_size = capacity as u32;
        (*head).filled = filled as u32;
        (*head).memory_type = memory_type;
        (*head).list = list;
    }
    gst::Memory::from_mut_slice(Batch { header, _surfaces: surfaces, _pictures: pictures })
}

/// One picture as a buffer, as decoders give it.
pub(crate) fn single(picture: Picture) -> gst::Buffer {
    let mut buffer = gst::Buffer::new();
    if let Some(buffer) = buffer.get_mut() {
        buffer.append_memory(memory(vec![picture], 1, 0, memory_type::CUDA_DEVICE));
    }
    buffer
}

/// The surfaces of a buffer while it is mapped.
pub(crate) struct Mapped<'a> {
    map: gst::BufferMap<'a, gst::buffer::Readable>,
}

impl<'a> Mapped<'a> {
    /// Maps a buffer that came with caps of [`FEATURE`]. `None` where it holds something else.
    pub(crate) fn new(buffer: &'a gst::BufferRef) -> Option<Self> {
        let map = buffer.map_readable().ok()?;
        let size = if epoch() < Epoch::V8 { size_of::<Surface>() } else { size_of::<Surface8>() };
        (map.len() == size).then_some(Self { map })
    }

    /// What the batch says of itself.
    pub(crate) fn head(&self) -> SurfaceHead {
        // SAFETY: as long as the epoch's surface, and memory of this caps feature holds one.
        unsafe { self.map.as_ptr().cast::<SurfaceHead>().read_unaligned() }
    }

    /// The surface `index` as it is described.
    pub(crate) fn params(&self, index: usize) -> Option<SurfaceParamsHead> {
        let mut head = self.head();
        // SAFETY: below the batch's size, which the list is as long as.
        (index < head.batch_size as usize).then(|| unsafe { *surface_params(epoch(), &raw mut head, index) })
    }

    /// The picture of the surface `index`.
    pub(crate) fn picture(&self, index: usize) -> Option<View<'_>> {
        let params = self.params(index)?;
        let format = match params.color_format {
            color_format::RGBA => Format::Rgba,
            color_format::YUV420 => Format::I420,
            _ => Format::Nv12,
        };
        // SAFETY: `data` is of that size and lives with the memory, which is mapped while `self` lives.
        let data = unsafe { slice::from_raw_parts(params.data.cast::<u8>(), params.data_size as usize) };
        let plane = |index: usize| {
            let plane = Plane {
                width: params.planes.width[index] as usize,
                height: params.planes.height[index] as usize,
                bytes_per_pixel: params.planes.bytes_per_pixel[index] as usize,
                pitch: params.planes.pitch[index] as usize,
                offset: params.planes.offset[index] as usize,
            };
            (plane, &data[plane.offset..])
        };
        Some(View {
            format,
            color: params.color_format,
            width: params.width as usize,
            height: params.height as usize,
            planes: (0..params.planes.planes as usize).map(plane).collect(),
        })
    }
}
