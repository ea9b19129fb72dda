//! The libraries of the installation that the plugin lies in, as the real plugins are linked to them: without one of
//! them a plugin cannot be loaded.

use std::{
    ffi::{c_char, c_uint, c_void},
    path::PathBuf,
    sync::OnceLock,
};

use deepstream_standin::{
    layout::{BatchMeta, CopyFunction, FrameHead, GstMetaWrapper, ReleaseFunction, UserMeta},
    version::library_folder,
};
use gstreamer::ffi::{GstBuffer, GstEvent, GstMessage, GstObject};
use libloading::Library;

/// Why a library cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RuntimeError {
    #[error("cannot tell where this plugin lies")]
    Homeless,
    #[error("{}: {message}", path.display())]
    Library { path: PathBuf, message: String },
}

/// Defines the table of functions and how it is filled.
macro_rules! table {
    ($($library:literal { $($name:ident: $type:ty,)* })*) => {
        /// Functions by their names in the libraries; what each takes stands in DeepStream's headers.
        #[derive(Clone, Copy)]
        pub(crate) struct Table { $($(pub(crate) $name: $type,)*)* }

        fn load() -> Result<Table, RuntimeError> {
            let folder = library_folder().ok_or(RuntimeError::Homeless)?;
            $(
                let path = folder.join($library);
                let failed = |error: libloading::Error| {
                    RuntimeError::Library { path: path.clone(), message: error.to_string() }
                };
                // SAFETY: the library runs nothing when it is loaded. It is never unloaded.
                let library = Box::leak(Box::new(unsafe { Library::new(&path) }.map_err(failed)?));
                $(
                    // SAFETY: the library's function is of this type.
                    let $name = *unsafe { library.get::<$type>(stringify!($name)) }.map_err(failed)?;
                )*
            )*
            Ok(Table { $($($name,)*)* })
        }
    };
}

type Batch = *mut BatchMeta;

table! {
    "libnvds_meta.so" {
        nvds_create_batch_meta: unsafe extern "C" fn(c_uint) -> Batch,
        nvds_batch_meta_copy_func: unsafe extern "C" fn(*mut c_void, *mut c_void) -> *mut c_void,
        nvds_batch_meta_release_func: unsafe extern "C" fn(*mut c_void, *mut c_void),
        nvds_acquire_frame_meta_from_pool: unsafe extern "C" fn(Batch) -> *mut c_void,
        nvds_add_frame_meta_to_batch: unsafe extern "C" fn(Batch, *mut c_void),
        nvds_acquire_obj_meta_from_pool: unsafe extern "C" fn(Batch) -> *mut c_void,
        nvds_add_obj_meta_to_frame: unsafe extern "C" fn(*mut FrameHead, *mut c_void, *mut c_void),
        nvds_acquire_user_meta_from_pool: unsafe extern "C" fn(Batch) -> *mut UserMeta,
        nvds_add_user_meta_to_batch: unsafe extern "C" fn(Batch, *mut UserMeta),
        nvds_add_user_meta_to_frame: unsafe extern "C" fn(*mut FrameHead, *mut UserMeta),
        nvds_acquire_meta_lock: unsafe extern "C" fn(Batch),
        nvds_release_meta_lock: unsafe extern "C" fn(Batch),
    }
    "libnvdsgst_meta.so" {
        gst_buffer_add_nvds_meta: unsafe extern "C" fn(
            *mut GstBuffer, *mut c_void, *mut c_void, CopyFunction, ReleaseFunction
        ) -> *mut GstMetaWrapper,
        gst_buffer_get_nvds_batch_meta: unsafe extern "C" fn(*mut GstBuffer) -> Batch,
    }
    "libnvdsgst_helper.so" {
        gst_nvevent_new_pad_added: unsafe extern "C" fn(c_uint) -> *mut GstEvent,
        gst_nvevent_new_pad_deleted: unsafe extern "C" fn(c_uint) -> *mut GstEvent,
        gst_nvevent_new_stream_eos: unsafe extern "C" fn(c_uint) -> *mut GstEvent,
        gst_nvevent_new_stream_start: unsafe extern "C" fn(c_uint, *mut c_char) -> *mut GstEvent,
        gst_nvevent_parse_pad_added: unsafe extern "C" fn(*mut GstEvent, *mut c_uint),
        gst_nvevent_parse_pad_deleted: unsafe extern "C" fn(*mut GstEvent, *mut c_uint),
        gst_nvevent_parse_stream_eos: unsafe extern "C" fn(*mut GstEvent, *mut c_uint),
        gst_nvevent_parse_stream_reset: unsafe extern "C" fn(*mut GstEvent, *mut c_uint),
        gst_nvmessage_new_stream_eos: unsafe extern "C" fn(*mut GstObject, c_uint) -> *mut GstMessage,
    }
}

fn loaded() -> &'static Result<Table, RuntimeError> {
    static TABLE: OnceLock<Result<Table, RuntimeError>> = OnceLock::new();
    TABLE.get_or_init(load)
}

/// Whether all libraries are there.
pub(crate) fn check() -> Result<(), RuntimeError> {
    loaded().as_ref().map(|_| ()).map_err(Clone::clone)
}

/// The functions. No element is registered where one is missing.
pub(crate) fn table() -> &'static Table {
    match loaded() {
        Ok(table) => table,
        Err(error) => deepstream_standin::version::refuse(&error.to_string()),
    }
}

/// The number of an event's type. GStreamer's bindings know none of DeepStream's own.
pub(crate) fn event_number(event: &gstreamer::EventRef) -> u32 {
    /// `GST_EVENT_NUM_SHIFT`.
    const NUMBER_SHIFT: u32 = 8;
    // SAFETY: a borrowed event is valid.
    (unsafe { (*event.as_ptr()).type_ } as u32) >> NUMBER_SHIFT
}

/// The source that one of DeepStream's events is about.
pub(crate) fn source_of(event: &gstreamer::EventRef) -> u32 {
    let table = table();
    let parse = match event_number(event) {
        event::PAD_DELETED => table.gst_nvevent_parse_pad_deleted,
        event::STREAM_EOS => table.gst_nvevent_parse_stream_eos,
        event::STREAM_RESET => table.gst_nvevent_parse_stream_reset,
        _ => table.gst_nvevent_parse_pad_added,
    };
    let mut source = 0;
    // SAFETY: an event, and where to write to; one of another kind leaves the number alone.
    unsafe { parse(event.as_mut_ptr(), &raw mut source) };
    source
}

/// DeepStream's events, by the numbers of their types.
pub(crate) mod event {
    /// A source was added to a batch.
    pub(crate) const PAD_ADDED: u32 = 400;
    /// A source is gone.
    pub(crate) const PAD_DELETED: u32 = 401;
    /// A source has ended.
    pub(crate) const STREAM_EOS: u32 = 402;
    /// A source has begun anew.
    pub(crate) const STREAM_RESET: u32 = 404;
    /// The inference interval changes.
    pub(crate) const INFER_INTERVAL: u32 = 407;
    /// The decoder's interval changes.
    pub(crate) const DROP_FRAME_INTERVAL: u32 = 500;
    /// All that are DeepStream's.
    pub(crate) const ALL: std::ops::Range<u32> = 400..600;
}
