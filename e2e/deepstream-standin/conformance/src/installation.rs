//! The libraries of the installation that the process was given.

use std::{
    env,
    ffi::{c_char, c_int, c_uint, c_void},
    path::PathBuf,
};

use deepstream_standin::layout::{BatchMeta, GstMetaWrapper};
use gstreamer::ffi::{GstBuffer, GstEvent, GstMessage, GstObject};
use libloading::Library;

/// Names the installation, as for the pod.
pub(crate) const FOLDER_VARIABLE: &str = "VISION_DEEPSTREAM_FOLDER";

pub(crate) fn root() -> PathBuf {
    env::var_os(FOLDER_VARIABLE).expect("the folder of an installation").into()
}

/// A library of the installation; it stays loaded.
pub(crate) fn library(name: &str) -> &'static Library {
    let path = root().join("lib").join(name);
    // SAFETY: the stand-in's libraries run nothing when they are loaded.
    let library = unsafe { Library::new(&path) }.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Box::leak(Box::new(library))
}

/// A function by its name. `T` has to be its type.
pub(crate) fn function<T: Copy>(library: &'static Library, name: &str) -> T {
    // SAFETY: callers name the type that the public header gives the function.
    *unsafe { library.get::<T>(name) }.unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub(crate) type GetBatch = unsafe extern "C" fn(*mut GstBuffer) -> *mut BatchMeta;
pub(crate) type GetMeta = unsafe extern "C" fn(*mut GstBuffer) -> *mut GstMetaWrapper;
pub(crate) type GetType = unsafe extern "C" fn() -> usize;
pub(crate) type Version = unsafe extern "C" fn(*mut c_uint, *mut c_uint);
pub(crate) type NewEvent = unsafe extern "C" fn(c_uint) -> *mut GstEvent;
pub(crate) type ParseEvent = unsafe extern "C" fn(*mut GstEvent, *mut c_uint);
pub(crate) type NewMessage = unsafe extern "C" fn(*mut GstObject, c_uint) -> *mut GstMessage;
pub(crate) type ParseMessage = unsafe extern "C" fn(*mut GstMessage, *mut c_uint) -> c_int;
pub(crate) type UserType = unsafe extern "C" fn(*const c_char) -> c_int;
pub(crate) type Acquire = unsafe extern "C" fn(*mut BatchMeta) -> *mut c_void;
