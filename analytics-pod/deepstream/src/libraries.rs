//! DeepStream's libraries, opened at run time.
//!
//! A program that links them would not start without them; this one looks for them, and says what it found.

use std::{
    ffi::{OsStr, c_void},
    path::{Path, PathBuf},
};

use gstreamer as gst;
use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

use crate::{Batch, Epoch, Version};

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

/// TensorRT's library, by the names of the versions that DeepStream has come with.
const TENSORRT: [&str; 5] =
    ["libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so.7", "libnvinfer.so.11", "libnvinfer.so"];

/// TensorRT's version, where it is installed.
#[must_use]
pub fn tensorrt_version() -> Option<String> {
    TENSORRT.into_iter().find_map(|name| {
        let library = open(Path::new(""), name).ok()?;
        // SAFETY: `getInferLibVersion` takes nothing and returns an integer in every version.
        let number = unsafe { library.get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion\0").ok()?() };
        // DeepStream uses it too.
        std::mem::forget(library);
        Some(tensorrt_number(number))
    })
}

/// Up to 9 the number is 1000 × major + 100 × minor + patch, from 10 on 10,000 × major + 100 × minor + patch.
fn tensorrt_number(number: i32) -> String {
    let thousands = if number >= 100_000 { 10_000 } else { 1000 };
    format!("{}.{}.{}", number / thousands, number % thousands / 100, number % 100)
}

/// The size of an object that a parser library of this project fills, in bytes; `None` for another library, which does
/// not tell.
///
/// # Errors
/// Where it cannot be opened.
pub fn parser_object_size(path: &Path) -> Result<Option<usize>, String> {
    // SAFETY: opening a library runs its initialisers; nvinfer is about to do the same with this file.
    let library = unsafe { Library::open(Some(path), RTLD_NOW) }.map_err(|error| describe(&error))?;
    // SAFETY: only this project's library has the symbol, which takes nothing and returns an unsigned integer.
    let size = unsafe { library.get::<unsafe extern "C" fn() -> u32>(b"VisionParseObjectSize\0").map(|size| size()) };
    Ok(size.ok().map(|size| size as usize))
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

    /// Hands the batch metadata of `buffer` to `read`; `None` where it has none. To be called by the thread that the
    /// buffer is passing through, with the layout of the version that these libraries are of.
    pub(crate) fn with_batch<T>(
        &self,
        buffer: &gst::BufferRef,
        epoch: Epoch,
        read: impl FnOnce(Batch<'_>) -> T,
    ) -> Option<T> {
        // SAFETY: the buffer lives as long as its reference. The function only looks the metadata up. What it returns
        // belongs to the buffer, and so lives while `read` runs: `Batch` cannot leave it. While a buffer passes through a
        // pad, the thread that passes it is the one that may change its metadata, and that thread is here.
        unsafe {
            let address = (self.get_batch_meta)(buffer.as_ptr().cast_mut().cast()).cast_const().cast();
            Batch::new(address, epoch.layout()).map(read)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tensorrt_writes_its_version_in_one_number() {
        assert_eq!(tensorrt_number(7202), "7.2.2");
        assert_eq!(tensorrt_number(8601), "8.6.1");
        assert_eq!(tensorrt_number(100_300), "10.3.0");
        assert_eq!(tensorrt_number(101_601), "10.16.1");
    }

    #[test]
    fn a_library_that_is_not_there_is_named_with_what_to_do() {
        let error = open(Path::new("/nowhere"), "libvision-nowhere.so").map(drop).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("libvision-nowhere.so") && message.contains("VISION_DEEPSTREAM_FOLDER"), "{message}");
        assert_eq!(folder(None), Path::new(DEFAULT_FOLDER));
        assert_eq!(folder(Some(OsStr::new("/here"))), Path::new("/here"));
    }
}
