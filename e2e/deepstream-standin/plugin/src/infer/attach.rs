//! Writes what was found into a batch's metadata.

use std::{
    ffi::{CStr, CString, c_char, c_void},
    sync::Arc,
};

use deepstream_standin::{
    layout::{BatchMeta, FrameHead, LayerInfo, NetworkInfo, TensorMeta, UserMeta, object_view},
    meta_type,
    version::epoch,
};
use glib_sys::g_strdup;

use super::{backend::Output, detections::Detection, parser::layer};
use crate::runtime::table;

/// An object that nothing tracks.
const UNTRACKED: u64 = u64::MAX;

/// The font of an object's text.
const FONT: &CStr = c"Serif";

/// Adds the objects of a frame.
///
/// # Safety
/// `frame` must be a frame of `batch`, which the caller may write to.
pub(super) unsafe fn objects(
    batch: *mut BatchMeta,
    frame: *mut FrameHead,
    detections: &[Detection],
    unique_id: u32,
    labels: &[CString],
) {
    let table = table();
    // SAFETY: as the caller warrants; the functions get what the headers ask for.
    unsafe {
        (table.nvds_acquire_meta_lock)(batch);
        (*frame).infer_done = 1;
        for detection in detections {
            let object = (table.nvds_acquire_obj_meta_from_pool)(batch);
            let view = object_view(epoch(), object);
            let label = labels.get(detection.class as usize);
            view.head.component_id = unique_id as i32;
            view.head.class_id = detection.class as i32;
            view.head.object_id = UNTRACKED;
            *view.confidence = detection.confidence;
            let Detection { left, top, width, height, .. } = *detection;
            if let Some((detector_box, ..)) = view.boxes {
                *detector_box = [left, top, width, height];
            }
            (view.rect.left, view.rect.top, view.rect.width, view.rect.height) = (left, top, width, height);
            view.rect.border_width = 3;
            view.rect.border_color = [1.0, 0.0, 0.0, 1.0];
            if let Some(rotation) = view.rotation {
                *rotation = detection.rotation.to_degrees();
            }
            if let Some(label) = label {
                let most = view.tail.label.len() - 1;
                for (to, from) in view.tail.label[..most].iter_mut().zip(label.to_bytes()) {
                    *to = *from as c_char;
                }
            }
            view.text.text = g_strdup(label.map_or(std::ptr::null(), |label| label.as_ptr()));
            view.text.x = left as u32;
            view.text.y = (top - 10.0) as u32;
            view.text.has_background = 1;
            view.text.background = [0.0, 0.0, 0.0, 1.0];
            view.text.font.name = FONT.as_ptr();
            view.text.font.size = 11;
            view.text.font.color = [1.0; 4];
            (table.nvds_add_obj_meta_to_frame)(frame, object, std::ptr::null_mut());
        }
        (table.nvds_release_meta_lock)(batch);
    }
}

/// What a frame's raw outputs are shared by.
#[derive(Clone)]
pub(super) struct RawOutputs {
    pub(super) outputs: Arc<Vec<Output>>,
    pub(super) picture: usize,
    pub(super) batch: usize,
    pub(super) unique_id: u32,
    pub(super) gpu_id: u32,
    pub(super) network: NetworkInfo,
    pub(super) maintain_aspect_ratio: bool,
    pub(super) symmetric_padding: bool,
}

/// `NvDsInferTensorMeta` with all that it points to. The metadata stands first, so a pointer to it is one to this.
#[repr(C)]
struct Held {
    meta: TensorMeta,
    layers: Vec<LayerInfo>,
    pointers: Vec<*mut c_void>,
    raw: RawOutputs,
}

fn hold(raw: RawOutputs) -> *mut c_void {
    let mut layers: Vec<_> =
        raw.outputs.iter().enumerate().map(|(index, output)| layer(output, index, raw.picture, raw.batch)).collect();
    let mut pointers: Vec<_> = layers.iter().map(|layer| layer.buffer).collect();
    for layer in &mut layers {
        layer.buffer = std::ptr::null_mut();
    }
    let meta = TensorMeta {
        unique_id: raw.unique_id,
        outputs: layers.len() as u32,
        layers: layers.as_mut_ptr(),
        host: pointers.as_mut_ptr(),
        device: pointers.as_mut_ptr(),
        gpu_id: raw.gpu_id as i32,
        private: std::ptr::null_mut(),
        network: raw.network,
        maintain_aspect_ratio: i32::from(raw.maintain_aspect_ratio),
        symmetric_padding: i32::from(raw.symmetric_padding),
    };
    Box::into_raw(Box::new(Held { meta, layers, pointers, raw })).cast()
}

unsafe extern "C" fn copy(data: *mut c_void, _user: *mut c_void) -> *mut c_void {
    // SAFETY: called with users' metadata that `tensors` has made.
    let raw = unsafe { (*(*data.cast::<UserMeta>()).data.cast::<Held>()).raw.clone() };
    hold(raw)
}

unsafe extern "C" fn release(data: *mut c_void, _user: *mut c_void) {
    // SAFETY: called once with users' metadata that `tensors` has made.
    unsafe {
        let user = &mut *data.cast::<UserMeta>();
        drop(Box::from_raw(std::mem::replace(&mut user.data, std::ptr::null_mut()).cast::<Held>()));
    }
}

/// Adds a frame's raw outputs.
///
/// # Safety
/// `frame` must be a frame of `batch`, which the caller may write to.
pub(super) unsafe fn tensors(batch: *mut BatchMeta, frame: *mut FrameHead, raw: RawOutputs) {
    let table = table();
    // SAFETY: as the caller warrants; the functions get what the headers ask for.
    unsafe {
        let user = (table.nvds_acquire_user_meta_from_pool)(batch);
        (*user).data = hold(raw);
        (*user).base.meta_type = meta_type::TENSOR_OUTPUT;
        (*user).base.copy = Some(copy);
        (*user).base.release = Some(release);
        (table.nvds_add_user_meta_to_frame)(frame, user);
    }
}
