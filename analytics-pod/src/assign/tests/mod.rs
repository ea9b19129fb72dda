//! The room as its users see it: real files in, states and errors out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod configs;
mod edits;
mod state;
mod watching;

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{Loaded, Loader};

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn load(path: &Path) -> Loaded {
    Loader::new(vec![path.to_owned()]).load()
}

/// The errors, one a line, without the folder.
fn errors(loaded: &Loaded, folder: &Path) -> String {
    let prefix = format!("{}/", folder.display());
    let lines: Vec<String> = loaded.errors.iter().map(|error| error.to_string().replace(&prefix, "")).collect();
    lines.join("\n")
}

/// The names of the sources in the state.
fn names(loaded: &Loaded) -> Vec<&str> {
    loaded.state.sources.keys().map(|key| &*key.name).collect()
}

const MODEL: &str = "apiVersion: vision-operator.dev/v1alpha1
kind: DetectionModel
metadata: {name: starter}
spec:
  source: {builtin: starter}
";

/// A source with these lines more in its spec.
fn source(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: vision-operator.dev/v1alpha1
kind: VideoSource
metadata:
  name: {name}
spec:
  modelRef: {{name: starter}}
{spec}"
    )
}

fn camera(name: &str) -> String {
    source(name, "  uri: sim://street?seed=1\n")
}
