//! One plugin description per file of `lib/gst-plugins`. GStreamer asks for the one that the file is named after.

use std::{
    ffi::{CString, c_char},
    ptr,
};

use deepstream_standin::version::{LAYOUT_VARIABLE, VERSION_VARIABLE, current};
use gstreamer::{ffi as gst_ffi, glib, glib::translate::FromGlibPtrBorrow};

use crate::{convert, decoder, infer, jpeg, mux, osd, preprocess, runtime, tracker, uri_source};

type Register = fn(&gstreamer::Plugin) -> Result<(), glib::BoolError>;

/// Describes a plugin; lives as long as the process.
fn describe(
    name: &'static std::ffi::CStr,
    description: &'static std::ffi::CStr,
    init: unsafe extern "C" fn(*mut gst_ffi::GstPlugin) -> glib::ffi::gboolean,
) -> *const gst_ffi::GstPluginDesc {
    let version = CString::new(current().to_string()).unwrap_or_default().into_raw().cast_const();
    let text = |text: &'static std::ffi::CStr| text.as_ptr();
    Box::leak(Box::new(gst_ffi::GstPluginDesc {
        major_version: gstreamer::subclass::MAJOR_VERSION,
        minor_version: gstreamer::subclass::MINOR_VERSION,
        name: text(name),
        description: text(description),
        plugin_init: Some(init),
        version,
        license: text(c"Proprietary"),
        source: text(c"deepstream-standin"),
        package: text(c"vision-operator stand-in for DeepStream"),
        origin: text(c"https://vision-operator.dev"),
        release_datetime: ptr::null::<c_char>(),
        _gst_reserved: [ptr::null_mut(); 4],
    }))
}

/// Registers a plugin's elements. They depend on the version, so GStreamer is told to look again when it changes.
unsafe fn initialise(plugin: *mut gst_ffi::GstPlugin, register: Register) -> glib::ffi::gboolean {
    let variables = CString::new(format!("{VERSION_VARIABLE},{LAYOUT_VARIABLE}")).unwrap_or_default();
    // SAFETY: GStreamer gives its plugin; the texts end with a zero or are null, which it allows.
    unsafe {
        gst_ffi::gst_plugin_add_dependency_simple(plugin, variables.as_ptr(), ptr::null(), ptr::null(), 0);
    }
    // SAFETY: GStreamer gives its plugin, which outlives this call.
    let plugin = unsafe { gstreamer::Plugin::from_glib_borrow(plugin) };
    match runtime::check().map_err(|error| glib::bool_error!("{error}")).and_then(|()| register(&plugin)) {
        Ok(()) => glib::ffi::GTRUE,
        Err(error) => {
            eprintln!("deepstream-standin: {}: {error}", plugin.plugin_name());
            glib::ffi::GFALSE
        }
    }
}

/// Defines the functions that GStreamer looks for in a file, by the file's name.
macro_rules! plugins {
    ($($get_desc:ident $name:literal $description:literal $register:expr;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $get_desc() -> *const gst_ffi::GstPluginDesc {
            unsafe extern "C" fn init(plugin: *mut gst_ffi::GstPlugin) -> glib::ffi::gboolean {
                // SAFETY: called by GStreamer with the plugin that it loads.
                unsafe { initialise(plugin, $register) }
            }
            describe($name, $description, init)
        }
    )*};
}

plugins! {
    gst_plugin_nvdsgst_multistream_get_desc c"nvdsgst_multistream" c"NVIDIA Multistream mux/demux plugin"
        mux::register;
    gst_plugin_nvdsgst_infer_get_desc c"nvdsgst_infer" c"NVIDIA DeepStreamSDK TensorRT plugin"
        infer::register;
    gst_plugin_nvdsgst_nvurisrcbin_get_desc c"nvdsgst_nvurisrcbin" c"NVIDIA DeepStream nvurisrcbin plugin"
        uri_source::register;
    gst_plugin_nvdsgst_tracker_get_desc c"nvdsgst_tracker" c"Gstreamer plugin for multi-object tracking"
        tracker::register;
    gst_plugin_nvdsgst_osd_get_desc c"nvdsgst_osd" c"NVIDIA OSD plugin"
        osd::register;
    gst_plugin_nvdsgst_preprocess_get_desc c"nvdsgst_preprocess" c"NVIDIA DeepStreamSDK preprocess plugin"
        preprocess::register;
    gst_plugin_nvvideoconvert_get_desc c"nvvideoconvert" c"video Colorspace conversion & scaler"
        convert::register;
    gst_plugin_nvjpeg_get_desc c"nvjpeg" c"jpeg plugin library"
        jpeg::register;
    gst_plugin_nvvideo4linux2_get_desc c"nvvideo4linux2" c"Nvidia elements for Video 4 Linux"
        decoder::register;
}
