//! Reads what a pipeline attached.

use std::ffi::CStr;

use deepstream_standin::{
    layout::{BatchMeta, FrameHead, TensorMeta, UserMeta, frame_view, object_view},
    list, meta_type,
    version::epoch,
};
use gstreamer as gst;
use serde_json::{Value, json};

use crate::installation::{GetBatch, GetType, function, library};

/// The batch of a buffer.
pub(crate) fn batch_of(buffer: &gst::BufferRef) -> *mut BatchMeta {
    let library = library("libnvdsgst_meta.so");
    let get_type: GetType = function(library, "nvds_meta_api_get_type");
    let get: GetBatch = function(library, "gst_buffer_get_nvds_batch_meta");
    // SAFETY: the buffer is valid; the first function has to be called once before the second.
    unsafe {
        get_type();
        get(buffer.as_mut_ptr())
    }
}

/// All frames of a buffer's batch with their objects.
pub(crate) fn frames(buffer: &gst::BufferRef) -> Vec<Value> {
    let batch = batch_of(buffer);
    assert!(!batch.is_null(), "the buffer has a batch");
    // SAFETY: the batch belongs to the buffer, which nobody else has.
    unsafe { list::items((*batch).frame_list).into_iter().map(|item| frame(item.cast())).collect() }
}

unsafe fn frame(pointer: *mut FrameHead) -> Value {
    // SAFETY: a frame of a batch of this process's epoch.
    unsafe {
        let view = frame_view(epoch(), pointer.cast());
        let objects: Vec<Value> = list::items(view.head.object_list)
            .into_iter()
            .map(|item| {
                let object = object_view(epoch(), item);
                let label = CStr::from_ptr(object.tail.label.as_ptr()).to_str().unwrap();
                let text = object.text.text;
                json!({
                    "class": object.head.class_id,
                    "id": object.head.object_id,
                    "component": object.head.component_id,
                    "label": label,
                    "text": if text.is_null() { None } else { CStr::from_ptr(text).to_str().ok() },
                    "confidence": *object.confidence,
                    "box": [object.rect.left, object.rect.top, object.rect.width, object.rect.height],
                    "detectorBox": object.boxes.map(|(detector, ..)| *detector),
                })
            })
            .collect();
        let tensors: Vec<Value> = list::items(view.head.user_list)
            .into_iter()
            .map(|item| &*item.cast::<UserMeta>())
            .filter(|user| user.base.meta_type == meta_type::TENSOR_OUTPUT)
            .map(|user| {
                let tensor = &*user.data.cast::<TensorMeta>();
                let layer = &*tensor.layers;
                let values = (*tensor.host).cast::<f32>();
                json!({
                    "outputs": tensor.outputs,
                    "dims": layer.dims.d[..layer.dims.count as usize],
                    "first": *values,
                    "network": [tensor.network.width, tensor.network.height],
                })
            })
            .collect();
        json!({
            "source": view.head.source_id,
            "pad": view.head.pad_index,
            "number": view.head.frame_num,
            "batchId": view.head.batch_id,
            "pts": view.head.buf_pts,
            "ntp": view.head.ntp_timestamp,
            "size": [view.head.source_width, view.head.source_height],
            "pipeline": view.pipeline.map(|(width, height)| [*width, *height]),
            "sensorSource": view.sensor.map(|sensor| sensor.source_id),
            "inferred": view.head.infer_done,
            "count": view.head.objects,
            "objects": objects,
            "tensors": tensors,
        })
    }
}
