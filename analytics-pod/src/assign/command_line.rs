//! Sources that are given as bare URIs or paths.

use std::{path::Path, sync::Arc};

use crds::{Scheme, VideoSourceSpec};

use super::{
    desired::{DesiredModel, DesiredSource},
    error::{Kind, ManifestError, ObjectId},
    loader::{Loaded, parse_uri},
};
use crate::observation::SourceKey;

/// Names are no longer than a DNS label.
const MAX_NAME: usize = 63;

/// The state that watches each of `uris` with `model`. What is neither a URI nor `scheme:` something is a path; relative
/// ones start at `folder`, which is absolute. Names are made from host and path.
#[must_use]
pub fn from_uris(uris: &[String], model: DesiredModel, folder: &Path) -> Loaded {
    let mut loaded = Loaded::default();
    let (namespace, model_name) = (model.key.namespace.clone(), model.key.name.clone());
    loaded.state.models.insert(model.key.clone(), Arc::new(model));
    for argument in uris {
        let taken = |name: &str| loaded.state.sources.contains_key(&SourceKey::new(&namespace, name));
        let name = unique(&name(argument), taken);
        let is_path = Scheme::of(argument).is_none() && !argument.contains("://");
        let uri = if is_path {
            url::Url::from_file_path(folder.join(argument)).map_or_else(|()| argument.clone(), String::from)
        } else {
            argument.clone()
        };
        let spec = VideoSourceSpec::new(uri, &*model_name);
        let mut problems: Vec<String> = spec.violations().into_iter().map(|violation| violation.message).collect();
        let parsed = parse_uri(&spec.uri, folder);
        if let (Err(problem), true) = (&parsed, problems.is_empty()) {
            problems.push(format!("is not a valid URI: {problem}"));
        }
        match parsed {
            Ok(parsed) if problems.is_empty() => {
                let source = DesiredSource::resolve(SourceKey::new(&namespace, &name), &spec, parsed, Vec::new(), None);
                loaded.state.specs.insert(source.key.clone(), Arc::new(spec));
                loaded.state.sources.insert(source.key.clone(), Arc::new(source));
            }
            _ => loaded.errors.extend(problems.into_iter().map(|problem| ManifestError {
                file: "command line".into(),
                line: None,
                object: Some(ObjectId {
                    kind: Kind::VideoSource,
                    namespace: namespace.clone(),
                    name: name.as_str().into(),
                }),
                field: "uri".to_owned(),
                problem,
                remedy: None,
            })),
        }
    }
    loaded
}

/// A name of letters, digits and dashes for a URI: host and path, or the name of the file.
fn name(uri: &str) -> String {
    let rest = uri.split_once("://").map(|(_, rest)| rest);
    let text = match (Scheme::of(uri).map(|scheme| scheme.name), rest) {
        (Some("file"), _) | (None, None) => {
            Path::new(uri.trim_start_matches("file:")).file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
        }
        // A login may be anywhere before it, and the name is printed.
        (_, Some(rest)) if rest.contains('@') => "",
        (_, Some(rest)) => rest.split(['?', '#']).next().unwrap_or_default(),
        (Some(_), None) => "",
    };
    let mut name = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()).take(MAX_NAME) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.ends_with('-') && !name.is_empty() {
            name.push('-');
        }
    }
    let name = name.trim_end_matches('-');
    if name.is_empty() { "source".to_owned() } else { name.to_owned() }
}

/// `name`, or the first `name-2`, `name-3`, … that is not taken.
fn unique(name: &str, taken: impl Fn(&str) -> bool) -> String {
    if !taken(name) {
        return name.to_owned();
    }
    let room = MAX_NAME - "-10000".len();
    let stem = name.get(..room).unwrap_or(name);
    (2..=u32::MAX).map(|number| format!("{stem}-{number}")).find(|candidate| !taken(candidate)).unwrap_or_default()
}
