//! Deep copies of metadata, for buffers that are copied.

use std::{ffi::c_void, mem, ptr};

use deepstream_standin::{
    layout::{
        BatchMeta, ClassifierHead, DisplayMeta, LabelInfo, MetaPool, RectParams, RotatedRectParams, TextParams,
        UserMeta, frame_view, object_view,
    },
    list,
    version::{Epoch, epoch},
};
use glib_sys::{GList, g_memdup, g_strdup};

use crate::{base, pool};

/// A copy of the whole batch.
///
/// # Safety
/// `from` must be a batch.
pub(crate) unsafe fn batch(from: *mut BatchMeta) -> *mut BatchMeta {
    // SAFETY: as the caller warrants; the new batch is ours alone.
    unsafe {
        let to = pool::create_batch((*from).max_frames);
        (*to).misc = (*from).misc;
        (*to).reserved = (*from).reserved;
        for frame in list::items((*from).frame_list) {
            let copy = pool::acquire(to, (*to).frame_pool);
            frame_into(to, frame, copy);
            list::append(&mut (*to).frame_list, copy);
            (*to).frames += 1;
        }
        users(to, (*from).user_list, &mut (*to).user_list);
        to
    }
}

/// Copies the bytes of an element and leaves it in its own batch.
unsafe fn bytes_into(batch: *mut BatchMeta, pool: *mut MetaPool, from: *mut c_void, to: *mut c_void) {
    // SAFETY: both are elements of pools of this kind, so of this size.
    unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), (*pool).element_size as usize) };
    base(to).batch_meta = batch;
}

/// Copies a frame into an element of the batch's pool.
///
/// # Safety
/// Both must be frames, `to` one of `batch`.
pub(crate) unsafe fn frame_into(batch: *mut BatchMeta, from: *mut c_void, to: *mut c_void) {
    // SAFETY: as the caller warrants.
    unsafe {
        bytes_into(batch, (*batch).frame_pool, from, to);
        let head = frame_view(epoch(), to).head;
        let objects = mem::replace(&mut head.object_list, ptr::null_mut());
        let displays = mem::replace(&mut head.display_list, ptr::null_mut());
        let user_list = mem::replace(&mut head.user_list, ptr::null_mut());
        let originals = list::items(objects);
        let mut copies = Vec::with_capacity(originals.len());
        for object in &originals {
            let copy = pool::acquire(batch, (*batch).object_pool);
            object_into(batch, *object, copy);
            list::append(&mut head.object_list, copy);
            copies.push(copy);
        }
        for copy in &copies {
            let parent = &mut object_view(epoch(), *copy).head.parent;
            if let Some(index) = originals.iter().position(|original| *original == *parent) {
                *parent = copies[index];
            }
        }
        for display in list::items(displays) {
            let copy = pool::acquire(batch, (*batch).display_pool);
            bytes_into(batch, (*batch).display_pool, display, copy);
            let texts: &mut [TextParams] = if epoch() < Epoch::V9 {
                &mut (*copy.cast::<DisplayMeta<RectParams>>()).texts
            } else {
                &mut (*copy.cast::<DisplayMeta<RotatedRectParams>>()).texts
            };
            for text in texts {
                text.text = g_strdup(text.text);
            }
            list::append(&mut head.display_list, copy);
        }
        users(batch, user_list, &mut head.user_list);
    }
}

/// Copies an object into an element of the batch's pool.
///
/// # Safety
/// Both must be objects, `to` one of `batch`.
pub(crate) unsafe fn object_into(batch: *mut BatchMeta, from: *mut c_void, to: *mut c_void) {
    // SAFETY: as the caller warrants; a mask is as large as it says.
    unsafe {
        bytes_into(batch, (*batch).object_pool, from, to);
        let view = object_view(epoch(), to);
        view.text.text = g_strdup(view.text.text);
        if let Some(mask) = view.mask {
            mask.data = g_memdup(mask.data.cast(), mask.size).cast();
        }
        let classifiers = mem::replace(&mut view.tail.classifier_list, ptr::null_mut());
        let user_list = mem::replace(&mut view.tail.user_list, ptr::null_mut());
        for classifier in list::items(classifiers) {
            let copy = pool::acquire(batch, (*batch).classifier_pool);
            bytes_into(batch, (*batch).classifier_pool, classifier, copy);
            let head = &mut *copy.cast::<ClassifierHead>();
            for label in list::items(mem::replace(&mut head.label_list, ptr::null_mut())) {
                let copy = pool::acquire(batch, (*batch).label_info_pool);
                bytes_into(batch, (*batch).label_info_pool, label, copy);
                let label = &mut *copy.cast::<LabelInfo>();
                label.long_label = g_strdup(label.long_label);
                list::append(&mut head.label_list, copy);
            }
            list::append(&mut view.tail.classifier_list, copy);
        }
        users(batch, user_list, &mut view.tail.user_list);
    }
}

/// Copies users' metadata. What has no copy function is not copied: its owner has not said how.
unsafe fn users(batch: *mut BatchMeta, from: *mut GList, to: &mut *mut GList) {
    // SAFETY: `from` is a list of users' metadata, `batch` the batch that `to` belongs to.
    unsafe {
        for item in list::items(from) {
            let original = &mut *item.cast::<UserMeta>();
            if let Some(copy_data) = original.base.copy {
                let copy = pool::acquire(batch, (*batch).user_pool);
                bytes_into(batch, (*batch).user_pool, item, copy);
                (*copy.cast::<UserMeta>()).data = copy_data(item, original.base.user_context);
                list::append(to, copy);
            }
        }
    }
}
