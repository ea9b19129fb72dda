//! Encoded scenes on disk, so that starting again is instant.
//!
//! A file is named by the digest of everything that decides its content, and ends with the digest of its own bytes: one
//! that is cut short or damaged is made anew.

use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use street_scenes::{Picture, Scene, Settings};

use crate::{
    clip::{AccessUnit, Clip, Format},
    config::SceneConfig,
    encode::{self, EncodeError},
};

/// Changes whenever a file written before no longer means the same.
const VERSION: &str = "camera-simulator clip 1\n";
const DIGEST_BYTES: usize = 32;

/// Why a clip cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// No folder was named and the user has none.
    #[error("no cache folder: the user has no home; name one")]
    NoFolder,
    /// A file cannot be written.
    #[error("cannot write to the cache folder {}: {source}", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: Format,
    units: Vec<AccessUnit>,
}

/// A folder of encoded scenes.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens the named folder, or the user's cache folder.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Self, CacheError> {
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => directories::ProjectDirs::from("dev", "vision-operator", "camera-simulator")
                .ok_or(CacheError::NoFolder)?
                .cache_dir()
                .to_owned(),
        };
        std::fs::create_dir_all(&folder).map_err(|source| CacheError::Write { folder: folder.clone(), source })?;
        Ok(Self { folder })
    }

    /// The file of a scene.
    pub(crate) fn path(&self, config: &SceneConfig) -> Result<PathBuf, EncodeError> {
        Ok(self.folder.join(format!("{}.clip", key(config)?)))
    }

    /// Reads a clip; `None` if there is no intact one.
    pub(crate) fn load(path: &Path) -> Option<Clip> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "cannot read an encoded scene; making it anew");
                return None;
            }
        };
        let clip = read(bytes);
        if clip.is_none() {
            tracing::warn!(path = %path.display(), "an encoded scene is damaged; making it anew");
        }
        clip
    }

    /// Writes a clip, whole or not at all.
    pub(crate) fn store(&self, path: &Path, clip: &Clip) -> Result<(), CacheError> {
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
            file.write_all(&write(clip)?)?;
            file.persist(path)?;
            Ok(())
        };
        write().map_err(|source| CacheError::Write { folder: self.folder.clone(), source })
    }
}

/// The digest of all that decides how a scene looks encoded: its settings, the encoder with its properties and version,
/// and the renderer.
fn key(config: &SceneConfig) -> Result<String, EncodeError> {
    let (encoder, properties) = encode::encoder(config);
    let mut digest = Sha256::new();
    digest.update(VERSION);
    digest.update(format!("{config:?}{encoder}{properties:?}{}", crate::elements::plugin_version(encoder)?));
    digest.update(renderer()?);
    Ok(hex::encode(digest.finalize()))
}

/// The digest of a few small pictures, which change when the renderer does. Planning the scene in question itself would
/// take a large part of a second for each camera at every start.
fn renderer() -> Result<[u8; DIGEST_BYTES], EncodeError> {
    static DIGEST: OnceLock<[u8; DIGEST_BYTES]> = OnceLock::new();
    if let Some(known) = DIGEST.get() {
        return Ok(*known);
    }
    let mut digest = Sha256::new();
    for seed in 1..=3 {
        let settings = Settings { seed, width: 160, height: 96, fps: 15, frames: 90 };
        let scene = Scene::new(&settings)?;
        let mut picture = Picture::new(settings.width, settings.height);
        for frame in [0, 30, 60] {
            encode::picture(&scene, frame, &mut picture);
            for plane in [&picture.y, &picture.u, &picture.v] {
                digest.update(plane);
            }
        }
    }
    Ok(*DIGEST.get_or_init(|| digest.finalize().into()))
}

/// The version line, the length of the header, the header as JSON, the access units, the digest of all that.
fn write(clip: &Clip) -> std::io::Result<Vec<u8>> {
    let header = serde_json::to_vec(&Header { format: clip.format, units: clip.units.clone() })?;
    let mut bytes = VERSION.as_bytes().to_vec();
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(&header);
    bytes.extend(&clip.data);
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    Ok(bytes)
}

fn read(mut bytes: Vec<u8>) -> Option<Clip> {
    let digest = bytes.split_off(bytes.len().checked_sub(DIGEST_BYTES)?);
    if Sha256::digest(&bytes).as_slice() != digest {
        return None;
    }
    let bytes = bytes::Bytes::from(bytes);
    let (length, rest) = bytes.strip_prefix(VERSION.as_bytes())?.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: Header = serde_json::from_slice(rest.get(..length)?).ok()?;
    let data = bytes.slice_ref(&rest[length..]);
    let inside = header.units.iter().all(|unit| data.get(unit.bytes.clone()).is_some());
    (inside && !header.units.is_empty()).then_some(Clip { format: header.format, units: header.units, data })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clip::tests::clip;

    #[test]
    fn what_is_written_is_read() {
        let clip = clip(&[(0, true), (2, false), (1, false)]).unwrap();
        assert_eq!(read(write(&clip).unwrap()), Some(clip));
    }

    proptest! {
        #[test]
        fn damage_is_found(at: prop::sample::Index, cut: prop::sample::Index) {
            let intact = write(&clip(&[(0, true), (1, false)]).unwrap()).unwrap();
            let mut flipped = intact.clone();
            flipped[at.index(intact.len())] ^= 1;
            prop_assert_eq!(read(flipped), None);
            prop_assert_eq!(read(intact[..cut.index(intact.len())].to_vec()), None);
        }
    }
}
