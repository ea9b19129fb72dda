//! Stands in for `libnvdsgst_customhelper.so`: events that change elements while they run.
//!
//! Every function takes the pointers that the public header asks for; that callers keep to it is what each `unsafe`
//! block rests on.

#![allow(clippy::missing_safety_doc, reason = "what callers owe stands in DeepStream's header")]

use std::{
    ffi::{CStr, c_char, c_uint},
    ptr,
};

use glib_sys::g_strdup;
use gobject_sys::{G_TYPE_STRING, G_TYPE_UINT};
use gstreamer_sys::{
    GstEvent, gst_event_get_structure, gst_event_new_custom, gst_structure_get_string, gst_structure_get_uint,
    gst_structure_new,
};

/// Downstream and serialised, not sticky.
const fn event_type(number: i32) -> i32 {
    (number << 8) | (1 << 1) | (1 << 2)
}

/// Defines the maker and the reader of an event that gives one number to one stream.
macro_rules! number_events {
    ($($new:ident $parse:ident $number:literal $name:literal $field:literal;)*) => {$(
        #[unsafe(no_mangle)]
        unsafe extern "C" fn $new(stream: *mut c_char, value: c_uint) -> *mut GstEvent {
            // SAFETY: triples of field, type and value, ended by null; the event takes the structure.
            unsafe {
                let structure = gst_structure_new(
                    $name.as_ptr(),
                    c"stream_id".as_ptr(),
                    G_TYPE_STRING,
                    stream,
                    $field.as_ptr(),
                    G_TYPE_UINT,
                    value,
                    ptr::null_mut::<c_char>(),
                );
                gst_event_new_custom(event_type($number), structure)
            }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $parse(event: *mut GstEvent, stream: *mut *mut c_char, value: *mut c_uint) {
            // SAFETY: the caller gives an event and where to write to.
            unsafe {
                let structure = gst_event_get_structure(event);
                *stream = g_strdup(gst_structure_get_string(structure, c"stream_id".as_ptr()));
                gst_structure_get_uint(structure, $field.as_ptr(), value);
            }
        }
    )*};
}

number_events! {
    gst_nvevent_infer_interval_update gst_nvevent_parse_infer_interval_update 407 c"nv-infer-interval-update"
        c"interval";
    gst_nvevent_osd_process_mode_update gst_nvevent_parse_osd_process_mode_update 408 c"nv-osd-process-mode-update"
        c"process_mode";
}

/// A text of one event's field.
unsafe fn text_event(number: i32, name: &CStr, fields: [(&CStr, *mut c_char); 2]) -> *mut GstEvent {
    let [(first, first_value), (second, second_value)] = fields;
    // SAFETY: triples of field, type and value, ended by null; the event takes the structure.
    unsafe {
        let structure = gst_structure_new(
            name.as_ptr(),
            first.as_ptr(),
            G_TYPE_STRING,
            first_value,
            second.as_ptr(),
            G_TYPE_STRING,
            second_value,
            ptr::null_mut::<c_char>(),
        );
        gst_event_new_custom(event_type(number), structure)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvevent_nvtracker_config_update(stream: *mut c_char, path: *mut c_char) -> *mut GstEvent {
    // SAFETY: the caller gives texts.
    unsafe { text_event(410, c"nv-tracker-config-update", [(c"stream_id", stream), (c"config_path", path)]) }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvevent_parse_nvtracker_config_update(
    event: *mut GstEvent,
    stream: *mut *mut c_char,
    path: *mut *mut c_char,
) {
    // SAFETY: the caller gives an event and where to write to.
    unsafe {
        let structure = gst_event_get_structure(event);
        *stream = g_strdup(gst_structure_get_string(structure, c"stream_id".as_ptr()));
        *path = g_strdup(gst_structure_get_string(structure, c"config_path".as_ptr()));
    }
}
