//! Documents to objects: what a file says, checked as far as one file can tell.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use crds::{API_VERSION, DetectionModelSpec, VideoSourceSpec, Violation};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    document::{self, Located, Node, SyntaxError},
    error::{Kind, ManifestError, ObjectId, is_quotable},
    strict,
};
use crate::{observation::DEFAULT_NAMESPACE, source::Credentials};

/// An object of a manifest.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "there are as many as objects in the manifests, each in a document of its own"
)]
pub(super) enum Object {
    Source(VideoSourceSpec),
    Model(DetectionModelSpec),
    Secret(Credentials),
}

/// Where an object is from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Origin {
    /// The file, as it was given.
    pub(super) file: Arc<Path>,
    /// Its folder, where relative paths begin.
    pub(super) folder: Arc<Path>,
}

/// An object and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) id: ObjectId,
    pub(super) origin: Origin,
    pub(super) document: Arc<Located>,
    pub(super) object: Object,
    /// Nothing is wrong with it by itself. If something is, it may be looked at for further errors, not used.
    pub(super) usable: bool,
}

impl Placed {
    /// An error at one of the object's fields.
    pub(super) fn error(&self, field: &str, problem: impl Into<String>, remedy: Option<String>) -> ManifestError {
        ManifestError {
            file: self.origin.file.to_path_buf(),
            line: Some(self.document.line_of(field)),
            object: Some(self.id.clone()),
            field: field.to_owned(),
            problem: problem.into(),
            remedy,
        }
    }
}

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    /// Every object that could be read at least in part.
    pub(super) objects: Vec<Placed>,
    pub(super) errors: Vec<ManifestError>,
}

/// Reads the text of a file.
pub(super) fn read(origin: &Origin, text: &str) -> Content {
    let mut reader = Reader { origin, content: Content::default() };
    for document in document::parse(text) {
        match document {
            Ok(document) => reader.document(document),
            Err(SyntaxError { line, message }) => {
                let remedy = "correct it; the other documents of the file are read without it";
                reader.report(None, line, "", message, Some(remedy.to_owned()));
            }
        }
    }
    reader.content
}

/// Reads one object.
pub(super) fn read_object(origin: &Origin, document: Located) -> Content {
    let mut reader = Reader { origin, content: Content::default() };
    reader.object(document);
    reader.content
}

struct Reader<'a> {
    origin: &'a Origin,
    content: Content,
}

impl Reader<'_> {
    fn report(
        &mut self,
        object: Option<&ObjectId>,
        line: Option<u64>,
        field: &str,
        problem: String,
        remedy: Option<String>,
    ) {
        let (file, object, field) = (self.origin.file.to_path_buf(), object.cloned(), field.to_owned());
        self.content.errors.push(ManifestError { file, line, object, field, problem, remedy });
    }

    /// Reads one object, or each of a `List` (as `kubectl get -o yaml` prints).
    fn document(&mut self, mut document: Located) {
        let is_list = document.text("apiVersion") == Some("v1") && document.text("kind") == Some("List");
        if is_list
            && let Node::Map(fields) = &mut document.node
            && let Some(items) = fields.iter_mut().find(|field| field.name == "items")
            && let Node::List(items) = &mut items.value.node
        {
            for item in std::mem::take(items) {
                self.object(item);
            }
        } else {
            self.object(document);
        }
    }

    fn object(&mut self, document: Located) {
        let kind = match kind(&document) {
            Ok(kind) => kind,
            Err((field, problem, remedy)) => {
                return self.report(None, Some(document.line_of(field)), field, problem, Some(remedy));
            }
        };
        let metadata = document.get("metadata").map(|field| &field.value);
        let text = |name| metadata.and_then(|metadata| metadata.text(name)).filter(|text| is_quotable(text));
        let id = text("name").map(|name| ObjectId {
            kind,
            namespace: text("namespace").unwrap_or(DEFAULT_NAMESPACE).into(),
            name: name.into(),
        });
        let mut faulty = BTreeSet::new();
        for found in strict::check(strict::schema(kind), &document, kind == Kind::Secret) {
            self.report(id.as_ref(), Some(found.line), &found.field, found.message, Some(found.remedy));
            // Without one of its entries a list says something else: all of it is left out.
            faulty.insert(found.field.split('[').next().unwrap_or_default().to_owned());
        }
        let Some(id) = id else { return };
        let json = document.to_json("", &faulty).unwrap_or_default();
        let (object, violations) = interpret(kind, &json, self.origin);
        let mut usable = faulty.is_empty();
        for Violation { field, message } in violations {
            usable = false;
            // A rule over several fields has nothing to say where one of them could not be read.
            let related = |faulty: &String| faulty.starts_with(&field) || field.starts_with(faulty.as_str());
            if !faulty.iter().any(related) {
                self.report(Some(&id), Some(document.line_of(&field)), &field, message, None);
            }
        }
        if let Some(object) = object {
            let (origin, document) = (self.origin.clone(), Arc::new(document));
            self.content.objects.push(Placed { id, origin, document, object, usable });
        }
    }
}

/// An object from what is left of its document without its faulty fields, and the rules that it breaks. None where too
/// little is left; the faults are reported already then.
fn interpret(kind: Kind, json: &Value, origin: &Origin) -> (Option<Object>, Vec<Violation>) {
    match kind {
        Kind::VideoSource => match spec::<VideoSourceSpec>(json) {
            Some(spec) => {
                let violations = spec.violations();
                (Some(Object::Source(spec)), violations)
            }
            None => (None, Vec::new()),
        },
        Kind::DetectionModel => match spec::<DetectionModelSpec>(json) {
            Some(mut spec) => {
                let mut violations = spec.violations();
                if let Some(path) = &mut spec.source.file {
                    match origin.folder.join(&*path).into_os_string().into_string() {
                        Ok(absolute) => *path = absolute,
                        Err(_) => violations.push(Violation {
                            field: "spec.source.file".to_owned(),
                            message: "must be an absolute path, because the name of the manifest's folder is not UTF-8"
                                .to_owned(),
                        }),
                    }
                }
                (Some(Object::Model(spec)), violations)
            }
            None => (None, Vec::new()),
        },
        Kind::Secret => match credentials(json) {
            Ok(credentials) => (Some(Object::Secret(credentials)), Vec::new()),
            Err(violations) => (None, violations),
        },
    }
}

/// The kind of an object, or what is wrong with its `apiVersion` or `kind`.
pub(super) fn kind(document: &Located) -> Result<Kind, (&'static str, String, String)> {
    const KINDS: [(&str, &str, Kind); 3] = [
        (API_VERSION, "VideoSource", Kind::VideoSource),
        (API_VERSION, "DetectionModel", Kind::DetectionModel),
        ("v1", "Secret", Kind::Secret),
    ];
    if !matches!(document.node, Node::Map(_)) {
        let remedy = format!("write apiVersion: {API_VERSION}, kind, metadata and spec");
        return Err(("", "is not an object".to_owned(), remedy));
    }
    let names = KINDS.map(|(_, name, _)| name);
    let Some(name) = document.text("kind") else {
        return Err(("kind", "is missing".to_owned(), format!("write one of {}", names.join(", "))));
    };
    let Some((version, name, kind)) = KINDS.into_iter().find(|(_, known, _)| *known == name) else {
        return Err(("kind", "is not a kind that is read here".to_owned(), strict::suggest(name, &names)));
    };
    match document.text("apiVersion") {
        Some(written) if written == version => Ok(kind),
        Some(_) => Err(("apiVersion", format!("is not that of a {name}"), format!("write {version}"))),
        None => Err(("apiVersion", "is missing".to_owned(), format!("write {version}"))),
    }
}

/// The spec of an object. What is left of a faulty one may be too little; its faults are reported already.
fn spec<T: DeserializeOwned>(object: &Value) -> Option<T> {
    serde_json::from_value(object["spec"].clone()).ok()
}

/// The login in a Secret; as with an API server, `stringData` stands above `data`.
fn credentials(secret: &Value) -> Result<Credentials, Vec<Violation>> {
    let read = |key: &str| -> Result<String, Violation> {
        if let Some(text) = secret["stringData"][key].as_str() {
            return Ok(text.to_owned());
        }
        let field = format!("data.{key}");
        let Some(encoded) = secret["data"][key].as_str() else {
            let message = "is missing; write it under stringData, or base64-encoded under data".to_owned();
            return Err(Violation { field: format!("stringData.{key}"), message });
        };
        let bytes = BASE64_STANDARD.decode(encoded.trim()).ok();
        bytes.and_then(|bytes| String::from_utf8(bytes).ok()).ok_or_else(|| Violation {
            field,
            message: "must be base64 of a text; write it in clear under stringData instead".to_owned(),
        })
    };
    match (read("username"), read("password")) {
        (Ok(username), Ok(password)) => Ok(Credentials { username, password }),
        (username, password) => Err(username.err().into_iter().chain(password.err()).collect()),
    }
}
