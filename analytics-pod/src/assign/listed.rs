//! Sources and models that a configuration lists: manifests, or the short form that REST takes too.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crds::{API_VERSION, DetectionModelSpec, ModelSource};
use serde_json::Value;

use super::{
    desired::DesiredModel,
    document::{Field, Located, Node},
    error::{Kind, ManifestError, ObjectId},
    manifest::{self, Object, Origin, Placed},
    rest::check_type,
};
use crate::model::builtin_names;

/// A list of a configuration, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct List<'a> {
    /// What its entries are.
    pub(crate) kind: Kind,
    /// As they are written.
    pub(crate) entries: &'a [Located],
    /// The file, for messages.
    pub(crate) file: &'a Path,
    /// Where relative paths begin; absolute.
    pub(crate) folder: &'a Path,
}

/// What a configuration lists, read and without errors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    objects: Vec<Placed>,
    /// The model of sources that name none.
    default_model: Option<Arc<DesiredModel>>,
}

impl Listed {
    /// Reads `lists`; a source that names no model gets `default_model`.
    ///
    /// # Errors
    /// Everything that is wrong with the entries, by file and line.
    pub(crate) fn read(
        lists: &[List<'_>],
        default_model: Option<Arc<DesiredModel>>,
    ) -> Result<Self, Vec<ManifestError>> {
        let (mut objects, mut errors) = (Vec::new(), Vec::new());
        for list in lists {
            let origin = Origin { file: list.file.into(), folder: list.folder.into() };
            for entry in list.entries {
                let (document, word) = as_manifest(entry, list.kind, default_model.as_deref());
                let content = manifest::read_object(&origin, document);
                let uri = content.objects.iter().find_map(|placed| match &placed.object {
                    Object::Source(spec) => Some(spec.uri.as_str()),
                    Object::Model(_) | Object::Secret(_) => None,
                });
                let faults = word.as_ref().map(|word| check_type(word, uri)).unwrap_or_default();
                errors.extend(faults.into_iter().map(|fault| ManifestError {
                    file: list.file.to_owned(),
                    line: Some(entry.line_of("type")),
                    object: content.objects.first().map(|placed| placed.id.clone()),
                    field: fault.field,
                    problem: fault.problem,
                    remedy: fault.remedy,
                }));
                let misplaced = content.objects.iter().filter(|placed| placed.id.kind != list.kind);
                errors.extend(misplaced.map(|placed| {
                    let remedy = format!("write {} in this list", list.kind.as_str());
                    placed.error("kind", "is not what is listed here", Some(remedy))
                }));
                errors.extend(content.errors);
                objects.extend(content.objects);
            }
        }
        let mut first: BTreeMap<&ObjectId, &Placed> = BTreeMap::new();
        for placed in &objects {
            if let Some(before) = first.insert(&placed.id, placed) {
                let problem = format!("is the name of another one too, at line {}", before.document.line);
                errors.push(placed.error("metadata.name", problem, Some("rename one of the two".to_owned())));
            }
        }
        if errors.is_empty() { Ok(Self { objects, default_model }) } else { Err(errors) }
    }

    /// Every object.
    pub(super) fn objects(&self) -> &[Placed] {
        &self.objects
    }

    /// The models that listed sources name and that are not there, as far as they are the default model or built in.
    pub(super) fn models_not_in(&self, is_there: impl Fn(&ObjectId) -> bool) -> Vec<Placed> {
        let mut models: BTreeMap<ObjectId, Placed> = BTreeMap::new();
        for source in &self.objects {
            let Object::Source(spec) = &source.object else { continue };
            let name = spec.model_ref.name.as_str();
            let id =
                ObjectId { kind: Kind::DetectionModel, namespace: Arc::clone(&source.id.namespace), name: name.into() };
            let default = self.default_model.as_ref().filter(|model| *model.key.name == *name);
            let builtin = || builtin_names().find(|builtin| *builtin == name).map(builtin);
            let Some(spec) = default.map(|model| model.spec.clone()).or_else(builtin).filter(|_| !is_there(&id)) else {
                continue;
            };
            models.entry(id.clone()).or_insert_with(|| Placed { id, object: Object::Model(spec), ..source.clone() });
        }
        models.into_values().collect()
    }
}

fn builtin(name: &str) -> DetectionModelSpec {
    DetectionModelSpec::new(ModelSource { builtin: Some(name.to_owned()), ..ModelSource::default() })
}

/// The manifest that an entry stands for, and the word of its `type`.
fn as_manifest(entry: &Located, kind: Kind, default_model: Option<&DesiredModel>) -> (Located, Option<Value>) {
    let Node::Map(fields) = &entry.node else { return (entry.clone(), None) };
    if fields.iter().any(|field| ["apiVersion", "kind", "metadata", "spec"].contains(&field.name.as_str())) {
        return (entry.clone(), None);
    }
    let line = entry.line;
    let block = |fields| Located { line, node: Node::Map(fields) };
    let field = |name: &str, value| Field { name: name.to_owned(), line, value };
    let text = |text: &str| Located { line, node: Node::Text(text.to_owned()) };
    let (mut metadata, mut spec, mut word) = (Vec::new(), Vec::new(), None);
    for written in fields.iter().filter(|field| field.value.node != Node::Null) {
        let renamed = |name: &str| Field { name: name.to_owned(), ..written.clone() };
        match (written.name.as_str(), kind) {
            ("id", _) => metadata.push(renamed("name")),
            ("namespace", _) => metadata.push(written.clone()),
            ("type", Kind::VideoSource) => word = written.value.to_json("", &std::collections::BTreeSet::new()),
            ("model", Kind::VideoSource) => {
                let value = block(vec![renamed("name")]);
                spec.push(Field { name: "modelRef".to_owned(), line: written.line, value });
            }
            _ => spec.push(written.clone()),
        }
    }
    let names_model = spec.iter().any(|field| field.name == "modelRef");
    if let (Kind::VideoSource, false, Some(model)) = (kind, names_model, default_model) {
        spec.push(field("modelRef", block(vec![field("name", text(&model.key.name))])));
    }
    let manifest = vec![
        field("apiVersion", text(API_VERSION)),
        field("kind", text(kind.as_str())),
        field("metadata", block(metadata)),
        field("spec", block(spec)),
    ];
    (block(manifest), word)
}
