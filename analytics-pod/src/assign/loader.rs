//! Files and folders to the desired state. Keeps what was good when an edit breaks it.

use std::{
    collections::{BTreeMap, HashSet, btree_map::Entry},
    fs, io,
    path::{self, Path, PathBuf},
    sync::Arc,
};

use super::{
    desired::{DesiredModel, DesiredSource, DesiredState, ModelKey},
    error::{Kind, ManifestError, ObjectId, is_quotable},
    listed::Listed,
    manifest::{self, Content, Object, Origin, Placed},
    strict::{SECRET_TYPE, suggest},
};
use crate::{observation::SourceKey, source::Credentials, text_file};

/// Larger files are refused: an API server takes objects of 1.5 MiB at the most.
const MAX_FILE_BYTES: u64 = 8 << 20;

/// The endings of the files that are read in a folder.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What a round of reading gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Loaded {
    /// Every good object.
    pub state: DesiredState,
    /// Everything that is wrong, by file and line.
    pub errors: Vec<ManifestError>,
}

/// What one file gave in a round.
enum FileRead {
    Content(Content),
    /// It could not be read; it may be in the middle of a change.
    Failed(ManifestError),
}

/// Reads manifests, again and again.
#[derive(Debug)]
pub struct Loader {
    paths: Vec<PathBuf>,
    /// What a configuration lists, read with every round.
    listed: Listed,
    /// The objects in use, by file.
    in_use: BTreeMap<PathBuf, BTreeMap<ObjectId, Placed>>,
}

impl Loader {
    /// A reader of files and folders. Of a folder every `*.yaml`, `*.yml` and `*.json` directly in it is read, in the
    /// order of their names; a file is read whatever its name.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, listed: Listed::default(), in_use: BTreeMap::new() }
    }

    /// Reads these from the next round on, and what `listed` holds beside them.
    pub fn replace(&mut self, paths: Vec<PathBuf>, listed: Listed) {
        (self.paths, self.listed) = (paths, listed);
    }

    /// What is read.
    #[must_use]
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads everything anew. Where an object has become wrong since the last round, its last good version stays in the
    /// state, beside the error.
    pub fn load(&mut self) -> Loaded {
        let (mut files, errors) = read_all(&self.paths);
        let content = Content { objects: self.listed.objects().to_vec(), errors: Vec::new() };
        files.insert(0, (PathBuf::new(), FileRead::Content(content)));
        let (loaded, in_use) = combine(files, errors, &self.in_use, &self.listed);
        self.in_use = in_use;
        loaded
    }
}

fn read_all(paths: &[PathBuf]) -> (Vec<(PathBuf, FileRead)>, Vec<ManifestError>) {
    let (mut files, mut errors, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for path in paths {
        match list(path) {
            Ok(listed) => {
                for file in listed {
                    // Two paths may lead to one file.
                    if seen.insert(fs::canonicalize(&file).unwrap_or_else(|_| file.clone())) {
                        let read = read_file(&file);
                        files.push((file, read));
                    }
                }
            }
            Err(error) => errors.push(unreadable(path, &error)),
        }
    }
    (files, errors)
}

/// The files that `path` stands for.
fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        // Editors keep their own files beside the edited one, hidden.
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending)) && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn read_file(file: &Path) -> FileRead {
    let read = || -> io::Result<(String, PathBuf)> {
        let absolute = path::absolute(file)?;
        Ok((text_file::read(file, MAX_FILE_BYTES)?, absolute.parent().unwrap_or(&absolute).to_owned()))
    };
    match read() {
        Ok((text, folder)) => {
            FileRead::Content(manifest::read(&Origin { file: file.into(), folder: folder.into() }, &text))
        }
        Err(error) => FileRead::Failed(unreadable(file, &error)),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> ManifestError {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound => "give the path of a manifest or of a folder of manifests",
        io::ErrorKind::PermissionDenied => "make it readable for this user",
        io::ErrorKind::InvalidData => "save it as UTF-8",
        io::ErrorKind::FileTooLarge => "split it into files of at most 8 MiB",
        _ => "make it a readable file or folder",
    };
    ManifestError {
        file: path.to_owned(),
        line: None,
        object: None,
        field: String::new(),
        problem: format!("cannot be read: {error}"),
        remedy: Some(remedy.to_owned()),
    }
}

/// The objects in use, by file.
type InUse = BTreeMap<PathBuf, BTreeMap<ObjectId, Placed>>;

/// The state from what the files hold now and what was in use.
fn combine(
    files: Vec<(PathBuf, FileRead)>,
    errors: Vec<ManifestError>,
    before: &InUse,
    listed: &Listed,
) -> (Loaded, InUse) {
    let mut round = Round { errors, ..Round::default() };
    let mut kept = Vec::new();
    for (file, read) in files {
        let last = before.get(&file);
        let (objects, found) = match read {
            FileRead::Content(content) => (content.objects, content.errors),
            FileRead::Failed(error) => (Vec::new(), vec![error]),
        };
        let fresh: HashSet<ObjectId> =
            objects.iter().filter(|object| object.usable).map(|object| object.id.clone()).collect();
        for (id, placed) in last.into_iter().flatten() {
            // An error that names no object may be about any of them.
            let broken = found.iter().any(|error| error.object.as_ref().is_none_or(|object| object == id));
            if broken && !fresh.contains(id) {
                kept.push(placed.clone());
            }
        }
        round.errors.extend(found);
        for object in objects {
            round.place(object);
        }
    }
    for object in kept {
        if let Entry::Vacant(vacant) = round.objects.entry(object.id.clone()) {
            vacant.insert(object);
        }
    }
    for model in listed.models_not_in(|id| round.objects.contains_key(id)) {
        round.objects.insert(model.id.clone(), model);
    }
    round.finish(before)
}

#[derive(Default)]
struct Round {
    objects: BTreeMap<ObjectId, Placed>,
    /// Objects that are there but have errors.
    faulty: Vec<Placed>,
    errors: Vec<ManifestError>,
}

impl Round {
    fn place(&mut self, object: Placed) {
        if !object.usable {
            self.faulty.push(object);
            return;
        }
        match self.objects.entry(object.id.clone()) {
            Entry::Vacant(vacant) => {
                vacant.insert(object);
            }
            Entry::Occupied(first) => {
                let first = first.get();
                let place = format!("{}:{}", first.origin.file.display(), first.document.line);
                let problem = format!("is defined before, at {place}");
                let error = object.error("metadata.name", problem, Some("rename one of the two".to_owned()));
                self.errors.push(error);
            }
        }
    }

    fn finish(mut self, before: &InUse) -> (Loaded, InUse) {
        let mut state = DesiredState::default();
        let mut in_use = InUse::new();
        let mut errors = Vec::new();
        for object in &self.faulty {
            if let Object::Source(_) = object.object {
                errors.extend(self.resolve(object).err().into_iter().flatten());
            }
        }
        for (id, object) in &self.objects {
            let mut used = object;
            match &object.object {
                Object::Source(_) => {
                    let mut resolved = self.resolve(object);
                    if let Err(found) = &mut resolved {
                        errors.append(found);
                        // The edit broke a reference: go on with the last version whose references still hold.
                        let last = before.get(&*object.origin.file).and_then(|file| file.get(id));
                        if let Some(last) = last {
                            (used, resolved) = (last, self.resolve(last));
                        }
                    }
                    let Ok(source) = resolved else { continue };
                    if let Object::Source(spec) = &used.object {
                        let key = SourceKey { namespace: id.namespace.clone(), name: id.name.clone() };
                        state.specs.insert(key, Arc::new(spec.clone()));
                    }
                    match source {
                        Some(source) => drop(state.sources.insert(source.key.clone(), Arc::new(source))),
                        None => drop(state.disabled.insert(SourceKey::new(&id.namespace, &id.name))),
                    }
                }
                Object::Model(spec) => {
                    let key = ModelKey { namespace: id.namespace.clone(), name: id.name.clone() };
                    state.models.insert(key.clone(), Arc::new(DesiredModel { key, spec: spec.clone() }));
                }
                Object::Secret(_) => {}
            }
            in_use.entry(used.origin.file.to_path_buf()).or_default().insert(id.clone(), used.clone());
        }
        self.errors.extend(errors);
        self.errors.sort_by(|a, b| (&a.file, a.line, &a.field).cmp(&(&b.file, b.line, &b.field)));
        (Loaded { state, errors: self.errors }, in_use)
    }

    /// The source with its references looked up; `None` where it is not enabled.
    fn resolve(&self, placed: &Placed) -> Result<Option<DesiredSource>, Vec<ManifestError>> {
        let Object::Source(spec) = &placed.object else { return Ok(None) };
        let mut errors = Vec::new();
        if self.find(placed, Kind::DetectionModel, &spec.model_ref.name).is_none() {
            errors.push(self.dangling(placed, "spec.modelRef.name", Kind::DetectionModel, &spec.model_ref.name));
        }
        let credentials = spec.credentials_secret_ref.as_ref().and_then(|secret| {
            let found = self.find(placed, Kind::Secret, &secret.name).and_then(credentials);
            if found.is_none() {
                errors.push(self.dangling(placed, "spec.credentialsSecretRef.name", Kind::Secret, &secret.name));
            }
            found
        });
        let mut uris = Vec::new();
        for (index, uri) in spec.uris().enumerate() {
            match parse_uri(uri, &placed.origin.folder) {
                Ok(uri) => uris.push(uri),
                Err(problem) if placed.usable => {
                    let field =
                        index.checked_sub(1).map_or("spec.uri".to_owned(), |at| format!("spec.fallbackURIs[{at}]"));
                    errors.push(placed.error(&field, format!("is not a valid URI: {problem}"), None));
                }
                Err(_) => return Err(errors),
            }
        }
        if !errors.is_empty() || uris.is_empty() {
            return Err(errors);
        }
        let uri = uris.remove(0);
        let key = SourceKey { namespace: placed.id.namespace.clone(), name: placed.id.name.clone() };
        Ok(spec.enabled.then(|| DesiredSource::resolve(key, spec, uri, uris, credentials)))
    }

    fn find(&self, from: &Placed, kind: Kind, name: &str) -> Option<&Placed> {
        self.objects.get(&ObjectId { kind, namespace: from.id.namespace.clone(), name: name.into() })
    }

    fn dangling(&self, from: &Placed, field: &str, kind: Kind, name: &str) -> ManifestError {
        let id = ObjectId { kind, namespace: from.id.namespace.clone(), name: name.into() };
        if self.errors.iter().any(|error| error.object.as_ref() == Some(&id)) {
            let problem = format!("names a {} that has errors", kind.as_str());
            return from.error(field, problem, Some("correct them first".to_owned()));
        }
        let elsewhere = self.objects.keys().find(|id| id.kind == kind && *id.name == *name);
        let (namespace, kind_name) = (&from.id.namespace, kind.as_str());
        let remedy = if let Some(elsewhere) = elsewhere {
            format!("references stay in the namespace, and {elsewhere} is in another")
        } else {
            let here = self.objects.keys().filter(|other| other.kind == kind && other.namespace == id.namespace);
            let names: Vec<&str> = here.map(|other| &*other.name).collect();
            match (names.as_slice(), kind) {
                ([], Kind::Secret) => {
                    format!("add a manifest of a Secret of type {SECRET_TYPE} with this name")
                }
                ([], _) => format!("add a manifest of a {kind_name} with this name"),
                (names, _) => suggest(name, names),
            }
        };
        let quoted = if is_quotable(name) { format!("{name:?}") } else { "an object".to_owned() };
        let problem = format!("names {quoted}, but there is no such {kind_name} in namespace {namespace}");
        from.error(field, problem, Some(remedy))
    }
}

fn credentials(placed: &Placed) -> Option<Credentials> {
    match &placed.object {
        Object::Secret(credentials) => Some(credentials.clone()),
        Object::Source(_) | Object::Model(_) => None,
    }
}

/// A URI that breaks no rule; `file:` URIs may be relative to `folder`.
pub(super) fn parse_uri(uri: &str, folder: &Path) -> Result<url::Url, String> {
    if !uri.starts_with("file:") {
        return url::Url::parse(uri).map_err(|error| error.to_string());
    }
    let base =
        url::Url::from_directory_path(folder).map_err(|()| "the manifest's folder is not absolute".to_owned())?;
    base.join(uri).map_err(|error| error.to_string())
}
