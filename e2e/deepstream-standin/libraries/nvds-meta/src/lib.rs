//! Stands in for `libnvds_meta.so`: batches of metadata, their pools, and what is hung into them.
//!
//! Every function takes the pointers that the public header asks for; that callers keep to it is what each `unsafe`
//! block rests on. Metadata is laid out as the epoch of the version that is played has it.

#![allow(clippy::missing_safety_doc, reason = "what callers owe stands in DeepStream's header, and above")]

mod copy;
mod pool;
mod release;

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_void},
    sync::{Mutex, PoisonError},
};

use deepstream_standin::{
    layout::{BatchMeta, ClassifierHead, FrameHead, LabelInfo, UserMeta, frame_view, object_view},
    list, meta_type,
    version::epoch,
};
use glib_sys::{GList, g_rec_mutex_lock, g_rec_mutex_unlock, gboolean, gpointer};

type Batch = *mut BatchMeta;

/// Holds a batch's lock.
struct Locked(Batch);

impl Locked {
    /// # Safety
    /// `batch` must be a batch.
    unsafe fn new(batch: Batch) -> Self {
        // SAFETY: a batch's mutex is initialised with it.
        unsafe { g_rec_mutex_lock(&raw mut (*batch).mutex) };
        Self(batch)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: locked by this thread in `new`.
        unsafe { g_rec_mutex_unlock(&raw mut (*self.0).mutex) };
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_acquire_meta_lock(batch: Batch) {
    // SAFETY: the caller gives a batch.
    unsafe { g_rec_mutex_lock(&raw mut (*batch).mutex) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_release_meta_lock(batch: Batch) {
    // SAFETY: the caller gives a batch that it has locked.
    unsafe { g_rec_mutex_unlock(&raw mut (*batch).mutex) };
}

#[unsafe(no_mangle)]
extern "C" fn nvds_create_batch_meta(max_frames: u32) -> Batch {
    pool::create_batch(max_frames)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_destroy_batch_meta(batch: Batch) -> gboolean {
    // SAFETY: the caller gives a batch that nobody uses any more.
    unsafe { pool::destroy_batch(batch) };
    1
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_batch_meta_copy_func(data: gpointer, _user: gpointer) -> gpointer {
    // SAFETY: the function is for batches only.
    unsafe { copy::batch(data.cast()).cast() }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_batch_meta_release_func(data: gpointer, _user: gpointer) {
    // SAFETY: the function is for batches only, and called when the last buffer with it goes.
    unsafe { pool::destroy_batch(data.cast()) };
}

/// Defines a function that takes an element out of a pool.
macro_rules! acquire {
    ($($name:ident $pool:ident;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $name(batch: Batch) -> gpointer {
            // SAFETY: the caller gives a batch; its pools live as long as it does.
            unsafe {
                let _locked = Locked::new(batch);
                pool::acquire(batch, (*batch).$pool)
            }
        }
    )*};
}

acquire! {
    nvds_acquire_frame_meta_from_pool frame_pool;
    nvds_acquire_obj_meta_from_pool object_pool;
    nvds_acquire_classifier_meta_from_pool classifier_pool;
    nvds_acquire_display_meta_from_pool display_pool;
    nvds_acquire_label_info_meta_from_pool label_info_pool;
    nvds_acquire_user_meta_from_pool user_pool;
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_frame_meta_to_batch(batch: Batch, frame: gpointer) {
    // SAFETY: the caller gives a batch and a frame of its pool.
    unsafe {
        let _locked = Locked::new(batch);
        list::append(&mut (*batch).frame_list, frame);
        (*batch).frames += 1;
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_remove_frame_meta_from_batch(batch: Batch, frame: gpointer) {
    // SAFETY: the caller gives a batch and a frame in it.
    unsafe {
        let _locked = Locked::new(batch);
        list::remove(&mut (*batch).frame_list, frame);
        (*batch).frames -= 1;
        release::frame(batch, frame);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_obj_meta_to_frame(frame: *mut FrameHead, object: gpointer, parent: gpointer) {
    // SAFETY: the caller gives a frame of a batch, an object of that batch's pool and its parent or null.
    unsafe {
        let _locked = Locked::new((*frame).base.batch_meta);
        object_view(epoch(), object).head.parent = parent;
        list::append(&mut (*frame).object_list, object);
        (*frame).objects += 1;
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_remove_obj_meta_from_frame(frame: *mut FrameHead, object: gpointer) {
    // SAFETY: the caller gives a frame of a batch and an object in it.
    unsafe {
        let batch = (*frame).base.batch_meta;
        let _locked = Locked::new(batch);
        list::remove(&mut (*frame).object_list, object);
        (*frame).objects -= 1;
        release::object(batch, object);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_classifier_meta_to_object(object: gpointer, classifier: gpointer) {
    // SAFETY: the caller gives an object of a batch and a result of that batch's pool.
    unsafe {
        let view = object_view(epoch(), object);
        let _locked = Locked::new(view.head.base.batch_meta);
        list::append(&mut view.tail.classifier_list, classifier);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_remove_classifier_meta_from_obj(object: gpointer, classifier: gpointer) {
    // SAFETY: the caller gives an object of a batch and a result in it.
    unsafe {
        let view = object_view(epoch(), object);
        let batch = view.head.base.batch_meta;
        let _locked = Locked::new(batch);
        list::remove(&mut view.tail.classifier_list, classifier);
        release::classifier(batch, classifier.cast());
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_label_info_meta_to_classifier(classifier: *mut ClassifierHead, label: *mut LabelInfo) {
    // SAFETY: the caller gives a result of a batch and a label of that batch's pool.
    unsafe {
        let _locked = Locked::new((*classifier).base.batch_meta);
        list::append(&mut (*classifier).label_list, label.cast());
        (*classifier).labels += 1;
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_display_meta_to_frame(frame: *mut FrameHead, display: gpointer) {
    // SAFETY: the caller gives a frame of a batch and an element of that batch's pool.
    unsafe {
        let _locked = Locked::new((*frame).base.batch_meta);
        list::append(&mut (*frame).display_list, display);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_remove_display_meta_from_frame(frame: *mut FrameHead, display: gpointer) {
    // SAFETY: the caller gives a frame of a batch and an element in it.
    unsafe {
        let batch = (*frame).base.batch_meta;
        let _locked = Locked::new(batch);
        list::remove(&mut (*frame).display_list, display);
        release::display(batch, display);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_user_meta_to_batch(batch: Batch, user: *mut UserMeta) {
    // SAFETY: the caller gives a batch and an element of its pool.
    unsafe {
        let _locked = Locked::new(batch);
        list::append(&mut (*batch).user_list, user.cast());
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_user_meta_to_frame(frame: *mut FrameHead, user: *mut UserMeta) {
    // SAFETY: the caller gives a frame of a batch and an element of that batch's pool.
    unsafe {
        let _locked = Locked::new((*frame).base.batch_meta);
        list::append(&mut (*frame).user_list, user.cast());
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_add_user_meta_to_obj(object: gpointer, user: *mut UserMeta) {
    // SAFETY: the caller gives an object of a batch and an element of that batch's pool.
    unsafe {
        let view = object_view(epoch(), object);
        let _locked = Locked::new(view.head.base.batch_meta);
        list::append(&mut view.tail.user_list, user.cast());
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_remove_user_meta_from_batch(batch: Batch, user: *mut UserMeta) {
    // SAFETY: the caller gives a batch and an element in it.
    unsafe {
        let _locked = Locked::new(batch);
        list::remove(&mut (*batch).user_list, user.cast());
        release::user(batch, user);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_remove_user_meta_from_frame(frame: *mut FrameHead, user: *mut UserMeta) {
    // SAFETY: the caller gives a frame of a batch and an element in it.
    unsafe {
        let batch = (*frame).base.batch_meta;
        let _locked = Locked::new(batch);
        list::remove(&mut (*frame).user_list, user.cast());
        release::user(batch, user);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_remove_user_meta_from_object(object: gpointer, user: *mut UserMeta) {
    // SAFETY: the caller gives an object of a batch and an element in it.
    unsafe {
        let view = object_view(epoch(), object);
        let batch = view.head.base.batch_meta;
        let _locked = Locked::new(batch);
        list::remove(&mut view.tail.user_list, user.cast());
        release::user(batch, user);
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_clear_obj_meta_list(frame: *mut FrameHead, _list: *mut GList) {
    // SAFETY: the caller gives a frame of a batch.
    unsafe {
        let batch = (*frame).base.batch_meta;
        let _locked = Locked::new(batch);
        for object in list::take(&mut (*frame).object_list) {
            release::object(batch, object);
        }
        (*frame).objects = 0;
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_clear_frame_user_meta_list(frame: *mut FrameHead, _list: *mut GList) {
    // SAFETY: the caller gives a frame of a batch.
    unsafe {
        let batch = (*frame).base.batch_meta;
        let _locked = Locked::new(batch);
        for user in list::take(&mut (*frame).user_list) {
            release::user(batch, user.cast());
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_get_nth_frame_meta(frames: *mut GList, index: u32) -> gpointer {
    // SAFETY: the caller gives the list of a batch's frames.
    unsafe { list::items(frames) }.get(index as usize).copied().unwrap_or(std::ptr::null_mut())
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_copy_obj_meta(from: gpointer, to: gpointer) {
    // SAFETY: the caller gives two objects of batches.
    unsafe { copy::object_into((*to.cast::<UserMeta>()).base.batch_meta, from, to) };
}

#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_copy_frame_meta(from: gpointer, to: gpointer) {
    // SAFETY: the caller gives two frames of batches.
    unsafe { copy::frame_into(frame_view(epoch(), to).head.base.batch_meta, from, to) };
}

/// The same number for the same words, for as long as the process lives.
#[unsafe(no_mangle)]
unsafe extern "C" fn nvds_get_user_meta_type(descriptor: *const c_char) -> i32 {
    static TYPES: Mutex<Option<HashMap<Vec<u8>, i32>>> = Mutex::new(None);
    if descriptor.is_null() {
        return 0;
    }
    // SAFETY: not null, so a text by the header.
    let descriptor = unsafe { CStr::from_ptr(descriptor) }.to_bytes().to_owned();
    let mut types = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    let types = types.get_or_insert_default();
    let next = meta_type::START_USER + types.len() as i32;
    *types.entry(descriptor).or_insert(next)
}

/// What every metadata begins with, for code that needs no more of it.
fn base<'a>(meta: *mut c_void) -> &'a mut deepstream_standin::layout::BaseMeta {
    // SAFETY: only called with elements of pools, each of which begins with it.
    unsafe { &mut *meta.cast() }
}
