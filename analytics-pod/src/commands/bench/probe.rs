//! Reads the simulator's frame number out of each inferred picture.

use gstreamer as gst;
use gstreamer_video::VideoFrameRef;
use gstreamer_video::prelude::*;
use serde_json::{Map, Value};

use crate::engine::FrameTap;

/// Where the frame's number in the camera's loop stands in [`crate::observation::Observation::metadata`].
pub(super) const FRAME_NUMBER: &str = "simulatorFrame";

/// Looks for the barcode in the luma plane.
pub(super) struct BarcodeProbe;

impl FrameTap for BarcodeProbe {
    fn look(&self, _: u64, frame: &VideoFrameRef<&gst::BufferRef>) -> Map<String, Value> {
        let planar = frame.format_info().is_yuv() && frame.format_info().depth().first() == Some(&8);
        let stride = frame.plane_stride().first().copied().unwrap_or_default();
        let number = match (planar, frame.plane_data(0), usize::try_from(stride)) {
            (true, Ok(luma), Ok(stride)) => street_scenes::barcode::read(luma, stride, frame.width(), frame.height()),
            _ => None,
        };
        number.map(|number| (FRAME_NUMBER.to_owned(), Value::from(number))).into_iter().collect()
    }
}
