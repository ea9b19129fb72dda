//! nvinfer: its configuration, its engines, and what it finds.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::scene::{EPOCHS, FRAMES, Scene, Told, build_parser, configuration, file_source, installation, truth};

fn description(configuration: &str, more: &str) -> String {
    format!(
        "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvinfer name=infer config-file-path={configuration} \
         {more} ! fakesink name=sink {}",
        file_source("a", 0)
    )
}

fn launch(version: &str, more_config: &str, more: &str) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), version, more_config);
    Scene::new(version, "launch", &[&description(&configuration, more)]).play()
}

fn boxes(frame: &Value) -> Vec<(u64, [f64; 4])> {
    frame["objects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|object| {
            let corners: Vec<f64> = object["box"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            (object["class"].as_u64().unwrap(), [corners[0], corners[1], corners[2], corners[3]])
        })
        .collect()
}

fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let across = (a[0] + a[2]).min(b[0] + b[2]) - a[0].max(b[0]);
    let down = (a[1] + a[3]).min(b[1] + b[3]) - a[1].max(b[1]);
    let both = across.max(0.0) * down.max(0.0);
    both / (a[2] * a[3] + b[2] * b[3] - both)
}

#[test]
fn objects_that_were_drawn_are_found_in_every_epoch() {
    const CLASSES: [&str; 5] = ["person", "car", "truck", "bicycle", "dog"];
    let mut first: Option<Vec<Value>> = None;
    for version in EPOCHS {
        let told = launch(version, "", "");
        let frames: Vec<Value> = told.all("frame").into_iter().cloned().collect();
        assert_eq!(frames.len(), FRAMES, "{version}: {told:?}");
        let (mut wanted, mut found) = (0, 0);
        for (number, frame) in frames.iter().enumerate() {
            assert_eq!(frame["inferred"], json!(1));
            assert_eq!(frame["count"].as_u64().unwrap() as usize, boxes(frame).len());
            for object in truth(number) {
                let share = |key: &str| object[key].as_f64().unwrap();
                if share("visible") < 0.6 || share("height") < 0.06 || share("y") + share("height") > 0.99 {
                    continue;
                }
                let drawn = [share("x") * 640.0, share("y") * 360.0, share("width") * 640.0, share("height") * 360.0];
                let class = CLASSES.iter().position(|name| object["class"] == *name).unwrap() as u64;
                wanted += 1;
                found += usize::from(boxes(frame).iter().any(|(c, b)| *c == class && iou(*b, drawn) > 0.5));
            }
        }
        assert!(wanted > 20 && found * 10 >= wanted * 8, "{version}: {found} of {wanted}");
        let objects: Vec<Value> = frames.iter().map(|frame| frame["objects"].clone()).collect();
        let object = &objects[0][0];
        assert_eq!(object["component"], json!(1));
        assert_eq!(object["id"], json!(u64::MAX), "nothing tracks");
        assert_eq!(object["label"], object["text"]);
        assert!(CLASSES.contains(&object["label"].as_str().unwrap()));
        assert_eq!(object["detectorBox"].is_null(), version == "5.0-DP");
        // The same pictures and the same model: only the preview has no box of the detector.
        let compared: Vec<_> = frames.iter().map(boxes).map(|boxes| json!(boxes)).collect();
        if let Some(first) = &first {
            assert_eq!(*first, compared, "{version}");
        }
        first.get_or_insert(compared);
    }
}

#[test]
fn frames_of_a_source_without_pad_added_are_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), "7.1", "");
    let with_source_1 = description(&configuration, "").replace("mux.sink_0", "mux.sink_1");
    let told = Scene::new("7.1", "without-pad-added", &[&with_source_1]).play();
    assert!(told.all("frame").iter().all(|frame| frame["inferred"] == 0), "{told:?}");
    assert!(told.errors.contains("Source info not found for source 1"), "{}", told.errors);
    let told = Scene::new("7.1", "launch", &[&with_source_1]).play();
    assert!(told.all("frame").iter().all(|frame| frame["inferred"] == 1));
}

#[test]
fn a_configuration_that_is_missing_or_wrong_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let play = |configuration: &str| {
        let told = Scene::new("7.1", "launch", &[&description(configuration, "")]).play();
        told.error().to_owned()
    };
    let none = format!(
        "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvinfer ! fakesink name=sink {}",
        file_source("a", 0)
    );
    let told = Scene::new("7.1", "launch", &[&none]).play();
    assert!(told.error().contains("Configuration file not provided"), "{told:?}");
    assert!(play("/nowhere.txt").contains("Configuration file parsing failed"));
    let path = configuration(folder.path(), "7.1", "");
    let good = fs::read_to_string(&path).unwrap();
    for (from, to, words) in [
        ("[property]", "[properties]", "Could not find group property"),
        ("gie-unique-id=1\n", "", "Unique ID not set"),
        ("onnx-file=starter.onnx\n", "", "neither an engine that fits nor an onnx-file"),
        ("onnx-file=starter.onnx", "onnx-file=other.onnx", "other.onnx"),
        ("labelfile-path=labels.txt", "labelfile-path=none.txt", "Could not open labels file"),
        ("ParseYoloV8", "ParseNothing", "dlsym failed to get func ParseNothing"),
        ("lib/libparser.so", "lib/libnone.so", "Could not open custom lib"),
        ("cluster-mode=2", "cluster-mode=7", "Configuration file parsing failed"),
        ("cluster-mode=2", "cluster-mode=1", "the stand-in does not play cluster-mode 1"),
        ("cluster-mode=2", "cluster-mode=2\nbatch-size=4", "maxBatchSize 1 whereas 4"),
    ] {
        fs::write(&path, good.replace(from, to)).unwrap();
        let error = play(&path);
        assert!(error.contains(words), "{from} → {to}: {error}");
    }
}

#[test]
fn an_unknown_key_is_a_warning() {
    let told = launch("7.1", "batchsize=2", "");
    assert!(told.errors.contains("Unknown or legacy key specified 'batchsize'"), "{}", told.errors);
    assert!(told.all("warning").iter().any(|text| text.as_str().unwrap().contains("'batchsize'")), "{told:?}");
}

#[test]
fn properties_of_the_element_count_before_the_file() {
    let told = launch("7.1", "interval=0", "interval=3 unique-id=9");
    let frames = told.all("frame");
    let inferred: Vec<_> = frames.iter().map(|frame| frame["inferred"].as_u64().unwrap()).collect();
    assert_eq!(inferred[..8], [1, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(frames[0]["objects"][0]["component"], json!(9));
}

#[test]
fn the_interval_event_counts_from_6_2_on() {
    for (version, expected) in [("6.0", [1, 1, 1, 1]), ("6.2", [1, 0, 1, 0])] {
        let folder = tempfile::tempdir().unwrap();
        let configuration = configuration(folder.path(), version, "");
        let told = Scene::new(version, "interval", &[&description(&configuration, ""), "1"]).play();
        let inferred: Vec<_> =
            told.all("frame").iter().map(|frame| frame["inferred"].as_u64().unwrap()).take(4).collect();
        assert_eq!(inferred, expected, "{version}");
    }
}

#[test]
fn raw_outputs_are_attached_on_demand() {
    let told = launch("7.1", "output-tensor-meta=1", "");
    let tensor = &told.all("frame")[0]["tensors"][0];
    assert_eq!(tensor["outputs"], json!(1));
    assert_eq!(tensor["dims"], json!([9, 2184]));
    assert_eq!(tensor["network"], json!([416, 256]));
    assert!(launch("7.1", "", "").all("frame")[0]["tensors"].as_array().unwrap().is_empty());
}

#[test]
fn an_engine_is_written_beside_the_model_and_used_where_it_fits() {
    let folder = tempfile::tempdir().unwrap();
    let path = configuration(folder.path(), "7.1", "");
    let told = Scene::new("7.1", "launch", &[&description(&path, "")]).play();
    assert_eq!(told.all("eos").len(), 1, "{told:?}");
    let engine = folder.path().join("starter.onnx_b1_gpu0_fp32.engine");
    assert!(engine.is_file());
    let text = fs::read_to_string(&path).unwrap();
    let without_model =
        text.replace("onnx-file=starter.onnx\n", "model-engine-file=starter.onnx_b1_gpu0_fp32.engine\n");
    fs::write(&path, &without_model).unwrap();
    let told = Scene::new("7.1", "launch", &[&description(&path, "")]).play();
    assert_eq!(told.all("frame")[0]["inferred"], json!(1), "{told:?}");
    // TensorRT of another version does not read it.
    let told = Scene::new("7.0", "launch", &[&description(&path, "")]).play();
    assert!(told.error().contains("neither an engine that fits"), "{told:?}");
}

#[test]
fn a_parser_that_was_built_with_another_versions_headers_is_found_out() {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("parsers/one_object.cpp");
    let wrong = folder.path().join("libwrong.so");
    build_parser(&source, &installation("8.0").join("sources/includes"), &wrong);
    let path = configuration(folder.path(), "9.1", "");
    let text = fs::read_to_string(&path).unwrap();
    let parser = installation("9.1").join("lib/libparser.so");
    let text = text.replace(&parser.display().to_string(), &wrong.display().to_string());
    fs::write(&path, text.replace("ParseYoloV8", "ParseOneObject")).unwrap();
    let told = Scene::new("9.1", "launch", &[&description(&path, "")]).play();
    assert!(told.error().contains("another version's headers"), "{told:?}");
}

#[test]
fn a_gpu_without_memory_and_one_that_is_lost_can_be_played() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = configuration(folder.path(), "7.1", "");
    let play = |variable: &str, value: &str| {
        Scene::new("7.1", "launch", &[&description(&configuration, "")]).env(variable, value).play()
    };
    let told = play("VISION_STANDIN_MAX_BATCH", "0");
    assert!(told.error().contains("out of memory for batch-size 1"), "{told:?}");
    assert_eq!(*told.one("buffers"), json!(0));
    let told = play("VISION_STANDIN_DEVICE_LOST_AFTER", "5");
    assert!(told.error().contains("illegal memory access"), "{told:?}");
    assert_eq!(*told.one("buffers"), json!(5));
}
