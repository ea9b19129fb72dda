//! Rounds of loading while manifests are edited.

use std::fs;

use super::{MODEL, camera, errors, folder, names, source};
use crate::assign::{Loader, ModelKey};

#[test]
fn a_broken_edit_keeps_the_last_good_version() {
    let folder = folder(&[("model.yaml", MODEL), ("a.yaml", &camera("a")), ("b.yaml", &camera("b"))]);
    let file = folder.path().join("a.yaml");
    let mut manifests = Loader::new(vec![folder.path().to_owned()]);
    let good = manifests.load();
    assert_eq!(names(&good), ["a", "b"]);

    for broken in [
        source("a", "  uri: sim://street?seed=9\n  detecton: {fps: 5}\n"),
        source("a", "  uri: rtsp://admin:pw@camera\n"),
        camera("a").replace("name: starter", "name: startr"),
        camera("a").replace("metadata:", "metadta:"),
        camera("a").replace("sim://street?seed=1", "\"sim://"),
    ] {
        fs::write(&file, &broken).unwrap();
        let loaded = manifests.load();
        assert_eq!(loaded.state, good.state, "{broken}");
        assert!(!loaded.errors.is_empty(), "{broken}");
        assert!(loaded.errors.iter().all(|error| error.file == file), "{}", errors(&loaded, folder.path()));
    }

    fs::write(&file, source("a", "  uri: sim://street?seed=9\n")).unwrap();
    let loaded = manifests.load();
    assert_eq!(loaded.errors, []);
    assert_eq!(loaded.state.changes_from(&good.state).changed.len(), 1);

    fs::remove_file(&file).unwrap();
    let loaded = manifests.load();
    assert_eq!((names(&loaded), loaded.errors.len()), (vec!["b"], 0));
}

#[test]
fn only_the_broken_object_of_a_file_stays_behind() {
    let text = format!("{MODEL}---\n{}---\n{}---\n{}", camera("a"), camera("b"), camera("c"));
    let folder = folder(&[("all.yaml", &text)]);
    let mut manifests = Loader::new(vec![folder.path().to_owned()]);
    let good = manifests.load();
    // `a` breaks, `b` changes, `c` goes.
    let text = format!(
        "{MODEL}---\n{}---\n{}",
        source("a", "  uri: sim://street\n  loop: maybe\n"),
        source("b", "  uri: sim://street?seed=7\n")
    );
    fs::write(folder.path().join("all.yaml"), text).unwrap();
    let loaded = manifests.load();
    assert_eq!(names(&loaded), ["a", "b"]);
    assert_eq!(loaded.errors.len(), 1);
    let changes = loaded.state.changes_from(&good.state);
    assert_eq!((changes.changed.len(), changes.removed.len()), (1, 1));
}

#[test]
fn an_object_may_move_to_another_file() {
    let folder = folder(&[("model.yaml", MODEL), ("a.yaml", &camera("a"))]);
    let mut manifests = Loader::new(vec![folder.path().to_owned()]);
    let good = manifests.load();
    fs::rename(folder.path().join("a.yaml"), folder.path().join("z.yaml")).unwrap();
    fs::write(folder.path().join("a.yaml"), "kind: [").unwrap();
    let loaded = manifests.load();
    assert_eq!(loaded.state, good.state);
    assert_eq!(loaded.errors.len(), 1, "{:?}", loaded.errors);
}

#[test]
fn a_model_that_goes_takes_its_sources_along_and_brings_them_back() {
    let folder = folder(&[("model.yaml", MODEL), ("a.yaml", &camera("a"))]);
    let mut manifests = Loader::new(vec![folder.path().to_owned()]);
    let good = manifests.load();
    fs::remove_file(folder.path().join("model.yaml")).unwrap();
    let loaded = manifests.load();
    assert_eq!(names(&loaded), [""; 0]);
    assert!(errors(&loaded, folder.path()).contains("add a manifest of a DetectionModel"));
    fs::write(folder.path().join("model.yaml"), MODEL).unwrap();
    assert_eq!(manifests.load(), good);
}

#[test]
fn a_broken_model_keeps_its_last_good_version_and_its_sources() {
    let folder = folder(&[("model.yaml", MODEL), ("a.yaml", &camera("a"))]);
    let mut manifests = Loader::new(vec![folder.path().to_owned()]);
    let good = manifests.load();
    fs::write(folder.path().join("model.yaml"), format!("{MODEL}  maxObjects: none\n")).unwrap();
    let loaded = manifests.load();
    assert_eq!(loaded.state, good.state);
    assert_eq!(loaded.errors.len(), 1, "{}", errors(&loaded, folder.path()));
    assert!(loaded.state.models.contains_key(&ModelKey::new("default", "starter")));
}
