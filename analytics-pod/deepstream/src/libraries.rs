//! DeepStream's libraries, opened at run time.
//!
//! A program that links them would not start without them; this one looks for them, and says what it found.

use std::{
    ffi::{OsStr, c_void},
    path::{Path, PathBuf},
};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::Version;

/// Where a package of DeepStream puts itself.
pub const DEFAULT_FOLDER: &str = "/opt/nvidia/deepstream/deepstream";

/// Has `gst_buffer_get_nvds_batch_meta`.
const GST_META: &str = "libnvdsgst_meta.so";

/// Which of them has `nvds_version` is not the same in every version.
const WITH_VERSION: [&str; 5] =
    ["libnvds_utils.so", "libnvdsgst_helper.so", "libnvds_meta.so", GST_META, "libnvds_infer.so"];

/// `void nvds_version(unsigned int *major, unsigned int *minor)`.
type NvdsVersion = unsafe extern "C" fn(*mut u32, *mut u32);
/// `NvDsBatchMeta *gst_buffer_get_nvds_batch_meta(GstBuffer *buffer)`.
type GetBatchMeta = unsafe extern "C" fn(*mut c_void) -> *mut c_void;
/// `GType nvds_meta_api_get_type(void)`.
type MetaApiGetType = unsafe extern "C" fn() -> usize;

/// A library that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// It is not there, or what it needs is not.
    #[error(
        "DeepStream's library {name} cannot be opened ({reason}): install DeepStream under {DEFAULT_FOLDER}, or name its \
         folder in VISION_DEEPSTREAM_FOLDER"
    )]
    Open {
        /// The library's file name.
        name: &'static str,
        /// What the linker said.
        reason: String,
    },
    /// It is something else than its name says.
    #[error(
        "DeepStream's library {name} has no symbol {symbol}: the file is damaged or of another product; install DeepStream anew"
    )]
    Symbol {
        /// The library's file name.
        name: &'static str,
        /// What is missing.
        symbol: &'static str,
    },
}

/// Opens `name` under `folder`, else by its name alone.
fn open(folder: &Path, name: &'static str) -> Result<Library, LibraryError> {
    let beside = folder.join("lib").join(name);
    let path: &OsStr = if beside.exists() { beside.as_os_str() } else { OsStr::new(name) };
    // SAFETY: opening a library runs its initialisers. Those of DeepStream's libraries have no demands, and what is
    // installed under these names is what the administrator put there.
    unsafe { Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL) }
        .map_err(|error| LibraryError::Open { name, reason: describe(&error) })
}

/// What the linker said, without this program's words around it.
fn describe(error: &libloading::Error) -> String {
    match error {
        libloading::Error::DlOpen { source } => source.to_string(),
        error => error.to_string(),
    }
}

/// A library that says which version it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionFound {
    /// What it says.
    pub version: Version,
    /// The library's file name.
    pub library: &'static str,
}

/// Asks the libraries in `folder`, or else those on the linker's path, which version they are of.
#[must_use]
pub fn version(folder: &Path) -> Option<VersionFound> {
    WITH_VERSION.into_iter().find_map(|library| {
        let opened = open(folder, library).ok()?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: `nvds_version` has this prototype in every version, and both pointers are to integers that live.
        unsafe { opened.get::<NvdsVersion>(b"nvds_version\0").ok()?(&raw mut major, &raw mut minor) };
        // It stays open: what was registered with GObject must not be unloaded.
        std::mem::forget(opened);
        Some(VersionFound { version: Version::new(major, minor), library })
    })
}

/// The folder that holds DeepStream: `named`, else [`DEFAULT_FOLDER`].
#[must_use]
pub fn folder(named: Option<&OsStr>) -> PathBuf {
    named.filter(|name| !name.is_empty()).map_or_else(|| DEFAULT_FOLDER.into(), PathBuf::from)
}

/// What is called in DeepStream's libraries. They stay open until the program ends.
#[derive(Clone, Copy, Debug)]
pub struct Libraries {
    get_batch_meta: GetBatchMeta,
}

impl Libraries {
    /// Opens them in `folder`, or else on the linker's path.
    ///
    /// # Errors
    /// Where one cannot be opened, or lacks a symbol.
    pub fn open(folder: &Path) -> Result<Self, LibraryError> {
        let library = open(folder, GST_META)?;
        let missing = |symbol| LibraryError::Symbol { name: GST_META, symbol };
        // SAFETY: both symbols have these prototypes in every version.
        let (get_type, get_batch_meta) = unsafe {
            (
                *library
                    .get::<MetaApiGetType>(b"nvds_meta_api_get_type\0")
                    .map_err(|_| missing("nvds_meta_api_get_type"))?,
                *library
                    .get::<GetBatchMeta>(b"gst_buffer_get_nvds_batch_meta\0")
                    .map_err(|_| missing("gst_buffer_get_nvds_batch_meta"))?,
            )
        };
        // The function pointers must stay valid, and registered types cannot be unloaded.
        std::mem::forget(library);
        // SAFETY: it registers the metadata's type with GObject, once, and takes nothing. Without this call the other
        // function finds nothing until an element of DeepStream has registered the type.
        unsafe { get_type() };
        Ok(Self { get_batch_meta })
    }

    /// The address of the batch metadata of `buffer`; null where it has none.
    ///
    /// # Safety
    /// `buffer` is a `GstBuffer` that is alive during the call, and GStreamer has been initialised.
    #[must_use]
    pub unsafe fn batch_meta(&self, buffer: *mut c_void) -> *const u8 {
        // SAFETY: passed on to the caller.
        unsafe { (self.get_batch_meta)(buffer) }.cast_const().cast()
    }
}
