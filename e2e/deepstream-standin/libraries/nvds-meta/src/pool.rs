//! Batches and the pools that their metadata comes from.

use std::ffi::c_void;

use deepstream_standin::{
    layout::{BatchMeta, LabelInfo, MetaPool, UserMeta, classifier_size, display_size, frame_size, object_size},
    list, meta_type,
    version::epoch,
};
use glib_sys::{g_free, g_malloc0, g_rec_mutex_clear, g_rec_mutex_init};

use crate::{base, release};

/// Elements that a pool holds at first, times the frames of a batch for frames and objects.
const FIRST: u32 = 4;

fn create_pool(meta_type: i32, element_size: usize, elements: u32) -> *mut MetaPool {
    // SAFETY: g_malloc0 gives zeroed memory of the size, and all zeroes are a valid pool.
    let pool = unsafe { &mut *g_malloc0(size_of::<MetaPool>()).cast::<MetaPool>() };
    pool.meta_type = meta_type;
    pool.element_size = element_size as u32;
    for _ in 0..elements {
        // SAFETY: the list is the pool's own.
        unsafe { list::append(&mut pool.empty_list, g_malloc0(element_size)) };
    }
    pool.max_elements = elements;
    pool.empty = elements;
    pool
}

/// A new batch without frames.
pub(crate) fn create_batch(max_frames: u32) -> *mut BatchMeta {
    let epoch = epoch();
    // SAFETY: g_malloc0 gives zeroed memory of the size, and all zeroes are a valid batch but for what follows.
    let batch = unsafe { &mut *g_malloc0(size_of::<BatchMeta>()).cast::<BatchMeta>() };
    let pointer: *mut BatchMeta = batch;
    batch.base.batch_meta = pointer;
    batch.base.meta_type = meta_type::BATCH;
    batch.max_frames = max_frames;
    let frames = max_frames.max(1);
    batch.frame_pool = create_pool(meta_type::FRAME, frame_size(epoch), frames);
    batch.object_pool = create_pool(meta_type::OBJECT, object_size(epoch), FIRST * frames);
    batch.classifier_pool = create_pool(meta_type::CLASSIFIER, classifier_size(epoch), FIRST);
    batch.display_pool = create_pool(meta_type::DISPLAY, display_size(epoch), 1);
    batch.user_pool = create_pool(meta_type::USER, size_of::<UserMeta>(), FIRST);
    batch.label_info_pool = create_pool(meta_type::LABEL_INFO, size_of::<LabelInfo>(), FIRST);
    // SAFETY: the mutex is ours and not yet in use.
    unsafe { g_rec_mutex_init(&raw mut batch.mutex) };
    pointer
}

/// Frees a batch and all that hangs in it.
///
/// # Safety
/// `batch` must be of [`create_batch`], and nobody may use it any more.
pub(crate) unsafe fn destroy_batch(batch: *mut BatchMeta) {
    // SAFETY: as the caller warrants; pools and their elements are of g_malloc0.
    unsafe {
        for frame in list::take(&mut (*batch).frame_list) {
            release::frame(batch, frame);
        }
        for user in list::take(&mut (*batch).user_list) {
            release::user(batch, user.cast());
        }
        let BatchMeta { frame_pool, object_pool, classifier_pool, display_pool, user_pool, label_info_pool, .. } =
            *batch;
        for pool in [frame_pool, object_pool, classifier_pool, display_pool, user_pool, label_info_pool] {
            for element in list::take(&mut (*pool).empty_list) {
                g_free(element);
            }
            g_free(pool.cast());
        }
        g_rec_mutex_clear(&raw mut (*batch).mutex);
        g_free(batch.cast());
    }
}

/// A zeroed element of the pool, which grows where it is empty.
///
/// # Safety
/// `pool` must be a pool of `batch`, which the caller holds locked.
pub(crate) unsafe fn acquire(batch: *mut BatchMeta, pool: *mut MetaPool) -> *mut c_void {
    // SAFETY: as the caller warrants.
    let (element, meta_type) = unsafe {
        let pool = &mut *pool;
        let element = if pool.empty_list.is_null() {
            pool.max_elements += 1;
            g_malloc0(pool.element_size as usize)
        } else {
            let element = (*pool.empty_list).data;
            list::remove(&mut pool.empty_list, element);
            pool.empty -= 1;
            element
        };
        pool.full += 1;
        (element, pool.meta_type)
    };
    let base = base(element);
    base.batch_meta = batch;
    base.meta_type = meta_type;
    element
}

/// Gives an element back that holds nothing any more.
///
/// # Safety
/// `element` must be of [`acquire`] with this pool, and nobody may use it any more.
pub(crate) unsafe fn give_back(pool: *mut MetaPool, element: *mut c_void) {
    // SAFETY: as the caller warrants; the element is as large as its pool says.
    unsafe {
        let pool = &mut *pool;
        element.cast::<u8>().write_bytes(0, pool.element_size as usize);
        list::append(&mut pool.empty_list, element);
        pool.empty += 1;
        pool.full -= 1;
    }
}
