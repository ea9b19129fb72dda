//! From a submitted JSON document to an object: a full manifest, or the short form of one.
//!
//! Both are held against the same schema and rules as manifests in files; errors name fields as the sender wrote them.

use std::{path::Path, sync::Arc};

use crds::{API_VERSION, DetectionModelSpec, VideoSourceSpec};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::{field::FieldError, patch::merge_patch};
use crate::{
    assign::{
        desired::ModelKey,
        document::Located,
        error::Kind,
        loader::parse_uri,
        manifest,
        strict::{self, suggest},
    },
    observation::{DEFAULT_NAMESPACE, SourceKey},
    source::{BUILT_IN_SCHEMES, Credentials, printable_uri},
};

/// A source that was made over REST.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeSource {
    /// Which.
    pub key: SourceKey,
    /// What is asked of it; breaks no rule, and names no Secret.
    pub spec: VideoSourceSpec,
    /// The login that was given with it.
    pub credentials: Option<Credentials>,
}

/// A model that was made over REST.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeModel {
    /// Which.
    pub key: ModelKey,
    /// Where it is and how to read it; breaks no rule, and its path is absolute.
    pub spec: DetectionModelSpec,
}

/// What a request says of the login.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Login {
    /// Nothing: it stays as it is.
    #[default]
    Unchanged,
    /// There is none any more.
    Removed,
    /// This one.
    Given(Credentials),
}

/// The word in the short form for a kind of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceType {
    /// The word.
    pub name: &'static str,
    /// The schemes of its URIs; the first is the usual one.
    pub schemes: &'static [&'static str],
}

impl SourceType {
    /// Every word, the narrower ones first.
    pub const ALL: [Self; 7] = [
        Self { name: "rtsp", schemes: &["rtsp", "rtsps"] },
        Self { name: "http", schemes: &["http", "https"] },
        Self { name: "file", schemes: &["file"] },
        Self { name: "test", schemes: &["test", "sim"] },
        Self { name: "webcam", schemes: &["v4l2"] },
        Self { name: "webrtc", schemes: &["whep", "webrtc"] },
        Self { name: "network", schemes: &["rtsp", "rtsps", "http", "https", "udp", "rtp", "srt"] },
    ];

    /// The narrowest word for the URI, where there is one.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<&'static str> {
        let (scheme, _) = uri.split_once(':')?;
        Self::ALL.iter().find(|kind| kind.schemes.contains(&scheme)).map(|kind| kind.name)
    }
}

/// The source that a request asks to make. `default_model` names the model of a namespace where the request names none.
///
/// # Errors
/// Everything that is wrong with it.
pub fn source_from(
    body: &Value,
    default_model: impl Fn(&str) -> Arc<str>,
) -> Result<(MadeSource, Login), Vec<FieldError>> {
    let mut submission = Submission::take_apart(body, Kind::VideoSource)?;
    submission.default_model(default_model);
    let (key, spec) = submission.read_source()?;
    let credentials = match &submission.login {
        Login::Given(credentials) => Some(credentials.clone()),
        Login::Unchanged | Login::Removed => None,
    };
    may_log_in(&spec, credentials.is_some())?;
    Ok((MadeSource { key, spec, credentials }, submission.login))
}

/// What becomes of `before` by a request that replaces it, or (`patch`) merges into it. A name in the request must be
/// that of `before`; where the request names no model, the source keeps its own. What answers do not show stays: the
/// login, unless the request says something of it, and the query of the URI, where the URI is the one that is shown.
///
/// # Errors
/// Everything that is wrong with it. A login is not carried to another server.
pub fn replaced_source(before: &MadeSource, body: &Value, patch: bool) -> Result<MadeSource, Vec<FieldError>> {
    let body = if patch { patched(before, body)? } else { body.clone() };
    let mut submission = Submission::take_apart(&body, Kind::VideoSource)?;
    submission.default_name(&before.key.namespace, &before.key.name);
    submission.default_model(|_| before.spec.model_ref.name.as_str().into());
    let (key, mut spec) = submission.read_source()?;
    if key != before.key {
        let problem = format!("is another one than that of the source ({})", before.key.name);
        let remedy = "leave it out; a source is renamed by making a new one";
        return Err(vec![FieldError::new(&submission.shown("metadata.name"), problem, remedy)]);
    }
    let hidden: Vec<_> = uris(&before.spec).map(|(_, uri)| (printed(uri), uri.to_owned())).collect();
    for uri in std::iter::once(&mut spec.uri).chain(&mut spec.fallback_uris) {
        if let Some((_, whole)) = hidden.iter().find(|(shown, _)| shown.as_ref() == Some(&*uri)) {
            uri.clone_from(whole);
        }
    }
    let credentials = match &submission.login {
        Login::Given(credentials) => Some(credentials.clone()),
        Login::Removed => None,
        Login::Unchanged => before.credentials.clone(),
    };
    let known: Vec<_> = uris(&before.spec).filter_map(|(_, uri)| server(uri)).collect();
    let goes_elsewhere = uris(&spec).filter_map(|(_, uri)| server(uri)).any(|server| !known.contains(&server));
    if submission.login == Login::Unchanged && credentials.is_some() && goes_elsewhere {
        let problem = "was given for another server";
        let remedy = "give it anew for this one, or null for none";
        return Err(vec![FieldError::new("credentials", problem, remedy)]);
    }
    may_log_in(&spec, credentials.is_some())?;
    Ok(MadeSource { key, spec, credentials })
}

/// The model that a request asks to make.
///
/// # Errors
/// Everything that is wrong with it.
pub fn model_from(body: &Value) -> Result<MadeModel, Vec<FieldError>> {
    Submission::take_apart(body, Kind::DetectionModel)?.read_model()
}

/// What becomes of the model `key` by a request that replaces it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn replaced_model(key: &ModelKey, body: &Value) -> Result<MadeModel, Vec<FieldError>> {
    let mut submission = Submission::take_apart(body, Kind::DetectionModel)?;
    submission.default_name(&key.namespace, &key.name);
    let model = submission.read_model()?;
    if model.key != *key {
        let problem = format!("is another one than that of the model ({})", key.name);
        return Err(vec![FieldError::new(&submission.shown("metadata.name"), problem, "leave it out")]);
    }
    Ok(model)
}

/// The short form of `before` with `patch` merged into it; of a patch in the form of a manifest, its spec counts.
fn patched(before: &MadeSource, patch: &Value) -> Result<Value, Vec<FieldError>> {
    let Value::Object(fields) = patch else { return Err(vec![not_an_object(Kind::VideoSource)]) };
    let spec = serde_json::to_value(&before.spec).unwrap_or_default();
    let mut target = if is_manifest(fields) {
        json!({ "apiVersion": API_VERSION, "kind": "VideoSource", "metadata": {}, "spec": spec })
    } else {
        spec
    };
    // A patch says what changes of the login itself; and null would be lost in the merge.
    let mut patch = fields.clone();
    let login = patch.remove("credentials");
    if patch.contains_key("model")
        && let Value::Object(target) = &mut target
    {
        target.remove("modelRef");
    }
    let mut merged = merge_patch(target, &Value::Object(patch));
    if let (Value::Object(merged), Some(login)) = (&mut merged, login) {
        merged.insert("credentials".to_owned(), login);
    }
    Ok(merged)
}

/// A document taken apart into the manifest that it stands for and what stands beside it.
struct Submission {
    kind: Kind,
    /// The sender wrote a manifest; else the short form.
    is_manifest: bool,
    /// The sender wrote `model` for `modelRef.name`.
    has_model_word: bool,
    source_type: Option<Value>,
    login: Login,
    manifest: Map<String, Value>,
}

impl Submission {
    fn take_apart(body: &Value, kind: Kind) -> Result<Self, Vec<FieldError>> {
        let Value::Object(fields) = body else { return Err(vec![not_an_object(kind)]) };
        let mut fields = fields.clone();
        let login = match (kind, fields.remove("credentials")) {
            (Kind::VideoSource, Some(login)) => read_login(&login)?,
            (_, Some(_)) => {
                return Err(vec![FieldError::new("credentials", "is not a field of a model", "remove it")]);
            }
            (_, None) => Login::Unchanged,
        };
        let mut submission = Self {
            kind,
            is_manifest: is_manifest(&fields),
            has_model_word: false,
            source_type: None,
            login,
            manifest: Map::new(),
        };
        if submission.is_manifest {
            submission.manifest = fields;
            return Ok(submission);
        }
        let mut metadata = Map::new();
        for (word, name) in [("id", "name"), ("namespace", "namespace")] {
            if let Some(value) = fields.remove(word) {
                metadata.insert(name.to_owned(), value);
            }
        }
        if kind == Kind::VideoSource {
            submission.source_type = fields.remove("type").filter(|word| !word.is_null());
            if let Some(model) = fields.remove("model").filter(|model| !model.is_null()) {
                if fields.get("modelRef").is_some_and(|reference| !reference.is_null()) {
                    return Err(vec![FieldError::new("model", "stands beside modelRef", "keep one of the two")]);
                }
                submission.has_model_word = true;
                fields.insert("modelRef".to_owned(), json!({ "name": model }));
            }
        }
        submission.manifest = Map::from_iter([
            ("apiVersion".to_owned(), API_VERSION.into()),
            ("kind".to_owned(), kind.as_str().into()),
            ("metadata".to_owned(), Value::Object(metadata)),
            ("spec".to_owned(), Value::Object(fields)),
        ]);
        Ok(submission)
    }

    /// The field as the sender wrote it.
    fn shown(&self, field: &str) -> String {
        if self.is_manifest {
            return field.to_owned();
        }
        match field {
            "metadata.name" => "id".to_owned(),
            "metadata.namespace" => "namespace".to_owned(),
            "spec.modelRef.name" | "spec.modelRef" if self.has_model_word => "model".to_owned(),
            _ => field.strip_prefix("spec.").or_else(|| field.strip_prefix("spec")).unwrap_or(field).to_owned(),
        }
    }

    fn error(&self, field: &str, problem: impl Into<String>, remedy: impl Into<String>) -> FieldError {
        FieldError::new(&self.shown(field), problem, remedy)
    }

    fn text(&self, block: &str, field: &str) -> Option<&str> {
        self.manifest.get(block)?.get(field)?.as_str()
    }

    fn default_name(&mut self, namespace: &str, name: &str) {
        let metadata = self.manifest.entry("metadata").or_insert_with(|| json!({}));
        if let Value::Object(metadata) = metadata {
            metadata.entry("name").or_insert_with(|| name.into());
            metadata.entry("namespace").or_insert_with(|| namespace.into());
        }
    }

    fn default_model(&mut self, model: impl Fn(&str) -> Arc<str>) {
        let name = model(self.text("metadata", "namespace").unwrap_or(DEFAULT_NAMESPACE));
        if let Some(Value::Object(spec)) = self.manifest.get_mut("spec")
            && spec.get("modelRef").is_none_or(Value::is_null)
        {
            spec.insert("modelRef".to_owned(), json!({ "name": *name }));
        }
    }

    /// Name, namespace and spec, as far as the schema and the rules of the kind go.
    fn read<T: DeserializeOwned>(&self) -> Result<(Arc<str>, Arc<str>, T), Vec<FieldError>> {
        let document = Value::Object(self.manifest.clone());
        let located = Located::from_json(&document);
        match manifest::kind(&located) {
            Ok(kind) if kind == self.kind => {}
            Ok(_) => {
                let remedy = format!("write {} here", self.kind.as_str());
                return Err(vec![self.error("kind", "is not what is made here", remedy)]);
            }
            Err((field, problem, remedy)) => return Err(vec![self.error(field, problem, remedy)]),
        }
        let problems = strict::check(strict::schema(self.kind), &located, false);
        if !problems.is_empty() {
            return Err(problems.into_iter().map(|it| self.error(&it.field, it.message, it.remedy)).collect());
        }
        let name = self.text("metadata", "name").unwrap_or_default().into();
        let namespace = self.text("metadata", "namespace").unwrap_or(DEFAULT_NAMESPACE).into();
        let known = located.to_json("", &std::collections::BTreeSet::new()).unwrap_or_default();
        match serde_json::from_value(known["spec"].clone()) {
            Ok(spec) => Ok((namespace, name, spec)),
            // What the schema lets through is readable, but for numbers past their type.
            Err(_) => Err(vec![self.error("spec", "has a value that cannot be read", "look at each number's range")]),
        }
    }

    fn violations(&self, violations: Vec<crds::Violation>) -> Vec<FieldError> {
        let error = |violation: crds::Violation| FieldError {
            field: self.shown(&violation.field),
            problem: violation.message,
            remedy: None,
        };
        violations.into_iter().map(error).collect()
    }

    fn read_source(&self) -> Result<(SourceKey, VideoSourceSpec), Vec<FieldError>> {
        let mut errors = self.check_type();
        let (namespace, name, spec) = match self.read::<VideoSourceSpec>() {
            Ok(read) => read,
            Err(found) => {
                errors.extend(found);
                return Err(errors);
            }
        };
        // A type that this pod does not read says so better than the URI's scheme.
        if errors.is_empty() {
            errors.extend(self.violations(spec.violations()));
        }
        if spec.credentials_secret_ref.is_some() {
            let remedy = "give credentials {username, password} instead";
            errors.push(self.error("spec.credentialsSecretRef", "names a Secret, which REST does not reach", remedy));
        }
        let usable = errors.is_empty();
        for (field, uri) in uris(&spec).filter(|_| usable) {
            if uri.starts_with("file:") && !uri.starts_with("file:/") {
                let remedy = "write file:///absolute/path";
                errors.push(self.error(&field, "is a relative path, which starts nowhere over REST", remedy));
            } else if let Err(problem) = parse_uri(uri, Path::new("/")) {
                let remedy = "write it as scheme://host/path";
                errors.push(self.error(&field, format!("is not a valid URI: {problem}"), remedy));
            }
        }
        if errors.is_empty() { Ok((SourceKey { namespace, name }, spec)) } else { Err(errors) }
    }

    fn read_model(&self) -> Result<MadeModel, Vec<FieldError>> {
        let (namespace, name, spec) = self.read::<DetectionModelSpec>()?;
        let mut errors = self.violations(spec.violations());
        if spec.source.file.as_ref().is_some_and(|file| !Path::new(file).is_absolute()) {
            let remedy = "write an absolute path on the pod";
            errors.push(self.error("spec.source.file", "is a relative path, which starts nowhere over REST", remedy));
        }
        if errors.is_empty() { Ok(MadeModel { key: ModelKey { namespace, name }, spec }) } else { Err(errors) }
    }

    fn check_type(&self) -> Vec<FieldError> {
        self.source_type.as_ref().map(|written| check_type(written, self.text("spec", "uri"))).unwrap_or_default()
    }
}

/// The word for the kind of input says what the URI says, and this pod reads such inputs.
pub(in crate::assign) fn check_type(written: &Value, uri: Option<&str>) -> Vec<FieldError> {
    let names = SourceType::ALL.map(|kind| kind.name);
    let Some(word) = written.as_str() else {
        return vec![FieldError::new("type", "is not a text", format!("write one of {}", names.join(", ")))];
    };
    let Some(kind) = SourceType::ALL.iter().find(|kind| kind.name == word) else {
        return vec![FieldError::new("type", "is not a type of source", suggest(word, &names))];
    };
    if !kind.schemes.iter().any(|scheme| BUILT_IN_SCHEMES.contains(scheme)) {
        let problem = format!("is {}, and this pod has no input for it yet", kind.name);
        return vec![FieldError::new("type", problem, format!("it reads {}", BUILT_IN_SCHEMES.join(", ")))];
    }
    let scheme = uri.and_then(|uri| uri.split_once(':')).map(|(scheme, _)| scheme);
    match scheme {
        Some(scheme) if !kind.schemes.contains(&scheme) => {
            let schemes: Vec<String> = kind.schemes.iter().map(|scheme| format!("{scheme}:")).collect();
            let problem = format!("is {}, but the URI is of another kind", kind.name);
            let remedy = format!("leave type out, or give a URI that starts with {}", schemes.join(", "));
            vec![FieldError::new("type", problem, remedy)]
        }
        _ => Vec::new(),
    }
}

/// Only what has a server takes a login.
fn may_log_in(spec: &VideoSourceSpec, has_login: bool) -> Result<(), Vec<FieldError>> {
    if has_login && uris(spec).all(|(_, uri)| server(uri).is_none()) {
        let remedy = "remove it: only rtsp, rtsps, http, https and srt have one";
        return Err(vec![FieldError::new("credentials", "is a login for an input without a server", remedy)]);
    }
    Ok(())
}

fn is_manifest(fields: &Map<String, Value>) -> bool {
    ["apiVersion", "kind", "metadata", "spec"].iter().any(|name| fields.contains_key(*name))
}

fn not_an_object(kind: Kind) -> FieldError {
    let remedy = format!("send the fields of a {0}, or a {0} manifest", kind.as_str());
    FieldError::new("", "the document is not a JSON object", remedy)
}

fn read_login(login: &Value) -> Result<Login, Vec<FieldError>> {
    const MAX_USERNAME: usize = 1024;
    const MAX_PASSWORD: usize = 4096;
    let Value::Object(fields) = login else {
        if login.is_null() {
            return Ok(Login::Removed);
        }
        return Err(vec![FieldError::new("credentials", "is not an object", "write {\"username\", \"password\"}")]);
    };
    // Names that are not known are not quoted: one may be a password in the wrong place.
    let mut errors: Vec<FieldError> = fields
        .keys()
        .any(|name| !["username", "password"].contains(&name.as_str()))
        .then(|| FieldError::new("credentials", "has a field that is not known", "known here: username, password"))
        .into_iter()
        .collect();
    let mut read = |name: &str, least: usize, most: usize| {
        let field = format!("credentials.{name}");
        match fields.get(name) {
            Some(Value::String(text)) if (least..=most).contains(&text.chars().count()) => return text.clone(),
            Some(Value::String(_)) => {
                let remedy = format!("write {least} to {most} characters");
                errors.push(FieldError::new(&field, "is too short or too long", remedy));
            }
            Some(_) => errors.push(FieldError::new(&field, "is not a text", "put it in quotes")),
            None => errors.push(FieldError::new(&field, "is missing", "add it")),
        }
        String::new()
    };
    let (username, password) = (read("username", 1, MAX_USERNAME), read("password", 0, MAX_PASSWORD));
    if errors.is_empty() { Ok(Login::Given(Credentials { username, password })) } else { Err(errors) }
}

/// Every URI of a source, with the field that it stands in.
fn uris(spec: &VideoSourceSpec) -> impl Iterator<Item = (String, &str)> {
    let fallbacks = spec.fallback_uris.iter().enumerate();
    let fallbacks = fallbacks.map(|(index, uri)| (format!("spec.fallbackURIs[{index}]"), uri.as_str()));
    std::iter::once(("spec.uri".to_owned(), spec.uri.as_str())).chain(fallbacks)
}

/// The URI as answers show it.
fn printed(uri: &str) -> Option<String> {
    url::Url::parse(uri).ok().map(|uri| printable_uri(&uri))
}

/// Whom a login would be sent to; `None` for inputs without a server.
fn server(uri: &str) -> Option<(String, String, Option<u16>)> {
    let uri = url::Url::parse(uri).ok()?;
    let has_login = ["rtsp", "rtsps", "http", "https", "srt"].contains(&uri.scheme());
    has_login.then(|| {
        let (scheme, host) = (uri.scheme().to_owned(), uri.host_str().unwrap_or_default().to_owned());
        (scheme, host, uri.port_or_known_default())
    })
}
