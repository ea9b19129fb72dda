//! Which model to open and how: what a `DetectionModel` manifest says, in this room's own types.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::Arc};

use url::Url;

use super::{
    digest::Digest,
    error::ModelError,
    info::{ColorOrder, Fit, Layout},
};

/// Where a model's file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// Fetched by https and cached by its digest.
    Url(Url),
    /// A file on this machine.
    File(PathBuf),
    /// Part of the program.
    Builtin(String),
}

impl fmt::Display for ModelSource {
    /// Without userinfo and query: either may carry a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&printable(url)),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Builtin(name) => write!(f, "builtin:{name}"),
        }
    }
}

/// `url` without userinfo, query and fragment.
pub(super) fn printable(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// How a picture becomes the model's input, where it differs from what the layout usually takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preprocess {
    /// Order of the colour channels.
    pub color_order: Option<ColorOrder>,
    /// Multiplied first; a pixel is 0–255.
    pub scale: Option<f32>,
    /// Subtracted after `scale`, per channel in `color_order`.
    pub mean: Option<[f32; 3]>,
    /// Divided by last, per channel in `color_order`.
    pub std: Option<[f32; 3]>,
    /// How the picture is laid in.
    pub fit: Option<Fit>,
}

/// Arithmetic of the weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// As the file has it.
    #[default]
    Auto,
    /// 32-bit floating point.
    Fp32,
    /// 16-bit floating point.
    Fp16,
}

/// Where the model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The best there is.
    #[default]
    Auto,
    /// This machine's processors.
    Cpu,
    /// A GPU, or refusal.
    Gpu,
}

/// Everything that a manifest says of a model; `None` is "as the file or the layout has it".
#[derive(Clone, Debug, PartialEq)]
pub struct ModelSpec {
    /// The `DetectionModel`'s name.
    pub name: Arc<str>,
    /// Where the file is.
    pub source: ModelSource,
    /// What the file must be.
    pub sha256: Option<Digest>,
    /// How the outputs are laid out.
    pub layout: Option<Layout>,
    /// Class names by index.
    pub labels: Option<Arc<[Arc<str>]>>,
    /// Width and height of the input in pixels, for models that take any.
    pub input: Option<(u32, u32)>,
    /// How a picture becomes the input.
    pub preprocess: Preprocess,
    /// Scores below this are dropped.
    pub confidence: Option<f32>,
    /// Boxes of a class that overlap more than this are one object.
    pub iou: Option<f32>,
    /// Confidence by class name.
    pub per_class: BTreeMap<String, f32>,
    /// Suppress overlaps across classes too.
    pub class_agnostic: bool,
    /// Objects per frame at the most.
    pub max_objects: Option<usize>,
    /// Arithmetic that the file must have.
    pub precision: Precision,
    /// Pictures a run takes at the most.
    pub max_batch: Option<usize>,
    /// Where it runs.
    pub device: Device,
}

impl ModelSpec {
    /// A model of which only the source is known.
    #[must_use]
    pub fn new(name: &str, source: ModelSource) -> Self {
        Self {
            name: name.into(),
            source,
            sha256: None,
            layout: None,
            labels: None,
            input: None,
            preprocess: Preprocess::default(),
            confidence: None,
            iou: None,
            per_class: BTreeMap::new(),
            class_agnostic: false,
            max_objects: None,
            precision: Precision::Auto,
            max_batch: None,
            device: Device::Auto,
        }
    }

    /// What a command line names without a manifest: a path that ends in `.onnx`, or a model that is part of the
    /// program. A manifest is read by whoever reads manifests, and converted.
    ///
    /// # Errors
    /// [`ModelError::UnknownModel`] where `argument` is neither.
    pub fn from_argument(argument: &str) -> Result<Self, ModelError> {
        let path = PathBuf::from(argument);
        if path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx")) {
            let name = path.file_stem().map_or_else(|| argument.to_owned(), |stem| stem.to_string_lossy().into_owned());
            return Ok(Self::new(&name, ModelSource::File(path)));
        }
        let name = argument.strip_prefix("builtin:").unwrap_or(argument);
        if super::builtin::names().any(|known| known == name) {
            return Ok(Self::new(name, ModelSource::Builtin(name.to_owned())));
        }
        Err(ModelError::UnknownModel {
            argument: argument.to_owned(),
            builtin: super::builtin::names().collect::<Vec<_>>().join(", "),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn prints_sources_without_secrets() {
        let url = "https://user:secret@example.com:8443/a/b.onnx?token=secret#secret".parse().unwrap();
        assert_eq!(ModelSource::Url(url).to_string(), "https://example.com:8443/a/b.onnx");
    }

    #[test]
    fn an_onnx_path_is_a_file_named_after_its_stem() {
        let spec = ModelSpec::from_argument("weights/yolox.v2.ONNX").unwrap();
        assert_eq!(&*spec.name, "yolox.v2");
        assert_eq!(spec.source, ModelSource::File("weights/yolox.v2.ONNX".into()));
    }

    #[test]
    fn an_unknown_name_is_refused_with_what_there_is() {
        let error = ModelSpec::from_argument("yolo99").unwrap_err();
        assert!(error.to_string().contains("yolo99"), "{error}");
    }
}
