//! Lays the stand-in's parts out as a DeepStream installation does.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::version::{Epoch, Version};

/// The libraries that go into `lib`, by the name of their file.
pub const LIBRARIES: [&str; 5] =
    ["libnvds_meta.so", "libnvdsgst_meta.so", "libnvdsgst_helper.so", "libnvdsgst_customhelper.so", "libnvds_utils.so"];

/// What stands in place of `lib` where they are built: that folder is searched for libraries by every test of the
/// workspace, which must not take it for an installation of DeepStream.
const BUILT_AS: &str = "libstandin_";

/// The one library that holds every element. Each plugin of `lib/gst-plugins` is a link to it.
pub const ELEMENTS: &str = "libdeepstream_standin_elements.so";

/// The plugins by the name of their file, and the versions that have them (`major`, `minor`) on.
pub const PLUGINS: [(&str, (u32, u32)); 9] = [
    ("libnvdsgst_multistream.so", (5, 0)),
    ("libnvdsgst_infer.so", (5, 0)),
    ("libnvdsgst_tracker.so", (5, 0)),
    ("libnvdsgst_osd.so", (5, 0)),
    ("libnvdsgst_preprocess.so", (6, 0)),
    ("libnvdsgst_nvurisrcbin.so", (6, 0)),
    ("libgstnvvideo4linux2.so", (5, 0)),
    ("libgstnvvideoconvert.so", (5, 0)),
    ("libgstnvjpeg.so", (5, 0)),
];

/// The library of nvdspreprocess's usual functions; here a link, for the stand-in does their work itself.
pub const PREPROCESS_FUNCTIONS: &str = "libcustom2d_preprocess.so";

/// The tracker's low-level library; here a file that is only looked for.
pub const TRACKER: &str = "libnvds_nvmultiobjecttracker.so";

/// Headers for parsers of outputs, in `sources/includes`. The mark stands where 9.0 has one field more.
const HEADERS: [(&str, &str); 2] = [
    ("nvdsinfer.h", include_str!("../include/nvdsinfer.h")),
    ("nvdsinfer_custom_impl.h", include_str!("../include/nvdsinfer_custom_impl.h")),
];

/// The mark in [`HEADERS`].
const ROTATION: &str = "@ROTATION@\n";

/// Why an installation cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A part has not been built.
    #[error("{} is missing: build the stand-in's packages first", .0.display())]
    Missing(PathBuf),
    /// The system refuses a file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Makes `root` an installation of `version` with the libraries of the folder `built`.
///
/// # Errors
/// Where a library has not been built, or a file cannot be written.
pub fn install(root: &Path, version: Version, built: &Path) -> Result<(), InstallError> {
    let library = root.join("lib");
    let plugins = library.join("gst-plugins");
    let write = |path: &Path| {
        let path = path.to_owned();
        move |source| InstallError::Write { path, source }
    };
    fs::create_dir_all(&plugins).map_err(write(&plugins))?;
    for name in LIBRARIES {
        place(&built.join(name.replacen("lib", BUILT_AS, 1)), &library.join(name))?;
    }
    place(&built.join(ELEMENTS), &library.join(ELEMENTS))?;
    for (name, (major, minor)) in PLUGINS.into_iter().chain([(PREPROCESS_FUNCTIONS, (6, 0))]) {
        let link = plugins.join(name);
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link).map_err(write(&link))?;
        }
        if version.at_least(major, minor) {
            symlink(Path::new("..").join(ELEMENTS), &link).map_err(write(&link))?;
        }
    }
    let tracker = library.join(TRACKER);
    if version.at_least(6, 0) {
        fs::write(&tracker, "").map_err(write(&tracker))?;
    }
    let includes = root.join("sources/includes");
    fs::create_dir_all(&includes).map_err(write(&includes))?;
    let rotation = if version.epoch() < Epoch::V9 { "" } else { "  float rotation_angle;\n" };
    for (name, text) in HEADERS {
        let header = includes.join(name);
        fs::write(&header, text.replace(ROTATION, rotation)).map_err(write(&header))?;
    }
    let Version { major, minor, patch, preview } = version;
    let note = if preview { "Preview: DP\n" } else { "" };
    let file = root.join("version");
    fs::write(&file, format!("Version: {major}.{minor}.{patch}\n{note}")).map_err(write(&file))
}

/// Puts `from` at `to`: a second name of the same file where the file system can, else a copy.
fn place(from: &Path, to: &Path) -> Result<(), InstallError> {
    if !from.is_file() {
        return Err(InstallError::Missing(from.to_owned()));
    }
    let result = match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(|_| ())),
    };
    result.map_err(|source| InstallError::Write { path: to.to_owned(), source })
}
