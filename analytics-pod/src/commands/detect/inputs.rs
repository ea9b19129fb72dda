//! Which files to look at: what was named, and what lies in the folders that were named.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::source::printable_uri;

/// Endings of pictures, without the dot, in lower case.
const PICTURES: [&str; 3] = ["jpg", "jpeg", "png"];

/// Endings of videos, without the dot, in lower case.
const VIDEOS: [&str; 12] = ["mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "h264", "h265", "mjpeg"];

/// One picture or video.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MediaFile {
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// A single picture, not a video.
    pub(super) picture: bool,
}

/// A path that cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// It cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is somewhere else.
    #[error("{uri}: only files and folders can be looked at to the last frame; `run` reads everything else")]
    NotLocal {
        /// What was named, without secrets.
        uri: String,
    },
    /// The folder holds nothing to look at.
    #[error("{path}: there is no picture ({}) and no video ({}) in this folder", PICTURES.join(", "), VIDEOS.join(", "))]
    Empty {
        /// The folder.
        path: String,
    },
}

/// The files of `paths`, in the order given; a folder's in the order of their names, other folders and files of other
/// kinds left out. A file that is named is taken whatever its ending.
pub(super) fn expand(paths: &[PathBuf]) -> Result<Vec<MediaFile>, InputError> {
    let mut files = Vec::new();
    for path in paths {
        let path = &local(path)?;
        let metadata = fs::metadata(path).map_err(|source| failed(path, source))?;
        if metadata.is_dir() {
            files.extend(in_folder(path)?);
        } else {
            files.push(MediaFile { path: path.clone(), bytes: metadata.len(), picture: has_ending(path, &PICTURES) });
        }
    }
    Ok(files)
}

/// The path itself, or that of a `file:` URI.
fn local(path: &Path) -> Result<PathBuf, InputError> {
    let uri = path.to_str().filter(|text| text.contains("://")).and_then(|text| url::Url::parse(text).ok());
    let Some(uri) = uri else { return Ok(path.to_owned()) };
    uri.to_file_path().map_err(|()| InputError::NotLocal { uri: printable_uri(&uri) })
}

fn in_folder(folder: &Path) -> Result<Vec<MediaFile>, InputError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|source| failed(folder, source))? {
        let path = entry.map_err(|source| failed(folder, source))?.path();
        let picture = has_ending(&path, &PICTURES);
        let metadata = fs::metadata(&path).map_err(|source| failed(&path, source))?;
        if metadata.is_file() && (picture || has_ending(&path, &VIDEOS)) {
            files.push(MediaFile { path, bytes: metadata.len(), picture });
        }
    }
    if files.is_empty() {
        return Err(InputError::Empty { path: folder.display().to_string() });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    path.extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
}

fn failed(path: &Path, source: io::Error) -> InputError {
    InputError::Read { path: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_gives_its_pictures_and_videos_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.JPG", "a.mp4", "notes.txt", "c.png"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        fs::create_dir(folder.path().join("d.mp4")).unwrap();
        let named = folder.path().join("notes.txt");
        let files = expand(&[named.clone(), folder.path().to_owned()]).unwrap();
        let names: Vec<_> =
            files.iter().map(|file| (file.path.file_name().unwrap().to_str().unwrap(), file.picture)).collect();
        assert_eq!(names, [("notes.txt", false), ("a.mp4", false), ("b.JPG", true), ("c.png", true)]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = expand(&["/no/such/clip.mp4".into()]).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/clip.mp4: "), "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = expand(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no picture (jpg, jpeg, png)"), "{error}");
    }
}
