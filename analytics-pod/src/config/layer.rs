//! A layer: the values that one file, the environment, the command line or requests give to keys. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use super::keys::keys;
use crate::assign::document::{Located, Node};

/// Where a value is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Origin {
    /// A profile that is part of the program.
    Profile {
        /// Its name.
        name: &'static str,
        /// The line in `configs/NAME.yaml`.
        line: u64,
    },
    /// A file.
    File {
        /// Where it is.
        file: String,
        /// The line, from 1, where one is meant.
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<u64>,
    },
    /// The environment.
    Environment {
        /// The variable.
        variable: String,
    },
    /// The command line.
    Flag {
        /// The flag.
        flag: &'static str,
    },
    /// A request.
    Rest,
}

impl Origin {
    /// A place in a file or profile as messages name it.
    pub(super) fn of_place(file: &Path, line: Option<u64>) -> Self {
        let name = file.to_string_lossy();
        if let Some(name) = name.strip_prefix("$") {
            return Self::Environment { variable: name.to_owned() };
        }
        Self::File { file: name.into_owned(), line }
    }

    /// The same place as a path for messages of manifests; of the environment it is `$NAME`.
    pub(super) fn as_file(&self) -> PathBuf {
        match self {
            Self::File { file, .. } => PathBuf::from(file),
            Self::Environment { variable } => PathBuf::from(format!("${variable}")),
            Self::Profile { .. } | Self::Flag { .. } | Self::Rest => PathBuf::from(self.to_string()),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile { name, line } => write!(f, "profile {name}:{line}"),
            Self::File { file, line: Some(line) } => write!(f, "{file}:{line}"),
            Self::File { file, line: None } => f.write_str(file),
            Self::Environment { variable } => f.write_str(variable),
            Self::Flag { flag } => f.write_str(flag),
            Self::Rest => f.write_str("REST"),
        }
    }
}

/// A value that a flag gives to a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// The flag, as it is written.
    pub flag: &'static str,
    /// The key.
    pub key: &'static str,
    /// The value.
    pub value: Value,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Setting {
    /// Where it is from.
    pub(super) origin: Origin,
    /// What it is; null where a layer says that there is none.
    pub(super) value: Located,
    /// Where relative paths in it begin; `None`: at the working folder.
    pub(super) folder: Option<Arc<Path>>,
}

impl Setting {
    /// As JSON.
    pub(super) fn json(&self) -> Value {
        self.value.to_json("", &BTreeSet::new()).unwrap_or_default()
    }
}

/// Values by the path of their key.
pub(super) type Settings = BTreeMap<String, Setting>;

/// The values that a document gives to keys; `origin` tells where a line of it is.
pub(super) fn settings_of(document: &Located, folder: Option<&Arc<Path>>, origin: impl Fn(u64) -> Origin) -> Settings {
    let mut settings = Settings::new();
    for key in keys() {
        let mut steps = key.path.split('.');
        let field =
            steps.next().and_then(|first| steps.try_fold(document.get(first)?, |field, step| field.value.get(step)));
        if let Some(field) = field {
            let mut value = field.value.clone();
            if let Some(folder) = folder {
                make_absolute(&key.path, &mut value, folder);
            }
            let setting = Setting { origin: origin(field.line), value, folder: folder.cloned() };
            settings.insert(key.path.clone(), setting);
        }
    }
    settings
}

/// Keys that are two ways to say one thing.
const ALTERNATIVES: [[&str; 2]; 2] = [["detection.fps", "detection.interval"], ["detection.interval", "detection.fps"]];

/// What is said `above` stands before what is said `below`. A list is one value; a value above takes that of an
/// alternative away.
pub(super) fn lay_over(mut below: Settings, above: Settings) -> Settings {
    for [said, other] in ALTERNATIVES {
        if let Some(setting) = above.get(said).filter(|setting| setting.value.node != Node::Null)
            && let Some(other) = below.get_mut(other).filter(|other| other.value.node != Node::Null)
        {
            let value = Located { node: Node::Null, ..setting.value.clone() };
            *other = Setting { value, ..setting.clone() };
        }
    }
    below.extend(above);
    below
}

/// The values as one document.
pub(super) fn nested<'a>(values: impl Iterator<Item = (&'a str, Value)>) -> Value {
    let mut root = Map::new();
    for (path, value) in values {
        let (sections, name) = path.rsplit_once('.').unwrap_or(("", path));
        let mut map = &mut root;
        for step in sections.split('.').filter(|step| !step.is_empty()) {
            let section = map.entry(step).or_insert_with(|| Value::Object(Map::new()));
            // A key is either a section or a value.
            let Value::Object(inner) = section else { return Value::Null };
            map = inner;
        }
        map.insert(name.to_owned(), value);
    }
    Value::Object(root)
}

/// Relative paths in files begin at the file's folder.
fn make_absolute(path: &str, value: &mut Located, folder: &Path) {
    let joined = |text: &str| folder.join(text).to_string_lossy().into_owned();
    match (path, &mut value.node) {
        (
            "stateFolder" | "cacheDir" | "onnxruntime" | "api.tokenFile" | "statistics.file" | "log.file",
            Node::Text(text),
        ) => {
            *text = joined(text);
        }
        ("model", Node::Text(text)) if is_model_file(text) => *text = joined(text),
        ("files", Node::List(items)) => {
            for item in items {
                if let Node::Text(text) = &mut item.node {
                    *text = joined(text);
                }
            }
        }
        ("outputs", Node::List(items)) => {
            for item in items {
                if let Node::Text(text) = &mut item.node
                    && let Some((kind @ ("file" | "frames"), path)) = text.split_once(':')
                {
                    *text = format!("{kind}:{}", joined(path));
                }
            }
        }
        _ => {}
    }
}

/// Whether the model is named by its file.
fn is_model_file(text: &str) -> bool {
    let ending = Path::new(text).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    ["onnx", "yaml", "yml", "json"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}
