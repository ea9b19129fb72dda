//! Stands in for `libnvdsgst_helper.so`: DeepStream's own events, messages and queries.
//!
//! Every function takes the pointers that the public header asks for; that callers keep to it is what each `unsafe`
//! block rests on. Names and fields of the structures are not public but for `source-id`; use the functions.

#![allow(clippy::missing_safety_doc, reason = "what callers owe stands in DeepStream's header")]

use std::{
    ffi::{CStr, CString, c_char, c_uint},
    ptr,
};

use deepstream_standin::current;
use glib_sys::{g_strdup, gboolean};
use gobject_sys::{G_TYPE_STRING, G_TYPE_UINT};
use gstreamer_sys::{
    GstEvent, GstMessage, GstObject, GstQuery, GstSegment, GstStructure, gst_event_get_structure, gst_event_new_custom,
    gst_message_get_structure, gst_message_new_element, gst_query_get_structure, gst_query_new_custom,
    gst_query_writable_structure, gst_segment_copy, gst_segment_get_type, gst_structure_get_string,
    gst_structure_get_uint, gst_structure_has_name, gst_structure_new, gst_structure_new_empty, gst_structure_set,
};

/// The numbers that DeepStream gave its events.
mod number {
    pub(super) const PAD_ADDED: u32 = 400;
    pub(super) const PAD_DELETED: u32 = 401;
    pub(super) const STREAM_EOS: u32 = 402;
    pub(super) const STREAM_SEGMENT: u32 = 403;
    pub(super) const STREAM_RESET: u32 = 404;
    pub(super) const STREAM_START: u32 = 405;
}

/// The `GstEventType`: downstream and serialised; from 6.3 on sticky too, several of a kind.
fn event_type(number: u32) -> i32 {
    const NUMBER_SHIFT: u32 = 8;
    const DOWNSTREAM: u32 = 1 << 1;
    const SERIALIZED: u32 = 1 << 2;
    const STICKY: u32 = 1 << 3;
    const STICKY_MULTI: u32 = 1 << 4;
    let sticky = if current().at_least(6, 3) { STICKY | STICKY_MULTI } else { 0 };
    ((number << NUMBER_SHIFT) | DOWNSTREAM | SERIALIZED | sticky) as i32
}

/// Sticky events of several sources live beside one another only if their names differ.
fn structure(name: &str, source: c_uint) -> *mut GstStructure {
    let name = if current().at_least(6, 3) { format!("nv-{name}-{source}-0") } else { format!("nv-{name}") };
    let name = CString::new(name).unwrap_or_default();
    // SAFETY: a name, then triples of field, type and value, ended by null.
    unsafe { gst_structure_new(name.as_ptr(), c"source-id".as_ptr(), G_TYPE_UINT, source, ptr::null_mut::<c_char>()) }
}

fn event(number: u32, name: &str, source: c_uint) -> *mut GstEvent {
    // SAFETY: the event takes the structure.
    unsafe { gst_event_new_custom(event_type(number), structure(name, source)) }
}

/// What the event says of its source, where it is of this number.
unsafe fn parse(event: *mut GstEvent, number: u32, source: *mut c_uint) -> *const GstStructure {
    // SAFETY: the caller gives an event and where to write to.
    unsafe {
        if (*event).type_ as u32 >> 8 != number {
            return ptr::null();
        }
        let structure = gst_event_get_structure(event);
        gst_structure_get_uint(structure, c"source-id".as_ptr(), source);
        structure
    }
}

/// Defines the maker and the reader of an event that says nothing but its source.
macro_rules! events {
    ($($new:ident $parse:ident $number:ident $name:literal;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $new(source: c_uint) -> *mut GstEvent {
            event(number::$number, $name, source)
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $parse(event: *mut GstEvent, source: *mut c_uint) {
            // SAFETY: the caller gives an event and where to write to.
            unsafe { parse(event, number::$number, source) };
        }
    )*};
}

events! {
    gst_nvevent_new_pad_added gst_nvevent_parse_pad_added PAD_ADDED "pad-added";
    gst_nvevent_new_pad_deleted gst_nvevent_parse_pad_deleted PAD_DELETED "pad-deleted";
    gst_nvevent_new_stream_eos gst_nvevent_parse_stream_eos STREAM_EOS "stream-eos";
    gst_nvevent_new_stream_reset gst_nvevent_parse_stream_reset STREAM_RESET "stream-reset";
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvevent_new_stream_segment(source: c_uint, segment: *mut GstSegment) -> *mut GstEvent {
    let structure = structure("stream-segment", source);
    // SAFETY: triples of field, type and value, ended by null; the event takes the structure.
    unsafe {
        gst_structure_set(structure, c"segment".as_ptr(), gst_segment_get_type(), segment, ptr::null_mut::<c_char>());
        gst_event_new_custom(event_type(number::STREAM_SEGMENT), structure)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvevent_parse_stream_segment(
    event: *mut GstEvent,
    source: *mut c_uint,
    segment: *mut *mut GstSegment,
) {
    // SAFETY: the caller gives an event and where to write to; a field of the type holds a segment.
    unsafe {
        let structure = parse(event, number::STREAM_SEGMENT, source);
        let value = if structure.is_null() {
            ptr::null()
        } else {
            gstreamer_sys::gst_structure_get_value(structure, c"segment".as_ptr())
        };
        if !value.is_null() {
            *segment = gst_segment_copy(gobject_sys::g_value_get_boxed(value).cast());
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvevent_new_stream_start(source: c_uint, stream: *mut c_char) -> *mut GstEvent {
    let structure = structure("stream-start", source);
    // SAFETY: triples of field, type and value, ended by null; the event takes the structure.
    unsafe {
        gst_structure_set(structure, c"stream-id".as_ptr(), G_TYPE_STRING, stream, ptr::null_mut::<c_char>());
        gst_event_new_custom(event_type(number::STREAM_START), structure)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvevent_parse_stream_start(
    event: *mut GstEvent,
    source: *mut c_uint,
    stream: *mut *mut c_char,
) {
    // SAFETY: the caller gives an event and where to write to.
    unsafe {
        let structure = parse(event, number::STREAM_START, source);
        if !structure.is_null() {
            *stream = g_strdup(gst_structure_get_string(structure, c"stream-id".as_ptr()));
        }
    }
}

const EOS_MESSAGE: &CStr = c"stream-eos";

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvmessage_new_stream_eos(object: *mut GstObject, stream: c_uint) -> *mut GstMessage {
    // SAFETY: triples of field, type and value, ended by null; the message takes the structure.
    unsafe {
        let structure = gst_structure_new(
            EOS_MESSAGE.as_ptr(),
            c"stream-id".as_ptr(),
            G_TYPE_UINT,
            stream,
            ptr::null_mut::<c_char>(),
        );
        gst_message_new_element(object, structure)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvmessage_is_stream_eos(message: *mut GstMessage) -> gboolean {
    // SAFETY: the caller gives a message.
    unsafe {
        let structure = gst_message_get_structure(message);
        gboolean::from(!structure.is_null() && gst_structure_has_name(structure, EOS_MESSAGE.as_ptr()) != 0)
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn gst_nvmessage_parse_stream_eos(message: *mut GstMessage, stream: *mut c_uint) -> gboolean {
    // SAFETY: the caller gives a message and where to write to.
    unsafe {
        if gst_nvmessage_is_stream_eos(message) == 0 {
            return 0;
        }
        gst_structure_get_uint(gst_message_get_structure(message), c"stream-id".as_ptr(), stream)
    }
}

/// Downstream and upstream, serialised.
const QUERY_BOTH: i32 = (500 << 8) | 1 | 2;

/// Defines the functions of a query for one number.
macro_rules! queries {
    ($($new:ident $is:ident $set:ident $parse:ident $name:literal;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $new() -> *mut GstQuery {
            // SAFETY: the query takes the structure.
            unsafe { gst_query_new_custom(QUERY_BOTH, gst_structure_new_empty($name.as_ptr())) }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $is(query: *mut GstQuery) -> gboolean {
            // SAFETY: the caller gives a query.
            unsafe {
                let structure = gst_query_get_structure(query);
                gboolean::from(!structure.is_null() && gst_structure_has_name(structure, $name.as_ptr()) != 0)
            }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $set(query: *mut GstQuery, value: c_uint) {
            // SAFETY: the caller gives a query that can be written.
            unsafe {
                let structure = gst_query_writable_structure(query);
                gst_structure_set(structure, c"value".as_ptr(), G_TYPE_UINT, value, ptr::null_mut::<c_char>());
            }
        }

        #[unsafe(no_mangle)]
        unsafe extern "C" fn $parse(query: *mut GstQuery, value: *mut c_uint) -> gboolean {
            // SAFETY: the caller gives a query and where to write to.
            unsafe { gst_structure_get_uint(gst_query_get_structure(query), c"value".as_ptr(), value) }
        }
    )*};
}

queries! {
    gst_nvquery_batch_size_new gst_nvquery_is_batch_size gst_nvquery_batch_size_set gst_nvquery_batch_size_parse
        c"nv-batch-size";
    gst_nvquery_numStreams_size_new gst_nvquery_is_numStreams_size gst_nvquery_numStreams_size_set
        gst_nvquery_numStreams_size_parse c"nv-num-streams";
}
