//! Every form of input and output that a session converts, on models of a few hundred bytes that are checked in
//! (`fixtures/models/generate.py`). They need ONNX Runtime; where it is not installed the tests say so and pass.
#![allow(clippy::unwrap_used)]

use std::{path::PathBuf, sync::Arc};

use analytics_pod::model::{
    ChannelOrder, ElementType, Layout, Model, ModelError, ModelSource, ModelSpec, OpenOptions, Placement, Session,
};

fn spec(name: &str) -> ModelSpec {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/models/{name}.onnx"));
    ModelSpec::new(name, ModelSource::File(path))
}

fn open(spec: &ModelSpec) -> Option<Arc<Model>> {
    match Model::open(spec, &OpenOptions::default()) {
        Ok(model) => Some(model),
        Err(ModelError::Runtime(error)) => {
            eprintln!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Fills picture `index` evenly; colours are shares of 1.
fn paint(session: &mut Session, index: usize, [red, green, blue]: [f32; 3]) {
    let input = session.info().input.clone();
    let plane = (input.width * input.height) as usize;
    let full = input.value(255, 0);
    for (values, share) in session.input(index).chunks_exact_mut(plane).zip([red, green, blue]) {
        values.fill(share * full);
    }
}

/// Class, confidence in hundredths, and corners in input pixels of every detection of every picture.
type Seen = Vec<Vec<(u32, i32, [i32; 4])>>;

fn see(session: &mut Session, pictures: usize) -> Seen {
    let info = session.info().clone();
    let whole = Placement { x: 0, y: 0, width: info.input.width, height: info.input.height };
    let output = session.run(&vec![(whole, info.thresholds.clone()); pictures]).unwrap();
    let side = info.input.width as f32;
    output
        .detections
        .iter()
        .map(|found| {
            found
                .iter()
                .map(|one| {
                    let b = one.bounding_box;
                    let corners = [b.x, b.y, b.x + b.width, b.y + b.height].map(|edge| (edge * side).round() as i32);
                    (one.class, (one.confidence * 100.0).round() as i32, corners)
                })
                .collect()
        })
        .collect()
}

const RED: [i32; 4] = [4, 4, 12, 12];
const BLUE: [i32; 4] = [16, 12, 32, 20];

#[test]
fn every_element_type_and_order_sees_the_same() {
    for (name, element_type, channel_order) in [
        ("dynamic_batch", ElementType::F32, ChannelOrder::Nchw),
        ("half_precision", ElementType::F16, ChannelOrder::Nchw),
        ("bytes_rows_first", ElementType::U8, ChannelOrder::Nhwc),
    ] {
        let Some(model) = open(&spec(name)) else { return };
        let input = &model.info().input;
        assert_eq!((input.element_type, input.channel_order), (element_type, channel_order), "{name}");
        let mut session = model.session().unwrap();
        paint(&mut session, 0, [0.8, 0.1, 0.6]);
        assert_eq!(see(&mut session, 1), [[(0, 80, RED), (1, 60, BLUE)]], "{name}");
        paint(&mut session, 0, [0.1, 0.9, 0.4]);
        assert_eq!(see(&mut session, 1), [[(1, 40, BLUE)]], "{name}");
    }
}

#[test]
fn batches_keep_pictures_apart() {
    for (name, asked) in [("dynamic_batch", Some(2)), ("fixed_batch_of_two", None)] {
        let Some(model) = open(&ModelSpec { max_batch: asked, ..spec(name) }) else { return };
        assert_eq!(model.info().input.max_batch, 2, "{name}");
        let mut session = model.session().unwrap();
        paint(&mut session, 0, [0.8, 0.0, 0.0]);
        paint(&mut session, 1, [0.0, 0.0, 0.6]);
        assert_eq!(see(&mut session, 2), [[(0, 80, RED)], [(1, 60, BLUE)]], "{name}");
        assert_eq!(see(&mut session, 1), [[(0, 80, RED)]], "{name}");
    }
}

#[test]
fn queries_that_scale_their_boxes_are_told_the_inputs_size() {
    let Some(model) = open(&ModelSpec { max_batch: Some(2), ..spec("queries_with_size") }) else { return };
    assert_eq!(model.info().layout, Layout::Queries);
    let mut session = model.session().unwrap();
    paint(&mut session, 0, [0.8, 0.0, 0.6]);
    paint(&mut session, 1, [0.0, 0.0, 0.9]);
    assert_eq!(see(&mut session, 2), [vec![(0, 80, RED), (1, 60, BLUE)], vec![(1, 90, BLUE)]]);
}

#[test]
fn a_model_that_says_nothing_finite_is_refused_before_it_serves() {
    match Model::open(&spec("not_a_number"), &OpenOptions::default()) {
        Err(ModelError::Runtime(error)) => eprintln!("skipped: {error}"),
        Err(error) => assert!(error.to_string().contains("not finite"), "{error}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[test]
fn the_weights_tell_the_precision() {
    let asked = ModelSpec { precision: analytics_pod::model::Precision::Fp32, ..spec("half_precision") };
    let error = Model::open(&asked, &OpenOptions::default()).unwrap_err().to_string();
    assert!(error.contains("spec.precision"), "{error}");
}

#[test]
fn every_manifest_of_configs_is_a_model() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../configs/models");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let manifest: crds::DetectionModel =
                serde_yaml::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let spec = ModelSpec::from_manifest(&manifest, &folder).unwrap();
            assert_eq!(Some(&*spec.name), path.file_stem().and_then(|stem| stem.to_str()));
            assert!(spec.sha256.is_some() || matches!(spec.source, ModelSource::Builtin(_)), "{}", path.display());
            names.push(spec.name.to_string());
        }
    }
    names.sort();
    assert_eq!(names, ["fastestdet", "starter", "yolox-nano", "yolox-s"]);
}
