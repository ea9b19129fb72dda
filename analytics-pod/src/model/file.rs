//! A model's file, verified, wherever it came from.

use std::{
    borrow::Cow,
    fs,
    io::{self, Read as _},
    path::PathBuf,
    sync::Arc,
};

use super::{
    builtin,
    digest::Digest,
    error::ModelError,
    onnx::OnnxHeader,
    spec::{ModelSource, ModelSpec},
};

/// A file whose digest is known. Its content is not kept in memory: whoever needs it reads it again, and what has
/// changed meanwhile is refused.
#[derive(Clone, Debug)]
pub struct ModelFile {
    model: Arc<str>,
    origin: String,
    content: Content,
    digest: Digest,
}

#[derive(Clone, Debug)]
enum Content {
    Path(PathBuf),
    Builtin(&'static [u8]),
}

impl ModelFile {
    /// A file on this machine.
    ///
    /// # Errors
    /// Where it cannot be read, or is not what `spec.sha256` says.
    pub(super) fn at(spec: &ModelSpec, path: PathBuf) -> Result<Self, ModelError> {
        let bytes = read(&spec.name, &path)?;
        Self::verified(spec, Content::Path(path), Digest::of(&bytes))
    }

    /// A model that is part of the program.
    ///
    /// # Errors
    /// Where there is none of this name, or it is not what `spec.sha256` says.
    pub(super) fn builtin(spec: &ModelSpec, name: &str) -> Result<Self, ModelError> {
        let bytes = builtin::find(name).ok_or_else(|| ModelError::UnknownBuiltin {
            model: spec.name.clone(),
            builtin: name.to_owned(),
            known: builtin::names().collect::<Vec<_>>().join(", "),
        })?;
        Self::verified(spec, Content::Builtin(bytes), Digest::of(bytes))
    }

    fn verified(spec: &ModelSpec, content: Content, digest: Digest) -> Result<Self, ModelError> {
        let origin = match (&spec.source, &content) {
            (ModelSource::Url(_), Content::Path(path)) => format!("{} (cached as {})", spec.source, path.display()),
            _ => spec.source.to_string(),
        };
        match spec.sha256 {
            Some(expected) if expected != digest => {
                Err(ModelError::WrongDigest { model: spec.name.clone(), origin, expected, actual: digest })
            }
            _ => Ok(Self { model: spec.name.clone(), origin, content, digest }),
        }
    }

    /// The digest of its content.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Where it came from, without secrets.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Its content.
    ///
    /// # Errors
    /// Where it cannot be read any more, or has changed.
    pub fn read(&self) -> Result<Cow<'static, [u8]>, ModelError> {
        match &self.content {
            Content::Builtin(bytes) => Ok(Cow::Borrowed(bytes)),
            Content::Path(path) => {
                let bytes = read(&self.model, path)?;
                let actual = Digest::of(&bytes);
                if actual != self.digest {
                    return Err(ModelError::WrongDigest {
                        model: self.model.clone(),
                        origin: self.origin.clone(),
                        expected: self.digest,
                        actual,
                    });
                }
                Ok(Cow::Owned(bytes))
            }
        }
    }

    /// What the file says of itself.
    ///
    /// # Errors
    /// Where it cannot be read or is not an ONNX model.
    pub fn header(&self) -> Result<OnnxHeader, ModelError> {
        self.parse(&self.read()?)
    }

    pub(super) fn parse(&self, bytes: &[u8]) -> Result<OnnxHeader, ModelError> {
        OnnxHeader::parse(bytes).map_err(|message| ModelError::NotOnnx {
            model: self.model.clone(),
            origin: self.origin.clone(),
            message,
        })
    }
}

/// Larger files are refused. What ONNX Runtime itself takes in one file is 2 GiB (the limit of protocol buffers).
const MAX_BYTES: u64 = 2 << 30;

fn read(model: &Arc<str>, path: &std::path::Path) -> Result<Vec<u8>, ModelError> {
    read_regular(path, MAX_BYTES).map_err(|source| ModelError::File {
        model: model.clone(),
        action: "cannot read",
        path: path.to_owned(),
        source,
    })
}

/// A device has no end, and a pipe may never begin.
fn read_regular(path: &std::path::Path, most: u64) -> io::Result<Vec<u8>> {
    let metadata = fs::metadata(path)?;
    if metadata.is_file() && metadata.len() > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {most} bytes")));
    }
    if !metadata.is_file() && !metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut bytes = Vec::with_capacity(metadata.len().try_into().unwrap_or_default());
    fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read_regular(&path, 5).unwrap(), b"12345");
        assert_eq!(read_regular(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        let device = read_regular(std::path::Path::new("/dev/zero"), 5).unwrap_err();
        assert_eq!((device.kind(), &*device.to_string()), (io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
}
