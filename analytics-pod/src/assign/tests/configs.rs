//! The manifests that come with the project.

use std::path::{Path, PathBuf};

use super::{load, names};

fn configs(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(folder)
}

#[test]
fn the_quick_start_is_good() {
    let loaded = load(&configs("quickstart"));
    assert_eq!(loaded.errors, []);
    assert_eq!(names(&loaded), ["street-1", "street-2"]);
    assert_eq!(loaded.state.models.len(), 1);
}

#[test]
fn the_demo_is_good() {
    let loaded = load(&configs("demo"));
    assert_eq!(loaded.errors, []);
    assert_eq!(names(&loaded), ["east", "gate", "north", "south"]);
    for source in loaded.state.sources.values() {
        assert_eq!(source.input.uri.host_str(), Some("127.0.0.1"));
        assert_eq!(source.input.credentials.is_some(), &*source.key.name == "gate");
    }
}
