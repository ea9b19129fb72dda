//! Stands in for `libnvdsgst_meta.so`: hangs batches of metadata on GStreamer's buffers.
//!
//! Every function takes the pointers that the public header asks for; that callers keep to it is what each `unsafe`
//! block rests on.

#![allow(clippy::missing_safety_doc, reason = "what callers owe stands in DeepStream's header")]

use std::{
    ptr,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use deepstream_standin::{
    layout::{BatchMeta, CopyFunction, FrameHead, GstMetaWrapper, ReleaseFunction},
    meta_type,
};
use glib_sys::{GQuark, GType, g_quark_from_static_string, gboolean, gpointer};
use gstreamer_sys::{
    GstBuffer, GstMeta, GstMetaInfo, gst_buffer_add_meta, gst_buffer_iterate_meta, gst_meta_api_type_has_tag,
    gst_meta_api_type_register, gst_meta_register,
};

/// The tag of buffers' metadata. 0 until somebody asks for its type: what looks metadata up does not, so whoever looks
/// first gets GStreamer's complaint and nothing.
static TAG: AtomicU32 = AtomicU32::new(0);

#[unsafe(no_mangle)]
extern "C" fn nvds_meta_api_get_type() -> GType {
    static TYPE: OnceLock<GType> = OnceLock::new();
    *TYPE.get_or_init(|| {
        // SAFETY: all texts end with a zero and live for ever, and the list of tags ends with null.
        unsafe {
            TAG.store(g_quark_from_static_string(c"nvdsmeta".as_ptr()), Ordering::Release);
            let mut tags = [c"nvdsmeta".as_ptr(), ptr::null()];
            gst_meta_api_type_register(c"NvDsMetaAPI".as_ptr(), tags.as_mut_ptr())
        }
    })
}

#[unsafe(no_mangle)]
extern "C" fn nvds_meta_get_info() -> *const GstMetaInfo {
    static INFO: OnceLock<usize> = OnceLock::new();
    *INFO.get_or_init(|| {
        // SAFETY: the functions are of the types that GStreamer asks for, and the size is that of what they work on.
        let info = unsafe {
            gst_meta_register(
                nvds_meta_api_get_type(),
                c"NvDsMeta".as_ptr(),
                size_of::<GstMetaWrapper>(),
                Some(initialise),
                Some(free),
                Some(transform),
            )
        };
        info as usize
    }) as *const GstMetaInfo
}

unsafe extern "C" fn initialise(meta: *mut GstMeta, _parameters: gpointer, _buffer: *mut GstBuffer) -> gboolean {
    // SAFETY: GStreamer gives metadata of the size that was registered.
    unsafe {
        let meta = &mut *meta.cast::<GstMetaWrapper>();
        meta.meta_data = ptr::null_mut();
        meta.user_data = ptr::null_mut();
        meta.meta_type = 0;
        meta.copy = None;
        meta.free = None;
        meta.transform = None;
        meta.transform_release = None;
    }
    1
}

unsafe extern "C" fn free(meta: *mut GstMeta, _buffer: *mut GstBuffer) {
    // SAFETY: metadata of this kind, which its owner gave the function for.
    unsafe {
        let meta = &mut *meta.cast::<GstMetaWrapper>();
        if let (Some(free), false) = (meta.free, meta.meta_data.is_null()) {
            free(meta.meta_data, meta.user_data);
        }
    }
}

unsafe extern "C" fn transform(
    to: *mut GstBuffer,
    meta: *mut GstMeta,
    _from: *mut GstBuffer,
    _kind: GQuark,
    _data: gpointer,
) -> gboolean {
    // SAFETY: metadata of this kind, which its owner gave the functions for; `to` can be written.
    unsafe {
        let meta = &*meta.cast::<GstMetaWrapper>();
        let Some(copy) = meta.copy else { return 1 };
        let data = copy(meta.meta_data, meta.user_data);
        let added = gst_buffer_add_nvds_meta(to, data, meta.user_data, meta.copy, meta.free);
        if added.is_null() {
            return 0;
        }
        (*added).meta_type = meta.meta_type;
        (*added).transform = meta.transform;
        (*added).transform_release = meta.transform_release;
    }
    1
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_buffer_add_nvds_meta(
    buffer: *mut GstBuffer,
    meta_data: gpointer,
    user_data: gpointer,
    copy: CopyFunction,
    free: ReleaseFunction,
) -> *mut GstMetaWrapper {
    // SAFETY: the caller gives a buffer that can be written.
    unsafe {
        let meta = gst_buffer_add_meta(buffer, nvds_meta_get_info(), ptr::null_mut()).cast::<GstMetaWrapper>();
        if !meta.is_null() {
            (*meta).meta_data = meta_data;
            (*meta).user_data = user_data;
            (*meta).copy = copy;
            (*meta).free = free;
        }
        meta
    }
}

/// The first metadata of this kind that `wanted` takes.
unsafe fn find(buffer: *mut GstBuffer, wanted: impl Fn(&GstMetaWrapper) -> bool) -> *mut GstMetaWrapper {
    let mut state: gpointer = ptr::null_mut();
    loop {
        // SAFETY: the caller gives a buffer; GStreamer keeps its place in `state`. The tag may be 0, which GStreamer
        // answers with a complaint and no.
        unsafe {
            let meta = gst_buffer_iterate_meta(buffer, &raw mut state);
            if meta.is_null() {
                return ptr::null_mut();
            }
            if gst_meta_api_type_has_tag((*(*meta).info).api, TAG.load(Ordering::Acquire)) != 0 {
                let meta = meta.cast::<GstMetaWrapper>();
                if wanted(&*meta) {
                    return meta;
                }
            }
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_buffer_get_nvds_meta(buffer: *mut GstBuffer) -> *mut GstMetaWrapper {
    // SAFETY: the caller gives a buffer.
    unsafe { find(buffer, |_| true) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_buffer_get_nvds_batch_meta(buffer: *mut GstBuffer) -> *mut BatchMeta {
    // SAFETY: the caller gives a buffer; metadata of this number is a batch.
    unsafe {
        let meta = find(buffer, |meta| meta.meta_type == meta_type::BATCH_GST);
        if meta.is_null() { ptr::null_mut() } else { (*meta).meta_data.cast() }
    }
}

/// Nothing before the stand-in's nvstreammux attaches metadata that would have to become a frame's.
#[unsafe(no_mangle)]
extern "C" fn nvds_copy_gst_meta_to_frame_meta(_: *mut GstBuffer, _: *mut BatchMeta, _: *mut FrameHead) {}
