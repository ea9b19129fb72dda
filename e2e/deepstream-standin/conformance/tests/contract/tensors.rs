//! nvdspreprocess, and nvinfer on what it made.

use std::{fs, path::Path};

use serde_json::Value;

use crate::scene::{FRAMES, Scene, Told, configuration, file_source, installation};

const PREPROCESS: &str = "[property]\nenable=1\ntarget-unique-ids=1\nnetwork-input-order=0\nprocess-on-frame=1\n\
    unique-id=5\ngpu-id=0\nmaintain-aspect-ratio=1\nsymmetric-padding=0\nprocessing-width=416\nprocessing-height=256\n\
    scaling-buf-pool-size=6\ntensor-buf-pool-size=6\nnetwork-input-shape=1;3;256;416\nnetwork-color-format=0\n\
    tensor-data-type=0\ntensor-name=images\nscaling-pool-memory-type=0\nscaling-pool-compute-hw=0\nscaling-filter=1\n\
    custom-lib-path=LIBRARY\ncustom-tensor-preparation-function=CustomTensorPreparation\n\
    [user-configs]\npixel-normalization-factor=0.00392156862745098\n\
    [group-0]\nsrc-ids=0\ncustom-input-transformation-function=CustomAsyncTransformation\nprocess-on-roi=0\n";

fn play(folder: &Path, version: &str, preprocess: &str) -> Told {
    let infer = configuration(folder, version, "");
    let path = folder.join("preprocess.txt");
    let library = installation(version).join("lib/gst-plugins/libcustom2d_preprocess.so");
    fs::write(&path, preprocess.replace("LIBRARY", &library.display().to_string())).unwrap();
    let description = format!(
        "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvdspreprocess config-file={} \
         ! nvinfer input-tensor-meta=true config-file-path={infer} ! fakesink name=sink {}",
        path.display(),
        file_source("a", 0)
    );
    Scene::new(version, "launch", &[&description]).play()
}

fn objects(told: &Told) -> Vec<Value> {
    told.all("frame").into_iter().map(|frame| frame["objects"].clone()).collect()
}

#[test]
fn the_tensor_path_finds_what_nvinfer_finds_by_itself() {
    for version in ["6.0", "7.1", "9.1"] {
        let folder = tempfile::tempdir().unwrap();
        let told = play(folder.path(), version, PREPROCESS);
        assert_eq!(objects(&told).len(), FRAMES, "{version}: {told:?}");
        let infer = configuration(folder.path(), version, "");
        let description = format!(
            "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvinfer config-file-path={infer} \
             ! fakesink name=sink {}",
            file_source("a", 0)
        );
        let alone = Scene::new(version, "launch", &[&description]).play();
        let count = |objects: &[Value]| objects.iter().map(|frame| frame.as_array().unwrap().len()).sum::<usize>();
        assert!(count(&objects(&alone)) > FRAMES, "{version}");
        assert_eq!(count(&objects(&told)), count(&objects(&alone)), "{version}");
    }
}

#[test]
fn objects_are_found_in_regions_alone_and_cut_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let regions = PREPROCESS.replace("process-on-roi=0", "process-on-roi=1\nroi-params-src-0=100;60;320;240");
    let told = play(folder.path(), "7.1", &regions);
    let frames = objects(&told);
    assert!(frames.iter().any(|frame| !frame.as_array().unwrap().is_empty()), "{told:?}");
    for object in frames.iter().flat_map(|frame| frame.as_array().unwrap()) {
        let corner = |index: usize| object["box"][index].as_f64().unwrap();
        assert!(corner(0) >= 99.9 && corner(0) + corner(2) <= 420.1, "{object}");
        assert!(corner(1) >= 59.9 && corner(1) + corner(3) <= 300.1, "{object}");
    }
}

#[test]
fn nvdspreprocess_does_not_start_without_its_mandatory_keys() {
    let folder = tempfile::tempdir().unwrap();
    for (from, to, words) in [
        ("tensor-name=images\n", "", "[property] lacks tensor-name"),
        ("custom-lib-path=LIBRARY\n", "", "[property] lacks custom-lib-path"),
        ("custom-lib-path=LIBRARY", "custom-lib-path=/none.so", "Could not open custom library"),
        ("processing-height=256", "processing-height=300", "should be same as network height = 256"),
        ("tensor-name=images", "tensor-name=other", "could not find input layer with name = other"),
    ] {
        let told = play(folder.path(), "7.1", &PREPROCESS.replace(from, to));
        assert!(told.error().contains(words), "{from} → {to}: {told:?}");
    }
}
