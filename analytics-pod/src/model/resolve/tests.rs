//! What is detected, and what is asked back.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use crate::model::{ModelSource, Preprocess};

fn tensor(name: &str, element_type: TensorType, shape: &[i64]) -> TensorInfo {
    let shape = shape.iter().map(|size| usize::try_from(*size).ok()).collect();
    TensorInfo { name: name.to_owned(), element_type, shape }
}

/// A model of one picture and the `outputs`; -1 is a size that only a run tells.
fn file(input: &[i64], outputs: &[(&str, &[i64])]) -> OnnxHeader {
    OnnxHeader {
        producer: "test".to_owned(),
        opset: 17,
        inputs: vec![tensor("images", TensorType::F32, input)],
        outputs: outputs.iter().map(|(name, shape)| tensor(name, TensorType::F32, shape)).collect(),
        metadata: BTreeMap::new(),
        undecoded: vec![],
        half_weights: false,
    }
}

const SQUARE: &[i64] = &[1, 3, 640, 640];

fn with_metadata(mut header: OnnxHeader, entries: &[(&str, &str)]) -> OnnxHeader {
    header.metadata = entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    header
}

fn spec() -> ModelSpec {
    ModelSpec::new("m", ModelSource::File("m.onnx".into()))
}

fn labels(count: usize) -> Arc<[Arc<str>]> {
    (0..count).map(|index| format!("class {index}").into()).collect()
}

fn layout_of(header: &OnnxHeader) -> Layout {
    resolve(&spec(), header).unwrap().head.layout
}

fn question(spec: &ModelSpec, header: &OnnxHeader) -> String {
    resolve(spec, header).unwrap_err().to_string()
}

#[test]
fn knows_layouts_by_their_shapes() {
    let ultralytics = [("names", "{0: 'car', 1: 'truck'}"), ("stride", "32"), ("imgsz", "[480, 640]")];
    let mut raw = file(&[1, 3, 416, 416], &[("output", &[1, 3549, 85])]);
    raw.undecoded = vec!["output".to_owned()];
    for (layout, header) in [
        (Layout::YoloV8, file(SQUARE, &[("output0", &[1, 84, 8400])])),
        (Layout::YoloV8, with_metadata(file(&[-1, 3, -1, -1], &[("output0", &[-1, 6, -1])]), &ultralytics)),
        (Layout::YoloV5, file(SQUARE, &[("output0", &[1, 25200, 85])])),
        (Layout::YoloV5, file(&[1, 3, 1280, 1280], &[("output0", &[1, 102_000, 85])])),
        (Layout::YoloV5, with_metadata(file(&[-1, 3, -1, -1], &[("output0", &[-1, -1, 7])]), &ultralytics)),
        (Layout::YoloXRaw, raw),
        (Layout::YoloEndToEnd, with_metadata(file(SQUARE, &[("output0", &[1, 300, 6])]), &ultralytics)),
        (Layout::YoloEndToEnd, with_metadata(file(SQUARE, &[("output0", &[-1, -1, 6])]), &ultralytics)),
        (Layout::YoloEndToEnd, with_metadata(file(SQUARE, &[("o", &[1, 300, 6])]), &[("names", "{0: 'car'}")])),
        (Layout::YoloV5, with_metadata(file(SQUARE, &[("o", &[1, 25200, 6])]), &[("names", "{0: 'car'}")])),
        (Layout::FastestDet, file(&[1, 3, 352, 352], &[("758", &[1, 85, 22, 22])])),
        (Layout::Queries, file(SQUARE, &[("logits", &[1, 300, 80]), ("pred_boxes", &[1, 300, 4])])),
        (Layout::Queries, file(SQUARE, &[("output0", &[1, 300, 84])])),
        (
            Layout::Queries,
            with_metadata(
                file(SQUARE, &[("output0", &[1, 300, 6])]),
                &[("names", "{0: 'car', 1: 'truck'}"), ("description", "Ultralytics rtdetr-l model trained on x")],
            ),
        ),
        (Layout::Ssd, file(SQUARE, &[("boxes", &[1, 3000, 4]), ("scores", &[1, 3000, 81])])),
        (Layout::Ssd, file(SQUARE, &[("confs", &[1, 3000, 80]), ("boxes", &[1, 3000, 1, 4])])),
    ] {
        assert_eq!(layout_of(&header), layout, "{header:?}");
    }
}

#[test]
fn puts_outputs_in_the_decoders_order() {
    let header = file(SQUARE, &[("logits", &[1, 300, 80]), ("pred_boxes", &[1, 300, 4])]);
    assert_eq!(resolve(&spec(), &header).unwrap().outputs, [1, 0]);
    // Four classes: the names tell.
    let header = file(SQUARE, &[("scores", &[1, 300, 4]), ("boxes", &[1, 300, 4])]);
    let resolved = resolve(&ModelSpec { labels: Some(labels(4)), ..spec() }, &header).unwrap();
    assert_eq!((resolved.head.layout, resolved.outputs), (Layout::Ssd, vec![1, 0]));
}

#[test]
fn feeds_the_size_to_models_that_scale_their_boxes() {
    let mut header =
        file(&[-1, 3, 640, 640], &[("labels", &[-1, 300]), ("boxes", &[-1, 300, 4]), ("scores", &[-1, 300])]);
    header.outputs[0].element_type = TensorType::I64;
    header.inputs.push(tensor("orig_target_sizes", TensorType::I64, &[-1, 2]));
    assert_snapshot!(question(&spec(), &header), @"model m: its outputs do not tell its classes; set spec.labels, in order");
    let resolved = resolve(&ModelSpec { labels: Some(labels(80)), ..spec() }, &header).unwrap();
    assert_eq!((resolved.head.layout, resolved.outputs), (Layout::Queries, vec![1, 2, 0]));
    assert_eq!((&*resolved.picture, resolved.picture_size.as_deref()), ("images", Some("orig_target_sizes")));
}

#[test]
fn asks_where_two_layouts_look_alike() {
    let header = file(SQUARE, &[("output0", &[1, 8400, 85])]);
    assert_snapshot!(question(&spec(), &header), @"model m: its output `output0` 1×8400×85 is read alike as YOLOv5 (RGB 0–1, picture in the centre) and as YOLOXDecoded (BGR 0–255, picture top left); set spec.layout to the one it was exported as");
    for layout in [Layout::YoloV5, Layout::YoloXDecoded, Layout::YoloXRaw] {
        assert_eq!(resolve(&ModelSpec { layout: Some(layout), ..spec() }, &header).unwrap().head.layout, layout);
    }
    let header = file(SQUARE, &[("a", &[1, 300, 4]), ("b", &[1, 300, 80])]);
    assert_snapshot!(question(&spec(), &header), @"model m: its outputs (a f32 1×300×4, b f32 1×300×80) are read alike as SSD (corners and probabilities) and as Queries (centres and logits); set spec.layout to one of them");
    let header = file(SQUARE, &[("a", &[1, 300]), ("b", &[1, 300]), ("c", &[1, 300, 4])]);
    assert_snapshot!(question(&spec(), &header), @"model m: its outputs (a f32 1×300, b f32 1×300, c f32 1×300×4) look like none of the known layouts; set spec.layout to one of YOLOv5, YOLOv8, YOLOEndToEnd, YOLOXRaw, YOLOXDecoded, SSD, Queries, FastestDet, or export the detector without further post-processing");
    let ssd = ModelSpec { layout: Some(Layout::Ssd), ..spec() };
    assert_snapshot!(question(&ssd, &header), @"model m: spec.layout: SSD needs 1×N×4 and 1×N×C; the file has a f32 1×300, b f32 1×300, c f32 1×300×4");
}

#[test]
fn refuses_what_is_no_detector() {
    let header = file(&[1, 128], &[("output0", &[1, 84, 8400])]);
    assert_snapshot!(question(&spec(), &header), @"model m: of its inputs (images f32 1×128) not exactly one is a picture of three channels (1×3×H×W or 1×H×W×3)");
    let header = with_metadata(file(SQUARE, &[("output0", &[1, 1000])]), &[("task", "classify")]);
    assert_snapshot!(question(&spec(), &header), @"model m: the file says that it is for the task `classify`; only detectors (task `detect`) can be used");
    let mut header = file(SQUARE, &[("output0", &[1, 84, 8400])]);
    header.inputs.push(tensor("conditioning", TensorType::F32, &[1, 2]));
    assert_snapshot!(question(&spec(), &header), @"model m: it takes more than a picture and its size (images f32 1×3×640×640, conditioning f32 1×2); export the detector without them");
    let mut header = file(SQUARE, &[("output0", &[1, 84, 8400])]);
    header.outputs[0].element_type = TensorType::I64;
    assert_snapshot!(question(&spec(), &header), @"model m: its output `output0 i64 1×84×8400` is neither f32 nor f16; export the detector without further post-processing");
}

#[test]
fn takes_eighty_nameless_classes_for_coco_and_says_so() {
    let resolved = resolve(&spec(), &file(SQUARE, &[("output0", &[1, 84, 8400])])).unwrap();
    assert_eq!(resolved.labels.len(), 80);
    assert_eq!(&*resolved.labels[79], "toothbrush");
    assert_snapshot!(resolved.labels_from, @"the 80 classes of COCO, because the file names none and has as many");
    let resolved = resolve(&spec(), &file(SQUARE, &[("boxes", &[1, 10, 4]), ("scores", &[1, 10, 81])])).unwrap();
    assert!(resolved.head.background);
    assert_snapshot!(resolved.labels_from, @"the 80 classes of COCO, because the file names none and has as many, after a column for the background");
}

#[test]
fn asks_for_names_that_nothing_gives() {
    assert_snapshot!(question(&spec(), &file(SQUARE, &[("output0", &[1, 7, 8400])])), @"model m: it has 3 classes and names none; set spec.labels, in order");
    assert_snapshot!(question(&spec(), &file(SQUARE, &[("output0", &[1, 300, 6])])), @"model m: its outputs do not tell its classes; set spec.labels, in order");
    let header = with_metadata(file(SQUARE, &[("output0", &[1, 7, 8400])]), &[("names", "{0: 'car'}")]);
    assert_snapshot!(question(&spec(), &header), @"model m: spec.labels: 1 names are given (the file's metadata `names`), but the YOLOv8 outputs have 3 classes");
    let header = with_metadata(file(SQUARE, &[("output0", &[1, 7, 8400])]), &[("names", "what?")]);
    assert_snapshot!(question(&spec(), &header), @"model m: the class names in the file (metadata `names`) cannot be read; set spec.labels");
    let named = ModelSpec { labels: Some(labels(3)), ..spec() };
    assert_eq!(resolve(&named, &header).unwrap().labels_from, "spec.labels");
}

#[test]
fn takes_the_size_from_whoever_says_it() {
    let fixed = file(&[1, 3, 384, 640], &[("output0", &[1, 84, 5040])]);
    let size = |spec: &ModelSpec, header: &OnnxHeader| {
        let input = resolve(spec, header).unwrap().input;
        (input.width, input.height)
    };
    assert_eq!(size(&spec(), &fixed), (640, 384));
    let asked = ModelSpec { input: Some((320, 320)), ..spec() };
    assert_snapshot!(question(&asked, &fixed), @"model m: spec.input: the file fixes its input at 640×384; leave the field out");
    let free = file(&[1, 3, -1, -1], &[("output0", &[1, 84, -1])]);
    assert_snapshot!(question(&spec(), &free), @"model m: its input `images f32 1×3×?×?` takes pictures of any size; set spec.input.width and spec.input.height to the size it was trained with");
    assert_eq!(size(&asked, &free), (320, 320));
    let exported = with_metadata(free.clone(), &[("imgsz", "[384, 640]")]);
    assert_eq!(size(&spec(), &exported), (640, 384));
    assert_eq!(size(&asked, &exported), (320, 320));
    let huge = ModelSpec { input: Some((100_000, 320)), ..spec() };
    assert_snapshot!(question(&huge, &free), @"model m: spec.input: an input of 100000×320 is outside 1–8192 pixels a side");
}

#[test]
fn batches_where_the_file_lets_it() {
    let batch = |asked: Option<usize>, pictures: i64| {
        let header = file(&[pictures, 3, 640, 640], &[("output0", &[pictures, 84, 8400])]);
        resolve(&ModelSpec { max_batch: asked, ..spec() }, &header)
            .map(|resolved| (resolved.input.max_batch, resolved.fixed_batch))
            .map_err(|error| error.to_string())
    };
    assert_eq!(batch(None, -1), Ok((1, false)));
    assert_eq!(batch(Some(8), -1), Ok((8, false)));
    assert_eq!(batch(None, 1), Ok((1, true)));
    assert_eq!(batch(Some(1), 1), Ok((1, true)));
    assert_eq!(batch(Some(2), 4), Ok((4, true)));
    assert_snapshot!(batch(Some(0), -1).unwrap_err(), @"model m: spec.maxBatch: it must lie between 1 and 256");
    assert_snapshot!(batch(Some(250), -1).unwrap_err(), @"model m: spec.maxBatch: 250 pictures of 640×640 would take more than 1 GiB; lower it");
    assert_snapshot!(batch(None, 1000).unwrap_err(), @"model m: its input `images f32 1000×3×640×640` takes 1000 pictures a run, not 1–256");
    assert_snapshot!(batch(Some(8), 1).unwrap_err(), @"model m: spec.maxBatch: the file takes 1 picture a run; export it with a dynamic batch dimension, or leave the field out");
}

#[test]
fn feeds_each_layout_as_it_was_trained() {
    let resolved = |layout: Layout| {
        let header = file(SQUARE, &[("output0", &[1, 8400, 85])]);
        resolve(&ModelSpec { layout: Some(layout), ..spec() }, &header).unwrap()
    };
    let yolox = resolved(Layout::YoloXRaw).input;
    assert_eq!((yolox.color_order, yolox.scale, yolox.fit), (ColorOrder::Bgr, 1.0, Fit::LetterboxTopLeft));
    let v5 = resolved(Layout::YoloV5).input;
    assert_eq!((v5.color_order, v5.scale, v5.fit), (ColorOrder::Rgb, 1.0 / 255.0, Fit::LetterboxCenter));
    let asked = ModelSpec {
        preprocess: Preprocess {
            color_order: Some(ColorOrder::Bgr),
            scale: Some(1.0),
            mean: Some([1.0, 2.0, 3.0]),
            std: Some([4.0, 5.0, 6.0]),
            fit: Some(Fit::Stretch),
        },
        ..spec()
    };
    let header = file(SQUARE, &[("output0", &[1, 84, 8400])]);
    let input = resolve(&asked, &header).unwrap().input;
    assert_eq!((input.color_order, input.scale, input.fit), (ColorOrder::Bgr, 1.0, Fit::Stretch));
    assert_eq!((input.value(10, 1), input.value(0, 2)), (8.0 / 5.0, -0.5));
    let no_spread = ModelSpec { preprocess: Preprocess { std: Some([0.0; 3]), ..Preprocess::default() }, ..spec() };
    assert_snapshot!(question(&no_spread, &header), @"model m: spec.preprocess: scale and std must be finite and not 0, mean finite");
}

#[test]
fn bytes_are_not_scaled() {
    let mut header = file(&[1, 640, 640, 3], &[("output0", &[1, 84, 8400])]);
    header.inputs[0].element_type = TensorType::U8;
    let input = resolve(&spec(), &header).unwrap().input;
    assert_eq!((input.element_type, input.channel_order, input.scale), (ElementType::U8, ChannelOrder::Nhwc, 1.0));
}

#[test]
fn thresholds_are_the_manifests_over_the_layouts() {
    let header = file(SQUARE, &[("output0", &[1, 84, 8400])]);
    let asked = ModelSpec {
        confidence: Some(0.6),
        per_class: [("person".to_owned(), 0.3)].into(),
        max_objects: Some(5),
        ..spec()
    };
    let thresholds = resolve(&asked, &header).unwrap().thresholds;
    assert_eq!((thresholds.confidence, thresholds.iou, thresholds.max_objects), (0.6, DEFAULT_IOU, 5));
    assert_eq!(*thresholds.per_class, [(0, 0.3)]);
    let unknown = ModelSpec { per_class: [("persons".to_owned(), 0.3)].into(), ..spec() };
    assert_snapshot!(question(&unknown, &header), @"model m: spec.thresholds.perClass: the model has no class `persons`; did you mean `person`?");
    let impossible = ModelSpec { confidence: Some(25.0), ..spec() };
    assert_snapshot!(question(&impossible, &header), @"model m: spec.thresholds: every threshold must lie between 0 and 1");
}

#[test]
fn refuses_what_this_build_or_file_cannot_do() {
    let header = file(SQUARE, &[("output0", &[1, 84, 8400])]);
    assert_snapshot!(question(&ModelSpec { device: Device::Gpu, ..spec() }, &header), @"model m: spec.device: this build runs models on CPUs only; set it to Auto or CPU");
    assert_snapshot!(question(&ModelSpec { precision: Precision::Fp16, ..spec() }, &header), @"model m: spec.precision: FP16 is asked for, but the file's weights are 32-bit floating point; set it to Auto or FP32, or export the model again");
    assert!(resolve(&ModelSpec { precision: Precision::Fp32, device: Device::Cpu, ..spec() }, &header).is_ok());
}

fn any_tensor() -> impl Strategy<Value = TensorInfo> {
    let size =
        prop_oneof![Just(None), Just(Some(0)), (1_usize..10).prop_map(Some), Just(Some(usize::MAX)), Just(Some(640))];
    let kinds = prop::sample::select(vec![TensorType::F32, TensorType::F16, TensorType::U8, TensorType::Other(99)]);
    ("[a-z]{0,6}", kinds, prop::collection::vec(size, 0..6)).prop_map(|(name, element_type, shape)| TensorInfo {
        name,
        element_type,
        shape,
    })
}

proptest! {
    #[test]
    fn headers_of_any_kind_never_panic(
        inputs in prop::collection::vec(any_tensor(), 0..3),
        outputs in prop::collection::vec(any_tensor(), 0..4),
        imgsz in "\\PC{0,8}",
        layout in prop::option::of(prop::sample::select(&Layout::ALL[..])),
        names in prop::option::of(0_usize..6),
        picture in any::<bool>(),
    ) {
        let mut header = OnnxHeader { inputs, outputs, ..file(SQUARE, &[]) };
        if picture {
            header.inputs = vec![tensor("images", TensorType::F32, SQUARE)];
        }
        let header = with_metadata(header, &[("imgsz", &imgsz)]);
        let _ = resolve(&ModelSpec { layout, labels: names.map(labels), ..spec() }, &header);
    }
}
