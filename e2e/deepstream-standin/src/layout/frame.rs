//! `NvDsFrameMeta`, which grew in 6.0 and in 8.0.

use std::ffi::{c_char, c_void};

use glib_sys::GList;

use super::batch::BaseMeta;
use crate::version::Epoch;

/// What frames of all epochs begin with.
#[repr(C)]
#[derive(Debug)]
pub struct FrameHead {
    /// What all metadata has.
    pub base: BaseMeta,
    /// The number of the mux's pad.
    pub pad_index: u32,
    /// Which surface of the batch.
    pub batch_id: u32,
    /// The frame's number in its source.
    pub frame_num: i32,
    /// Time stamp, ns.
    pub buf_pts: u64,
    /// Wall clock, ns.
    pub ntp_timestamp: u64,
    /// The source.
    pub source_id: u32,
    /// Usually 1.
    pub surfaces_per_frame: i32,
    /// Width before the mux, pixels.
    pub source_width: u32,
    /// Height before the mux, pixels.
    pub source_height: u32,
    /// For views of one frame.
    pub surface_type: u32,
    /// For views of one frame.
    pub surface_index: u32,
    /// How many objects follow.
    pub objects: u32,
    /// Whether a model has looked at it.
    pub infer_done: i32,
    /// The objects.
    pub object_list: *mut GList,
    /// What is drawn.
    pub display_list: *mut GList,
    /// Users' metadata.
    pub user_list: *mut GList,
    /// For users.
    pub misc: [i64; 4],
}

/// Up to 5.1.
#[repr(C)]
#[derive(Debug)]
pub struct Frame5 {
    /// The fields of every epoch.
    pub head: FrameHead,
    /// For DeepStream.
    pub reserved: [i64; 4],
}

/// 6.0 to 7.1.
#[repr(C)]
#[derive(Debug)]
pub struct Frame6 {
    /// The fields of every epoch.
    pub head: FrameHead,
    /// Width after the mux, pixels.
    pub pipeline_width: u32,
    /// Height after the mux, pixels.
    pub pipeline_height: u32,
    /// For DeepStream.
    pub reserved: [i64; 4],
}

/// `NvDsSensorInfo`, a part of frames from 8.0 on.
#[repr(C)]
#[derive(Debug)]
pub struct SensorInfo {
    /// The source.
    pub source_id: u32,
    /// Where it is read from.
    pub uri: *const c_char,
    /// Its id.
    pub sensor_id: *const c_char,
    /// Its name.
    pub sensor_name: *const c_char,
}

/// From 8.0 on.
#[repr(C)]
#[derive(Debug)]
pub struct Frame8 {
    /// The fields of every epoch.
    pub head: FrameHead,
    /// Width after the mux, pixels.
    pub pipeline_width: u32,
    /// Height after the mux, pixels.
    pub pipeline_height: u32,
    /// The sensor.
    pub sensor_info: SensorInfo,
    /// For DeepStream.
    pub reserved: [i64; 4],
}

/// The size of a frame's metadata in bytes.
#[must_use]
pub fn frame_size(epoch: Epoch) -> usize {
    match epoch {
        Epoch::V5Preview | Epoch::V5 => size_of::<Frame5>(),
        Epoch::V6 | Epoch::V6_3 => size_of::<Frame6>(),
        Epoch::V8 | Epoch::V9 => size_of::<Frame8>(),
    }
}

/// The fields of a frame in any epoch.
#[derive(Debug)]
pub struct FrameView<'a> {
    /// The fields of every epoch.
    pub head: &'a mut FrameHead,
    /// Width and height after the mux, from 6.0 on.
    pub pipeline: Option<(&'a mut u32, &'a mut u32)>,
    /// From 8.0 on.
    pub sensor: Option<&'a mut SensorInfo>,
}

/// The fields of the frame at `frame`.
///
/// # Safety
/// `frame` must be a frame of this epoch that nothing else uses for `'a`.
#[must_use]
pub unsafe fn frame_view<'a>(epoch: Epoch, frame: *mut c_void) -> FrameView<'a> {
    // SAFETY: the caller warrants that a frame of this epoch lies there and that it is ours.
    unsafe {
        match epoch {
            Epoch::V5Preview | Epoch::V5 => {
                let frame = &mut *frame.cast::<Frame5>();
                FrameView { head: &mut frame.head, pipeline: None, sensor: None }
            }
            Epoch::V6 | Epoch::V6_3 => {
                let frame = &mut *frame.cast::<Frame6>();
                let pipeline = Some((&mut frame.pipeline_width, &mut frame.pipeline_height));
                FrameView { head: &mut frame.head, pipeline, sensor: None }
            }
            Epoch::V8 | Epoch::V9 => {
                let frame = &mut *frame.cast::<Frame8>();
                let pipeline = Some((&mut frame.pipeline_width, &mut frame.pipeline_height));
                FrameView { head: &mut frame.head, pipeline, sensor: Some(&mut frame.sensor_info) }
            }
        }
    }
}
