//! Attaches tensors to a batch.

use std::ffi::c_void;

use deepstream_standin::{
    layout::{
        BatchMeta, CppString, CppVector, PreprocessBatch, RegionView, TensorInput, UserMeta, region_size, write_region,
    },
    meta_type,
    version::{current, epoch},
};

use super::settings::Settings;
use crate::runtime::table;

/// A batch's tensor with all that it points to. The metadata stands first, so a pointer to it is one to this.
#[repr(C)]
struct Held {
    meta: PreprocessBatch,
    tensor: TensorInput,
    values: Vec<f32>,
    shape: Vec<i32>,
    name: Box<[u8]>,
    targets: Vec<u64>,
    /// Whole words, so that what they hold is aligned.
    regions: Vec<u64>,
}

/// A vector over values that live elsewhere.
fn vector<T>(values: &[T]) -> CppVector {
    let range = values.as_ptr_range();
    let end = range.end.cast_mut().cast();
    CppVector { begin: range.start.cast_mut().cast(), end, capacity: end }
}

unsafe extern "C" fn release(data: *mut c_void, _user: *mut c_void) {
    // SAFETY: called once with users' metadata that `tensor` has made.
    unsafe {
        let user = &mut *data.cast::<UserMeta>();
        drop(Box::from_raw(std::mem::replace(&mut user.data, std::ptr::null_mut()).cast::<Held>()));
    }
}

/// Adds a tensor of `regions` to the batch. `id` tells several of one buffer apart.
///
/// # Safety
/// `batch` must be a batch that the caller may write to.
pub(super) unsafe fn tensor(
    batch: *mut BatchMeta,
    settings: &Settings,
    values: Vec<f32>,
    regions: &[RegionView],
    id: u32,
) {
    let Some(meta_type) = meta_type::preprocess_batch(current()) else { return };
    let [_, channels, height, width] = settings.shape.map(|size| size as i32);
    let pictures = regions.len() as i32;
    let shape =
        if settings.nhwc { vec![pictures, height, width, channels] } else { vec![pictures, channels, height, width] };
    let words = region_size(current(), epoch()) / size_of::<u64>();
    let mut memory = vec![0_u64; words * regions.len()];
    for (place, region) in memory.chunks_exact_mut(words).zip(regions) {
        // SAFETY: zeroed, aligned memory of a region's size.
        unsafe { write_region(current(), epoch(), place.as_mut_ptr().cast(), region) };
    }
    let name: Box<[u8]> = [settings.tensor_name.as_bytes(), b"\0"].concat().into();
    let nothing = CppVector { begin: std::ptr::null_mut(), end: std::ptr::null_mut(), capacity: std::ptr::null_mut() };
    let mut held = Box::new(Held {
        meta: PreprocessBatch {
            targets: nothing,
            tensor: std::ptr::null_mut(),
            regions: vector(&memory),
            private: std::ptr::null_mut(),
        },
        tensor: TensorInput {
            buffer: values.as_ptr().cast_mut().cast(),
            size: size_of_val(&*values) as u64,
            shape: vector(&shape),
            data_type: 0,
            name: CppString {
                text: name.as_ptr().cast_mut().cast(),
                length: settings.tensor_name.len(),
                capacity: [settings.tensor_name.len(), 0],
            },
            gpu_id: settings.gpu_id,
            private: std::ptr::null_mut(),
            id,
            maintain_aspect_ratio: i32::from(settings.maintain_aspect_ratio),
        },
        values,
        shape,
        name,
        targets: settings.targets.clone(),
        regions: memory,
    });
    held.meta.targets = vector(&held.targets);
    held.meta.tensor = &raw mut held.tensor;
    let table = table();
    // SAFETY: as the caller warrants; the functions get what the headers ask for.
    unsafe {
        let user = (table.nvds_acquire_user_meta_from_pool)(batch);
        (*user).data = Box::into_raw(held).cast();
        (*user).base.meta_type = meta_type;
        (*user).base.release = Some(release);
        (table.nvds_add_user_meta_to_batch)(batch, user);
    }
}
