//! nvtracker.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::json;

use crate::scene::{Scene, Told, configuration, file_source, installation};

const CONFIGURATION: &str = "%YAML:1.0\nTargetManagement:\n  probationAge: 2\n  maxShadowTrackingAge: 10\n";

fn play(folder: &Path, version: &str, interval: u32, tracker: &str) -> Told {
    let configuration = configuration(folder, version, &format!("interval={interval}"));
    let description = format!(
        "nvstreammux name=mux batch-size=1 width=640 height=360 ! nvinfer config-file-path={configuration} \
         ! nvtracker {tracker} ! fakesink name=sink {}",
        file_source("a", 0)
    );
    Scene::new(version, "launch", &[&description]).play()
}

fn good(folder: &Path, version: &str) -> String {
    let path = folder.join("tracker.yml");
    fs::write(&path, CONFIGURATION).unwrap();
    let library = installation(version).join("lib/libnvds_nvmultiobjecttracker.so");
    format!("tracker-width=640 tracker-height=384 ll-lib-file={} ll-config-file={}", library.display(), path.display())
}

#[test]
fn objects_keep_their_identity_after_their_probation() {
    for version in ["6.2", "9.1"] {
        let folder = tempfile::tempdir().unwrap();
        let told = play(folder.path(), version, 0, &good(folder.path(), version));
        let frames = told.all("frame");
        let mut seen: BTreeMap<u64, usize> = BTreeMap::new();
        for (number, frame) in frames.iter().enumerate() {
            for object in frame["objects"].as_array().unwrap() {
                let id = object["id"].as_u64().unwrap();
                if number < 2 {
                    assert_eq!(id, u64::MAX, "in probation");
                } else if id != u64::MAX {
                    *seen.entry(id).or_default() += 1;
                }
            }
        }
        assert!(seen.values().any(|frames| *frames >= 15), "{version}: {seen:?}");
    }
}

#[test]
fn frames_that_no_detector_saw_have_predicted_objects() {
    let folder = tempfile::tempdir().unwrap();
    let told = play(folder.path(), "7.1", 1, &good(folder.path(), "7.1"));
    let frames = told.all("frame");
    let last = frames.iter().rfind(|frame| frame["inferred"] == 0).unwrap();
    let objects = last["objects"].as_array().unwrap();
    assert!(!objects.is_empty());
    assert!(objects.iter().all(|object| object["confidence"].as_f64().unwrap() < 0.0), "{objects:?}");
}

#[test]
fn a_tracker_without_its_files_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let good = good(folder.path(), "7.1");
    let wrong = folder.path().join("wrong.yml");
    fs::write(&wrong, "BaseConfig:\n").unwrap();
    let yml = folder.path().join("tracker.yml").display().to_string();
    for (tracker, words) in [
        ("tracker-width=640 tracker-height=384".to_owned(), "ll-lib-file is not set"),
        (good.replace("multiobjecttracker.so", "other.so"), "Failed to open low-level lib"),
        (good.split(" ll-config-file").next().unwrap().to_owned(), "ll-config-file is not set"),
        (good.replace(&yml, "/nowhere.yml"), "ll-config-file /nowhere.yml"),
        (good.replace(&yml, &wrong.display().to_string()), "its first line is not %YAML:1.0"),
        (good.replace("tracker-height=384", "tracker-height=360"), "tracker-height is 360"),
    ] {
        let told = play(folder.path(), "7.1", 0, &tracker);
        assert!(told.error().contains(words), "{tracker}: {told:?}");
        assert_eq!(*told.one("buffers"), json!(0));
    }
}
