#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn yolo() -> Inference {
    Inference {
        onnx: "/cache/model.onnx".into(),
        engine: "/cache/model.onnx_b8_gpu0_fp16.engine".into(),
        labels: "/cache/labels.txt".into(),
        classes: 80,
        layout: OutputLayout::YoloV8,
        width: 640,
        height: 384,
        channels_last: false,
        blue_first: false,
        normalization: Normalization { scale: 1.0 / 255.0, mean: [0.0; 3], std: [1.0; 3] },
        fit: Fit::Center,
        batch: 8,
        precision: Precision::Fp16,
        gpu: 0,
        interval: 0,
        confidence: 0.25,
        per_class: vec![(2, 0.5)],
        iou: 0.45,
        max_objects: 300,
        parser_library: "/usr/lib/vision-operator/libvision-parsers.so".into(),
        parser_function: None,
    }
}

#[test]
fn a_model_becomes_a_file() {
    insta::assert_snapshot!(configuration(&yolo(), Version::new(7, 1)).unwrap());
}

#[test]
fn what_suppresses_itself_is_not_clustered() {
    let model = Inference {
        layout: OutputLayout::YoloEndToEnd,
        fit: Fit::Stretch,
        blue_first: true,
        normalization: Normalization { scale: 1.0, mean: [103.5, 116.25, 123.75], std: [57.5; 3] },
        per_class: Vec::new(),
        precision: Precision::Fp32,
        parser_function: Some("TheirParser".to_owned()),
        ..yolo()
    };
    insta::assert_snapshot!(configuration(&model, Version::new(9, 1)).unwrap());
    let old = configuration(&model, Version::new(5, 1)).unwrap();
    assert!(old.contains("cluster-mode=2") && old.contains("nms-iou-threshold=1\n") && !old.contains("symmetric"));
}

#[test]
fn what_nvinfer_cannot_do_is_refused() {
    let deviating = Inference {
        normalization: Normalization { scale: 1.0 / 255.0, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
        ..yolo()
    };
    let error = configuration(&deviating, Version::new(7, 1)).unwrap_err();
    assert!(error.to_string().contains("spec.preprocess.std"), "{error}");
    for bad in ["/a\nonnx-file=/b", "/a;b", ""] {
        let error = configuration(&Inference { onnx: bad.into(), ..yolo() }, Version::new(7, 1)).unwrap_err();
        assert_eq!(error, InferenceError::Path { path: bad.into() });
    }
    let nothing = Inference { normalization: Normalization { scale: 0.0, mean: [0.0; 3], std: [1.0; 3] }, ..yolo() };
    assert_eq!(configuration(&nothing, Version::new(7, 1)), Err(InferenceError::Scale));
}

#[test]
fn engines_of_different_keys_never_share_a_folder() {
    let key = EngineKey {
        model_digest: "sha256:00ff",
        tensorrt: Some("10.3.0"),
        gpu: Some("NVIDIA L4"),
        batch: 8,
        precision: Precision::Fp16,
    };
    assert_eq!(key.folder(), "00ff-trt10.3.0-NVIDIA_L4-b8-fp16");
    let others = [
        EngineKey { model_digest: "sha256:00fe", ..key.clone() },
        EngineKey { tensorrt: Some("8.6.1"), ..key.clone() },
        EngineKey { tensorrt: None, ..key.clone() },
        EngineKey { gpu: Some("NVIDIA L40"), ..key.clone() },
        EngineKey { batch: 16, ..key.clone() },
        EngineKey { precision: Precision::Fp32, ..key.clone() },
    ];
    assert!(others.iter().all(|other| other.folder() != key.folder()));
    assert_eq!(key.file_beside(Path::new("/cache/model.onnx"), 1), Path::new("/cache/model.onnx_b8_gpu1_fp16.engine"));
}

proptest! {
    #[test]
    fn factor_and_offsets_give_the_same_pixels(
        scale in 0.001_f32..2.0, std in 0.01_f32..300.0, mean in prop::array::uniform3(-300.0_f32..300.0), pixel in 0_u8..
    ) {
        let (factor, offsets) = normalization(Normalization { scale, mean, std: [std; 3] }).unwrap();
        let offsets = offsets.unwrap_or_default();
        for (mean, offset) in mean.into_iter().zip(offsets) {
            let wanted = (f32::from(pixel) * scale - mean) / std;
            let given = factor * (f32::from(pixel) - offset);
            prop_assert!((wanted - given).abs() <= 1e-3 * wanted.abs().max(1.0), "{wanted} {given}");
        }
    }
}
