//! What is wrong with a manifest, where, and what to do about it.

use std::{fmt, path::PathBuf, sync::Arc};

use serde::Serialize;

/// The kinds of objects that manifests hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Kind {
    /// A `DetectionModel` of `vision-operator.dev`.
    DetectionModel,
    /// A `Secret` of type `kubernetes.io/basic-auth`.
    Secret,
    /// A `VideoSource` of `vision-operator.dev`.
    VideoSource,
}

impl Kind {
    /// As it stands after `kind:`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DetectionModel => "DetectionModel",
            Self::Secret => "Secret",
            Self::VideoSource => "VideoSource",
        }
    }
}

/// Which object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct ObjectId {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `default` where the manifest says none.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.as_str(), self.namespace, self.name)
    }
}

/// Whether a text from a manifest may be shown: it looks like a name, which no URI and hardly any password does.
pub(crate) fn is_quotable(text: &str) -> bool {
    !text.is_empty() && text.len() <= 253 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
}

/// One thing that is wrong with a manifest. Never holds a URI or anything of a Secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct ManifestError {
    /// The file or folder; `command line` for a URI given there.
    pub file: PathBuf,
    /// The line, from 1, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// The object, where it could be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
    /// The field, from the object's root (`spec.detection.confidence`); empty: the whole object or file.
    pub field: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it, where the problem does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(object) = &self.object {
            write!(f, ": {object}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.problem)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}
