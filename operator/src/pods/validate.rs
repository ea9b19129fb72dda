//! Whether pods can be made of a model.

use crds::{DetectionModel, Device, EngineChoice, Gpu, Violation};

use super::Settings;

/// Why no pods can be made of a model.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It has not come from an API server.
    #[error("the object has no name, namespace or uid: it has not been stored by an API server")]
    NotStored,
    /// Its spec contradicts itself.
    #[error("{} {}", .0.field, .0.message)]
    Spec(Violation),
    /// No image for the engine was set up.
    #[error(
        "serving.engine DeepStream needs an image: set serving.image, or install the operator with \
         analyticsPods.deepstreamImage"
    )]
    NoDeepStreamImage,
    /// It names a file that pods cannot read.
    #[error("source.file must be below {}: write such a path, url or builtin", .0.as_deref().unwrap_or("a media volume, and none is set up (analyticsPods.media.claim of the chart)"))]
    FileOutsideMedia(Option<String>),
}

impl Refused {
    /// The stable word, for conditions.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NotStored => "NotStored",
            Self::Spec(_) => "InvalidSpec",
            Self::NoDeepStreamImage => "ImageNotConfigured",
            Self::FileOutsideMedia(_) => "FileNotAllowed",
        }
    }
}

/// A model that pods can be made of, with what they need to know of it.
#[derive(Clone, Debug)]
pub struct Valid<'a> {
    pub(super) model: &'a DetectionModel,
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    pub(super) image: &'a str,
    pub(super) gpu: Option<Gpu>,
}

impl Valid<'_> {
    /// The pods have a GPU.
    #[must_use]
    pub fn has_gpu(&self) -> bool {
        self.gpu.is_some()
    }
}

/// The model, if pods can be made of it.
pub fn validate<'a>(model: &'a DetectionModel, settings: &'a Settings) -> Result<Valid<'a>, Refused> {
    let metadata = &model.metadata;
    let (Some(name), Some(namespace), Some(uid)) = (&metadata.name, &metadata.namespace, &metadata.uid) else {
        return Err(Refused::NotStored);
    };
    if let Some(violation) = model.spec.violations().into_iter().next() {
        return Err(Refused::Spec(violation));
    }
    if let Some(file) = &model.spec.source.file {
        let below = |path: &str| {
            let inside = file.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/'));
            inside && !file.split('/').any(|part| part == "..")
        };
        let path = settings.media.as_ref().map(|media| media.path.clone());
        if !path.as_deref().is_some_and(below) {
            return Err(Refused::FileOutsideMedia(path));
        }
    }
    let serving = &model.spec.serving;
    let image = match (&serving.image, serving.engine) {
        (Some(image), _) => image,
        (None, EngineChoice::DeepStream) => settings.deepstream_image.as_ref().ok_or(Refused::NoDeepStreamImage)?,
        (None, EngineChoice::Auto | EngineChoice::Native) => &settings.native_image,
    };
    let needs_gpu = model.spec.device == Device::Gpu || serving.engine == EngineChoice::DeepStream;
    let gpu = serving.gpu.clone().or_else(|| needs_gpu.then(Gpu::default));
    Ok(Valid { model, name, namespace, uid, image, gpu })
}
