//! What the documents show is what the program reads and writes, and every manifest that is shipped works as it is.

#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    fs,
    path::{Path, PathBuf},
};

use analytics_pod::{
    assign::{DesiredModel, Loader, ModelKey},
    config::Inputs,
    observation::Observation,
};
use crds::{DetectionModelSpec, ModelSource};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The bodies of the code blocks of `language` in the README.
fn readme_blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let start = format!("```{language}\n");
    readme.split(&start).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_readmes_observation_is_one() {
    let blocks = readme_blocks("json");
    assert!(!blocks.is_empty());
    for block in blocks {
        let observation: Observation = serde_json::from_str(&block).unwrap();
        let (shown, written): (serde_json::Value, _) =
            (serde_json::from_str(&block).unwrap(), serde_json::to_value(&observation).unwrap());
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&shown), keys(&written));
    }
}

#[test]
fn the_readmes_manifests_are_valid_once_their_references_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = readme_blocks("yaml").into_iter().filter(|block| block.contains("kind: "));
    for (number, block) in manifests.enumerate() {
        fs::write(folder.path().join(format!("{number}.yaml")), block).unwrap();
    }
    fs::write(
        folder.path().join("references.yaml"),
        "apiVersion: vision-operator.dev/v1alpha1\nkind: DetectionModel\nmetadata:\n  name: yolox-nano\nspec:\n  \
         source:\n    builtin: starter\n---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: entrance-login\ntype: \
         kubernetes.io/basic-auth\nstringData:\n  username: operator\n  password: example\n",
    )
    .unwrap();
    let loaded = Loader::new(vec![folder.path().to_owned()]).load();
    assert_eq!(loaded.errors, []);
    assert!(!loaded.state.sources.is_empty());
}

#[test]
fn the_readmes_configuration_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let configurations: Vec<String> =
        readme_blocks("yaml").into_iter().filter(|block| !block.contains("kind: ")).collect();
    assert!(!configurations.is_empty());
    for block in configurations {
        let file = folder.path().join("pod.yaml");
        fs::write(&file, block).unwrap();
        let read = Inputs::new(Some(file), None, Vec::new(), Vec::new()).read().unwrap();
        let starter =
            DetectionModelSpec::new(ModelSource { builtin: Some("starter".to_owned()), ..ModelSource::default() });
        let model = DesiredModel { key: ModelKey::new("default", "starter"), spec: starter };
        read.listed(Some(model.into())).unwrap();
    }
}

/// Profiles, which are files, and the examples, which lie deeper, have tests of their own.
#[test]
fn every_shipped_manifest_is_valid() {
    let mut folders = 0;
    let entries = fs::read_dir(root().join("configs")).unwrap().map(|entry| entry.unwrap().path());
    for folder in entries.filter(|path| path.is_dir() && !path.ends_with("examples")) {
        let loaded = Loader::new(vec![folder.clone()]).load();
        assert_eq!(loaded.errors, [], "{}", folder.display());
        assert!(!loaded.state.models.is_empty(), "{} has no model", folder.display());
        folders += 1;
    }
    assert!(folders >= 2);
}
