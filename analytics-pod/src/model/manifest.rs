//! From a `DetectionModel` to this room's own types.

use std::{borrow::Cow, path::Path, sync::Arc};

use crds::DetectionModel;
use kube::ResourceExt;

use super::{
    error::ModelError,
    info::{ColorOrder, Fit, Layout},
    spec::{DeepStreamFiles, Device, ModelSource, ModelSpec, Precision, Preprocess},
};

impl ModelSpec {
    /// The model that a manifest in `folder` describes; relative paths start there.
    ///
    /// # Errors
    /// [`ModelError::Refused`] where a field says what the schema's rules would have refused.
    pub fn from_manifest(manifest: &DetectionModel, folder: &Path) -> Result<Self, ModelError> {
        let spec = &manifest.spec;
        let name = manifest.name_any();
        let refused = |field: Cow<'static, str>, message: String| ModelError::Refused {
            model: name.as_str().into(),
            field,
            message,
        };
        if let Some(violation) = spec.violations().into_iter().next() {
            return Err(refused(violation.field.into(), violation.message));
        }
        let source = match (&spec.source.url, &spec.source.file, &spec.source.builtin) {
            (Some(url), _, _) => ModelSource::Url(
                url.parse().map_err(|error| refused("spec.source.url".into(), format!("it is not a URL ({error})")))?,
            ),
            (_, Some(file), _) => ModelSource::File(folder.join(file)),
            (_, _, Some(builtin)) => ModelSource::Builtin(builtin.clone()),
            (None, None, None) => return Err(refused("spec.source".into(), "it names no model".to_owned())),
        };
        let digest = spec.source.sha256.as_ref().map(|digest| digest.parse());
        let count = |field: &'static str, value: Option<i32>| {
            value
                .map(|value| usize::try_from(value).map_err(|_| refused(field.into(), format!("{value} is negative"))))
                .transpose()
        };
        let side =
            |value: i32| u32::try_from(value).map_err(|_| refused("spec.input".into(), format!("{value} is negative")));
        let input = match spec.input {
            Some(size) => Some((side(size.width)?, side(size.height)?)),
            None => None,
        };
        let single = |values: [f64; 3]| values.map(|value| value as f32);
        Ok(Self {
            source,
            sha256: digest.transpose().map_err(|error| refused("spec.source.sha256".into(), format!("{error}")))?,
            layout: layout(spec.layout),
            labels: spec.labels.as_ref().map(|labels| labels.iter().map(|label| label.as_str().into()).collect()),
            input,
            preprocess: Preprocess {
                color_order: spec.preprocess.color_order.map(color_order),
                scale: spec.preprocess.scale.map(|scale| scale as f32),
                mean: spec.preprocess.mean.map(single),
                std: spec.preprocess.std.map(single),
                fit: spec.preprocess.letterbox.map(fit),
            },
            confidence: spec.thresholds.confidence.map(|share| share as f32),
            iou: spec.thresholds.iou.map(|share| share as f32),
            per_class: spec
                .thresholds
                .per_class
                .iter()
                .map(|class| (class.name.clone(), class.confidence as f32))
                .collect(),
            class_agnostic: spec.class_agnostic_nms,
            max_objects: count("spec.maxObjects", spec.max_objects)?,
            precision: match spec.precision {
                crds::Precision::Auto => Precision::Auto,
                crds::Precision::Fp32 => Precision::Fp32,
                crds::Precision::Fp16 => Precision::Fp16,
            },
            max_batch: count("spec.maxBatch", spec.max_batch)?,
            device: match spec.device {
                crds::Device::Auto => Device::Auto,
                crds::Device::Cpu => Device::Cpu,
                crds::Device::Gpu => Device::Gpu,
            },
            deepstream: deepstream(&spec.deepstream, folder),
            name: name.as_str().into(),
        })
    }
}

fn deepstream(files: &crds::DeepStreamFiles, folder: &Path) -> DeepStreamFiles {
    let path = |path: &Option<String>| path.as_ref().map(|path| folder.join(path));
    DeepStreamFiles {
        infer_config: path(&files.infer_config),
        preprocess_config: path(&files.preprocess_config),
        tracker_config: path(&files.tracker_config),
        parser_library: path(&files.parser_library),
        parser_function: files.parser_function.as_deref().map(Arc::from),
    }
}

const fn layout(layout: crds::Layout) -> Option<Layout> {
    Some(match layout {
        crds::Layout::Auto => return None,
        crds::Layout::YoloV5 => Layout::YoloV5,
        crds::Layout::YoloV8 => Layout::YoloV8,
        crds::Layout::YoloEndToEnd => Layout::YoloEndToEnd,
        crds::Layout::YoloXRaw => Layout::YoloXRaw,
        crds::Layout::YoloXDecoded => Layout::YoloXDecoded,
        crds::Layout::Ssd => Layout::Ssd,
        crds::Layout::Queries => Layout::Queries,
        crds::Layout::FastestDet => Layout::FastestDet,
    })
}

const fn color_order(order: crds::ColorOrder) -> ColorOrder {
    match order {
        crds::ColorOrder::Rgb => ColorOrder::Rgb,
        crds::ColorOrder::Bgr => ColorOrder::Bgr,
    }
}

const fn fit(letterbox: crds::Letterbox) -> Fit {
    match letterbox {
        crds::Letterbox::Center => Fit::LetterboxCenter,
        crds::Letterbox::TopLeft => Fit::LetterboxTopLeft,
        crds::Letterbox::None => Fit::Stretch,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(spec: &str) -> Result<ModelSpec, ModelError> {
        let manifest: DetectionModel = serde_yaml::from_str(&format!(
            "apiVersion: vision-operator.dev/v1alpha1\nkind: DetectionModel\nmetadata: {{name: cars}}\nspec:\n{spec}"
        ))
        .unwrap();
        ModelSpec::from_manifest(&manifest, Path::new("/manifests"))
    }

    #[test]
    fn carries_every_field_over() {
        let spec = read(
            r"
  source: {file: cars.onnx, sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}
  layout: YOLOv8
  labels: [car, truck]
  input: {width: 640, height: 384}
  preprocess: {colorOrder: BGR, scale: 1, mean: [1, 2, 3], std: [4, 5, 6], letterbox: TopLeft}
  thresholds: {confidence: 0.5, iou: 0.25, perClass: [{name: truck, confidence: 0.75}]}
  classAgnosticNMS: true
  maxObjects: 7
  precision: FP16
  maxBatch: 4
  device: CPU
",
        )
        .unwrap();
        let mut expected = ModelSpec::new("cars", ModelSource::File("/manifests/cars.onnx".into()));
        expected.sha256 = Some(super::super::Digest::of(b""));
        expected.layout = Some(Layout::YoloV8);
        expected.labels = Some(["car".into(), "truck".into()].into());
        expected.input = Some((640, 384));
        expected.preprocess = Preprocess {
            color_order: Some(ColorOrder::Bgr),
            scale: Some(1.0),
            mean: Some([1.0, 2.0, 3.0]),
            std: Some([4.0, 5.0, 6.0]),
            fit: Some(Fit::LetterboxTopLeft),
        };
        expected.confidence = Some(0.5);
        expected.iou = Some(0.25);
        expected.per_class = [("truck".to_owned(), 0.75)].into();
        expected.class_agnostic = true;
        expected.max_objects = Some(7);
        expected.precision = Precision::Fp16;
        expected.max_batch = Some(4);
        expected.device = Device::Cpu;
        assert_eq!(spec, expected);
    }

    #[test]
    fn leaves_open_what_a_manifest_leaves_open() {
        let spec = read("  source: {builtin: starter}").unwrap();
        assert_eq!(spec, ModelSpec::new("cars", ModelSource::Builtin("starter".to_owned())));
    }

    #[test]
    fn refuses_what_the_schema_would() {
        let message = read("  source: {url: 'https://example.com/cars.onnx'}").unwrap_err().to_string();
        assert!(message.contains("sha256"), "{message}");
    }
}
