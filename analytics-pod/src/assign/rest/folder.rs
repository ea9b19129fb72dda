//! The state folder: one file for each object that REST made, written so that a crash leaves the old one or the new.
//!
//! ```text
//! lock                                  held while a pod uses the folder
//! sources/<namespace>/<name>.json       a VideoSource manifest, and its login
//! models/<namespace>/<name>.json        a DetectionModel manifest
//! config.json                           what requests say of the configuration
//! ```
//!
//! Files are for their owner alone (0600): they hold logins.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crds::API_VERSION;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::submission::{self, MadeModel, MadeSource};
use crate::assign::error::{Kind, ObjectId};

/// Longer names get a file named after their digest: file systems take 255 bytes.
const LONGEST_FILE_STEM: usize = 200;

/// Larger files were not written here.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Why the state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another pod has it.
    #[error("the state folder {} is in use by another pod; give this one another --state-folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The device is full.
    #[error("there is no space left for {}; make room, then try again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The system refuses.
    #[error("{} cannot be {what}: {source}; make the state folder writable for this user", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's words.
        source: io::Error,
    },
    /// A file that cannot be read stands where the object's belongs.
    #[error("{} is there and could not be read at the start; correct or remove it, and start the pod again", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
}

impl FolderError {
    fn io(path: &Path, what: &'static str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), what, source },
        }
    }
}

/// A file of the state folder that cannot be used. It is left as it is, and the others are used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot be used: {problem}; correct or remove it, and start the pod again", path.display())]
pub struct Unreadable {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it; quotes nothing of it.
    pub problem: String,
}

/// What the folder held when it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Held {
    /// Sources, in the order of their files.
    pub sources: Vec<MadeSource>,
    /// Models, in the order of their files.
    pub models: Vec<MadeModel>,
    /// What requests say of the configuration.
    pub config: Option<Value>,
    /// Files that cannot be used.
    pub unreadable: Vec<Unreadable>,
}

/// The folder, locked for this process until dropped.
#[derive(Debug)]
pub struct StateFolder {
    path: PathBuf,
    lock: File,
    unreadable: Vec<PathBuf>,
}

impl Drop for StateFolder {
    fn drop(&mut self) {
        // Closing the file is not enough: a process that is being started has a copy of it until it runs its program.
        // Where this fails, the lock goes with the last copy.
        let _ = self.lock.unlock();
    }
}

impl StateFolder {
    /// Makes the folder where it is missing, locks it, and reads what it holds.
    ///
    /// # Errors
    /// Where another process holds it, or it cannot be made or locked. A file in it that cannot be used is no error.
    pub fn open(path: &Path) -> Result<(Self, Held), FolderError> {
        make_folder(path)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|source| FolderError::io(&lock_path, "opened", source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(FolderError::io(&lock_path, "locked", source)),
        }
        let mut held = Held::default();
        for (file, namespace, found) in list(path, Kind::VideoSource, &mut held.unreadable) {
            match found.and_then(|document| read_source(&document)) {
                Ok(source) if is_at(&file, &namespace, &source.key.namespace, &source.key.name) => {
                    held.sources.push(source);
                }
                Ok(_) => held.unreadable.push(Unreadable { path: file, problem: MISPLACED.to_owned() }),
                Err(problem) => held.unreadable.push(Unreadable { path: file, problem }),
            }
        }
        for (file, namespace, found) in list(path, Kind::DetectionModel, &mut held.unreadable) {
            match found.and_then(|document| read_model(&document)) {
                Ok(model) if is_at(&file, &namespace, &model.key.namespace, &model.key.name) => held.models.push(model),
                Ok(_) => held.unreadable.push(Unreadable { path: file, problem: MISPLACED.to_owned() }),
                Err(problem) => held.unreadable.push(Unreadable { path: file, problem }),
            }
        }
        held.config = read_config(&path.join(CONFIG_FILE), &mut held.unreadable);
        let unreadable = held.unreadable.iter().map(|file| file.path.clone()).collect();
        Ok((Self { path: path.to_owned(), lock, unreadable }, held))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps `source`; it is on the disk when this returns.
    ///
    /// # Errors
    /// Where it cannot be written; what was there before still is.
    pub fn keep_source(&self, source: &MadeSource) -> Result<(), FolderError> {
        let mut document = manifest(Kind::VideoSource, &source.key.namespace, &source.key.name, &source.spec);
        if let Some(login) = &source.credentials {
            document["credentials"] = json!({ "username": login.username, "password": login.password });
        }
        self.write(&self.file(Kind::VideoSource, &source.key.namespace, &source.key.name), &document)
    }

    /// Keeps `model`; it is on the disk when this returns.
    ///
    /// # Errors
    /// As [`Self::keep_source`].
    pub fn keep_model(&self, model: &MadeModel) -> Result<(), FolderError> {
        let document = manifest(Kind::DetectionModel, &model.key.namespace, &model.key.name, &model.spec);
        self.write(&self.file(Kind::DetectionModel, &model.key.namespace, &model.key.name), &document)
    }

    /// Keeps what requests say of the configuration; it is on the disk when this returns.
    ///
    /// # Errors
    /// As [`Self::keep_source`].
    pub fn keep_config(&self, config: &Value) -> Result<(), FolderError> {
        let file = self.path.join(CONFIG_FILE);
        self.refuse_unreadable(&file)?;
        replace(&file, config)?;
        sync_folder(&self.path)
    }

    fn refuse_unreadable(&self, file: &Path) -> Result<(), FolderError> {
        if self.unreadable.iter().any(|unreadable| unreadable == file) {
            return Err(FolderError::Unreadable { path: file.to_owned() });
        }
        Ok(())
    }

    /// Forgets an object; it is gone from the disk when this returns.
    ///
    /// # Errors
    /// Where its file cannot be removed.
    pub fn forget(&self, id: &ObjectId) -> Result<(), FolderError> {
        let file = self.file(id.kind, &id.namespace, &id.name);
        match fs::remove_file(&file) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(FolderError::io(&file, "removed", source)),
        }
        sync_folder(file.parent().unwrap_or(&self.path))
    }

    fn file(&self, kind: Kind, namespace: &str, name: &str) -> PathBuf {
        self.path.join(folder_of(kind)).join(namespace).join(format!("{}.json", stem(name)))
    }

    fn write(&self, file: &Path, document: &Value) -> Result<(), FolderError> {
        self.refuse_unreadable(file)?;
        let Some(namespace) = file.parent() else { return Ok(()) };
        // The folder itself is not made anew: where it has vanished, what it held has too, and somebody must know.
        for folder in [namespace.parent(), Some(namespace)].into_iter().flatten() {
            match DirBuilder::new().mode(0o700).create(folder) {
                Ok(()) => sync_folder(folder.parent().unwrap_or(&self.path))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(FolderError::io(folder, "made", source)),
            }
        }
        replace(file, document)?;
        sync_folder(namespace)
    }
}

/// The file of what requests say of the configuration.
pub(super) const CONFIG_FILE: &str = "config.json";

/// What is said of a file that holds another object than its name tells.
const MISPLACED: &str = "its object belongs into a file of another name";

fn folder_of(kind: Kind) -> &'static str {
    match kind {
        Kind::VideoSource | Kind::Secret => "sources",
        Kind::DetectionModel => "models",
    }
}

/// The file's name without its ending. Names of objects never begin with an underscore.
fn stem(name: &str) -> String {
    if name.len() <= LONGEST_FILE_STEM {
        return name.to_owned();
    }
    format!("_{}", hex::encode(Sha256::digest(name)))
}

fn is_at(file: &Path, folder: &str, namespace: &str, name: &str) -> bool {
    folder == namespace && file.file_stem().is_some_and(|found| found == stem(name).as_str())
}

fn temporary_of(file: &Path) -> PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.new"))
}

fn is_temporary(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
        && file.extension().is_some_and(|extension| extension == "new")
}

fn manifest(kind: Kind, namespace: &str, name: &str, spec: &impl serde::Serialize) -> Value {
    json!({
        "apiVersion": API_VERSION,
        "kind": kind.as_str(),
        "metadata": { "namespace": namespace, "name": name },
        "spec": spec,
    })
}

fn make_folder(path: &Path) -> Result<(), FolderError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| FolderError::io(path, "made", source))
}

/// Writes a file anew beside the old one, and puts it in its place.
fn replace(file: &Path, document: &Value) -> Result<(), FolderError> {
    let temporary = temporary_of(file);
    let written = write_new(&temporary, document)
        .and_then(|()| fs::rename(&temporary, file))
        .map_err(|source| FolderError::io(file, "written", source));
    if written.is_err() {
        // What is left of it is in nobody's way: the next start removes it.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, document: &Value) -> io::Result<()> {
    // One that a crash left behind may have other rights.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    serde_json::to_writer_pretty(&mut file, document)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn sync_folder(path: &Path) -> Result<(), FolderError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| FolderError::io(path, "written", source))
}

type Listed = (PathBuf, String, Result<Value, String>);

/// Every file of a kind with its namespace. Removes what a crash left unfinished.
fn list(root: &Path, kind: Kind, unreadable: &mut Vec<Unreadable>) -> Vec<Listed> {
    let mut entries = |folder: &Path| -> Vec<PathBuf> {
        let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
        let mut paths: Vec<PathBuf> = match read {
            Ok(paths) => paths,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                unreadable.push(Unreadable { path: folder.to_owned(), problem: error.to_string() });
                Vec::new()
            }
        };
        paths.sort();
        paths
    };
    let mut files = Vec::new();
    for folder in entries(&root.join(folder_of(kind))) {
        for file in entries(&folder) {
            if is_temporary(&file) {
                // It was never acknowledged; where it cannot be removed it is in nobody's way.
                let _ = fs::remove_file(&file);
                continue;
            }
            let namespace = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let document = read_json(&file);
            files.push((file, namespace, document));
        }
    }
    files
}

fn read_json(file: &Path) -> Result<Value, String> {
    let mut text = Vec::new();
    let read = File::open(file).and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut text));
    read.map_err(|error| error.to_string())?;
    serde_json::from_slice(&text).map_err(|error| {
        // The parser's own words may quote the file, which may hold a login.
        format!("it is not valid JSON at line {}, column {}", error.line(), error.column())
    })
}

fn read_config(file: &Path, unreadable: &mut Vec<Unreadable>) -> Option<Value> {
    // It was never acknowledged; where it cannot be removed it is in nobody's way.
    let _ = fs::remove_file(temporary_of(file));
    let problem = match fs::exists(file) {
        Ok(false) => return None,
        Ok(true) => match read_json(file) {
            Ok(config) => return Some(config),
            Err(problem) => problem,
        },
        Err(error) => error.to_string(),
    };
    unreadable.push(Unreadable { path: file.to_owned(), problem });
    None
}

fn read_source(document: &Value) -> Result<MadeSource, String> {
    submission::source_from(document, |_| "".into()).map(|(source, _)| source).map_err(|errors| joined(&errors))
}

fn read_model(document: &Value) -> Result<MadeModel, String> {
    submission::model_from(document).map_err(|errors| joined(&errors))
}

fn joined(errors: &[super::FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(". ")
}

/// Where the state is kept where nobody says: `vision-operator` in the user's folder for state (XDG).
#[must_use]
pub fn default_folder() -> Option<PathBuf> {
    let folders = directories::ProjectDirs::from("dev", "vision-operator", "vision-operator")?;
    Some(folders.state_dir().unwrap_or_else(|| folders.data_local_dir()).to_owned())
}
