//! Which files of its machine a pod in a cluster may read as video: those of the media mount and no others, so that who
//! may create a VideoSource cannot read the pod's own files.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use url::Url;

use crate::source::{Failure, Reason, printable_uri};

/// The configured mount, if there is one.
#[derive(Clone, Debug, Default)]
pub struct Media(Option<PathBuf>);

impl Media {
    /// Files below `folder` may be read; `None`: none at all.
    #[must_use]
    pub const fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// Whether the path that `uri` names, as it is written, may be read. URIs that name none always may.
    ///
    /// # Errors
    /// Why not.
    pub fn allows(&self, uri: &Url) -> Result<(), Failure> {
        let Some(path) = local_path(uri) else { return Ok(()) };
        let is_below = |folder: &PathBuf| {
            path.starts_with(folder) && path.components().all(|part| !matches!(part, Component::ParentDir))
        };
        if self.0.as_ref().is_some_and(is_below) { Ok(()) } else { Err(self.refusal(uri)) }
    }

    /// The same after every link on the way was followed. Blocks.
    ///
    /// # Errors
    /// Why not. What is not there is for the reader to say.
    pub fn allows_resolved(&self, uri: &Url) -> Result<(), Failure> {
        self.allows(uri)?;
        let (Some(path), Some(folder)) = (local_path(uri), &self.0) else { return Ok(()) };
        let resolved = |path: &Path| match fs::canonicalize(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            resolved => resolved.map(Some),
        };
        match (resolved(&path), resolved(folder)) {
            (Ok(Some(path)), Ok(Some(folder))) if path.starts_with(&folder) => Ok(()),
            (Ok(None), _) => Ok(()),
            _ => Err(self.refusal(uri)),
        }
    }

    fn refusal(&self, uri: &Url) -> Failure {
        let uri = printable_uri(uri);
        let remedy = match &self.0 {
            Some(folder) => format!("in a cluster files and devices are read below {} only", folder.display()),
            None => {
                "in a cluster files and devices are read from the media mount only, and none is configured".to_owned()
            }
        };
        Failure::new(Reason::PermissionDenied, format!("{uri}: {remedy}"))
    }
}

/// The path on this machine that a `file:` or `v4l2:` URI names.
fn local_path(uri: &Url) -> Option<PathBuf> {
    match uri.scheme() {
        // One that names no file of this machine is below no folder either.
        "file" => Some(uri.to_file_path().unwrap_or_default()),
        "v4l2" => Some(PathBuf::from(uri.path())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    fn allows(media: &Media, uri: &str) -> bool {
        media.allows(&Url::parse(uri).unwrap()).is_ok()
    }

    #[test]
    fn only_paths_below_the_mount_are_read() {
        let media = Media::new(Some("/media".into()));
        for uri in ["file:///media/clip.mp4", "file:///media/day/1.mp4", "v4l2:///media/video0", "rtsp://camera/1"] {
            assert!(allows(&media, uri), "{uri}");
        }
        for uri in [
            "file:///etc/passwd",
            "file:///mediaeval.mp4",
            "file:///media/../etc/passwd",
            "file:///media/%2e%2e/etc/passwd",
            "file:///media/..%2fetc/passwd",
            "file://server/media/clip.mp4",
            "v4l2:///dev/video0",
            "v4l2:///media/../dev/video0",
        ] {
            assert!(!allows(&media, uri), "{uri}");
        }
    }

    #[test]
    fn without_a_mount_nothing_is() {
        let refusal = Media::default().allows(&Url::parse("file:///media/clip.mp4").unwrap()).unwrap_err();
        assert_eq!(refusal.reason, Reason::PermissionDenied);
        assert!(refusal.message.contains("none is configured"), "{refusal}");
        assert!(allows(&Media::default(), "sim://street?seed=1"));
    }

    #[test]
    fn a_link_out_of_the_mount_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::new(Some(folder.path().to_owned()));
        fs::write(folder.path().join("clip.mp4"), "video").unwrap();
        symlink("/etc/passwd", folder.path().join("secrets.mp4")).unwrap();
        symlink("clip.mp4", folder.path().join("same.mp4")).unwrap();
        let resolved = |name: &str| media.allows_resolved(&Url::from_file_path(folder.path().join(name)).unwrap());
        assert_eq!(resolved("clip.mp4"), Ok(()));
        assert_eq!(resolved("same.mp4"), Ok(()));
        assert_eq!(resolved("absent.mp4"), Ok(()));
        assert!(resolved("secrets.mp4").is_err());
    }
}
