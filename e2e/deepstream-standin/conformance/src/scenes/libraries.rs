//! Scenes with the libraries alone.

use std::{
    ffi::c_void,
    sync::atomic::{AtomicUsize, Ordering},
};

use deepstream_standin::{
    layout::{BatchMeta, CopyFunction, GstMetaWrapper, MetaPool, ReleaseFunction, UserMeta, object_view},
    list, meta_type,
    version::epoch,
};
use gstreamer::{self as gst, ffi::GstBuffer, glib::translate::from_glib_full, prelude::*};
use serde_json::json;

use crate::{
    installation::{
        Acquire, GetBatch, GetMeta, GetType, NewEvent, NewMessage, ParseEvent, ParseMessage, UserType, Version,
        function, library,
    },
    pipeline::say,
};

type AddMeta = unsafe extern "C" fn(
    *mut GstBuffer,
    *mut c_void,
    *mut c_void,
    CopyFunction,
    ReleaseFunction,
) -> *mut GstMetaWrapper;
type Create = unsafe extern "C" fn(u32) -> *mut BatchMeta;
type Copy = unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void;
type Release = unsafe extern "C" fn(*mut c_void, *mut c_void);
type AddFrame = unsafe extern "C" fn(*mut BatchMeta, *mut c_void);
type AddObject = unsafe extern "C" fn(*mut c_void, *mut c_void, *mut c_void);
type AddUser = unsafe extern "C" fn(*mut c_void, *mut UserMeta);

pub(crate) fn version() {
    let version: Version = function(library("libnvds_utils.so"), "nvds_version");
    let (mut major, mut minor) = (0, 0);
    // SAFETY: two numbers to write to.
    unsafe { version(&raw mut major, &raw mut minor) };
    say("version", json!([major, minor]));
}

/// Who looks for metadata before the type was asked for gets nothing.
pub(crate) fn quark() {
    let meta = library("libnvdsgst_meta.so");
    let get: GetBatch = function(meta, "gst_buffer_get_nvds_batch_meta");
    let get_type: GetType = function(meta, "nvds_meta_api_get_type");
    let mut buffer = gst::Buffer::new();
    gst::ReferenceTimestampMeta::add(
        buffer.get_mut().unwrap(),
        &gst::Caps::builder("timestamp/x-test").build(),
        gst::ClockTime::ZERO,
        gst::ClockTime::NONE,
    );
    // SAFETY: a valid buffer.
    unsafe {
        say("before", json!(get(buffer.as_mut_ptr()).is_null()));
        get_type();
        say("after", json!(get(buffer.as_mut_ptr()).is_null()));
    }
}

/// The sizes that pools tell.
pub(crate) fn pools() {
    let meta = library("libnvds_meta.so");
    let create: Create = function(meta, "nvds_create_batch_meta");
    let release: Release = function(meta, "nvds_batch_meta_release_func");
    let acquire: Acquire = function(meta, "nvds_acquire_obj_meta_from_pool");
    // SAFETY: the functions get what the header asks for.
    unsafe {
        let batch = create(2);
        let size = |pool: *mut MetaPool| (*pool).element_size;
        let BatchMeta { frame_pool, object_pool, classifier_pool, display_pool, user_pool, label_info_pool, .. } =
            *batch;
        let sizes = [frame_pool, object_pool, classifier_pool, display_pool, user_pool, label_info_pool].map(size);
        say("sizes", json!(sizes));
        let counts = || ((*object_pool).max_elements, (*object_pool).empty, (*object_pool).full);
        say("first", json!(counts()));
        // More than it holds at first.
        for _ in 0..=counts().0 {
            assert!(!acquire(batch).is_null());
        }
        say("grown", json!(counts()));
        release(batch.cast(), std::ptr::null_mut());
    }
}

/// How often users' metadata was freed.
static RELEASED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" fn keep(data: *mut c_void, _: *mut c_void) -> *mut c_void {
    // SAFETY: called with users' metadata.
    unsafe { (*data.cast::<UserMeta>()).data }
}

unsafe extern "C" fn count(_: *mut c_void, _: *mut c_void) {
    RELEASED.fetch_add(1, Ordering::SeqCst);
}

/// A buffer that is copied has metadata of its own.
pub(crate) fn copies() {
    let meta = library("libnvds_meta.so");
    let gst_meta = library("libnvdsgst_meta.so");
    let create: Create = function(meta, "nvds_create_batch_meta");
    let copy: Copy = function(meta, "nvds_batch_meta_copy_func");
    let release: Release = function(meta, "nvds_batch_meta_release_func");
    let acquire_frame: Acquire = function(meta, "nvds_acquire_frame_meta_from_pool");
    let acquire_object: Acquire = function(meta, "nvds_acquire_obj_meta_from_pool");
    let acquire_user: Acquire = function(meta, "nvds_acquire_user_meta_from_pool");
    let add_frame: AddFrame = function(meta, "nvds_add_frame_meta_to_batch");
    let add_object: AddObject = function(meta, "nvds_add_obj_meta_to_frame");
    let add_user: AddUser = function(meta, "nvds_add_user_meta_to_frame");
    let add: AddMeta = function(gst_meta, "gst_buffer_add_nvds_meta");
    let get: GetMeta = function(gst_meta, "gst_buffer_get_nvds_meta");
    // SAFETY: the functions get what the headers ask for.
    unsafe {
        let batch = create(1);
        let frame = acquire_frame(batch);
        let parent = acquire_object(batch);
        let child = acquire_object(batch);
        object_view(epoch(), child).text.text = glib_sys::g_strdup(c"a child".as_ptr());
        add_object(frame, parent, std::ptr::null_mut());
        add_object(frame, child, parent);
        let user = acquire_user(batch).cast::<UserMeta>();
        (*user).base.copy = Some(keep);
        (*user).base.release = Some(count);
        (*user).data = 7 as *mut c_void;
        add_user(frame, user);
        add_frame(batch, frame);
        let mut buffer = gst::Buffer::new();
        let wrapper =
            add(buffer.get_mut().unwrap().as_mut_ptr(), batch.cast(), std::ptr::null_mut(), Some(copy), Some(release));
        (*wrapper).meta_type = meta_type::BATCH_GST;
        let copied = buffer.copy();
        let other = get(copied.as_mut_ptr());
        let other_batch = (*other).meta_data.cast::<BatchMeta>();
        assert_ne!(other_batch, batch, "a batch of its own");
        drop(buffer);
        say("released-first", json!(RELEASED.load(Ordering::SeqCst)));
        let frames = list::items((*other_batch).frame_list);
        let head = deepstream_standin::layout::frame_view(epoch(), frames[0]).head;
        let objects = list::items(head.object_list);
        let child = object_view(epoch(), objects[1]);
        assert_eq!(child.head.parent, objects[0], "the parent's copy");
        say("text", json!(std::ffi::CStr::from_ptr(child.text.text).to_str().unwrap()));
        let user = list::items(head.user_list)[0].cast::<UserMeta>();
        say("user", json!((*user).data as usize));
        drop(copied);
        say("released", json!(RELEASED.load(Ordering::SeqCst)));
    }
}

pub(crate) fn events() {
    let helper = library("libnvdsgst_helper.so");
    for (name, parser) in [
        ("gst_nvevent_new_pad_added", "gst_nvevent_parse_pad_added"),
        ("gst_nvevent_new_pad_deleted", "gst_nvevent_parse_pad_deleted"),
        ("gst_nvevent_new_stream_eos", "gst_nvevent_parse_stream_eos"),
    ] {
        let new: NewEvent = function(helper, name);
        let parse: ParseEvent = function(helper, parser);
        // SAFETY: the functions get what the header asks for.
        unsafe {
            let event: gst::Event = from_glib_full(new(3));
            let mut source = 0;
            parse(event.as_mut_ptr(), &raw mut source);
            say(
                name,
                json!({
                    "type": (*event.as_ptr()).type_,
                    "source": source,
                    "structure": event.structure().map(|structure| structure.name().to_string()),
                }),
            );
        }
    }
    let new: NewMessage = function(helper, "gst_nvmessage_new_stream_eos");
    let parse: ParseMessage = function(helper, "gst_nvmessage_parse_stream_eos");
    let pipeline = gst::Pipeline::new();
    // SAFETY: the functions get what the header asks for.
    unsafe {
        let message: gst::Message = from_glib_full(new(pipeline.upcast_ref::<gst::Object>().as_ptr(), 5));
        let mut stream = 0;
        assert_eq!(parse(message.as_mut_ptr(), &raw mut stream), 1);
        say("message", json!(stream));
    }
}

pub(crate) fn types() {
    let user_type: UserType = function(library("libnvds_meta.so"), "nvds_get_user_meta_type");
    // SAFETY: texts that end with a zero.
    let types = unsafe { [c"A.USER_META", c"B.USER_META", c"A.USER_META"].map(|text| user_type(text.as_ptr())) };
    say("types", json!(types));
}
