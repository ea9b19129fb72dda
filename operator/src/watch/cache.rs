//! The objects of one kind.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::error_boundary::InvalidObject};

use crate::plan::Key;

/// So many deleted objects are remembered, that a late answer to a write does not bring one back.
const REMEMBERED: usize = 4_096;

/// The objects of one kind, the newest version of each.
pub struct Cache<K>(Mutex<State<K>>);

struct State<K> {
    entries: BTreeMap<Key, Entry<K>>,
    unreadable: BTreeMap<Key, Unreadable>,
    /// The uids of objects that were deleted.
    gone: VecDeque<String>,
    /// Counts what the writer was answered.
    written: u64,
}

struct Entry<K> {
    object: Arc<K>,
    version: u64,
    /// [`State::written`] when the writer put it here; 0: a watch told of it.
    written: u64,
}

/// An object that this version of the operator cannot read.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// What is wrong.
    pub error: String,
}

impl<K> Default for Cache<K> {
    fn default() -> Self {
        Self(Mutex::new(State {
            entries: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            gone: VecDeque::new(),
            written: 0,
        }))
    }
}

impl<K: Resource> Cache<K> {
    /// All objects, by namespace and name.
    pub fn objects(&self) -> Vec<Arc<K>> {
        self.state().entries.values().map(|entry| entry.object.clone()).collect()
    }

    /// The object of this key.
    pub fn get(&self, key: &Key) -> Option<Arc<K>> {
        self.state().entries.get(key).map(|entry| entry.object.clone())
    }

    /// The objects that cannot be read.
    pub fn unreadable(&self) -> Vec<(Key, Unreadable)> {
        self.state().unreadable.iter().map(|(key, unreadable)| (key.clone(), unreadable.clone())).collect()
    }

    /// A watch told of this object. Whether that was new.
    pub fn told(&self, object: K) -> bool {
        self.state().put(object, 0)
    }

    /// A watch told of an object that cannot be read. Whether that was new.
    pub fn told_unreadable(&self, invalid: InvalidObject) -> bool {
        let Some(key) = key(&invalid.metadata) else { return false };
        let unreadable =
            Unreadable { metadata: ObjectMeta { managed_fields: None, ..invalid.metadata }, error: invalid.error };
        let mut state = self.state();
        state.entries.remove(&key);
        state.unreadable.insert(key, unreadable.clone()).is_none_or(|before| before != unreadable)
    }

    /// The API server answered a write with this object.
    pub fn answered(&self, object: K) {
        let mut state = self.state();
        state.written += 1;
        let written = state.written;
        state.put(object, written);
    }

    /// A watch, or an answer, told that the object is gone.
    pub fn gone(&self, metadata: &ObjectMeta) {
        let Some(key) = key(metadata) else { return };
        let mut state = self.state();
        state.unreadable.remove(&key);
        if state.entries.get(&key).is_some_and(|entry| entry.object.meta().uid == metadata.uid) {
            state.entries.remove(&key);
        }
        if let Some(uid) = metadata.uid.clone() {
            state.gone.push_back(uid);
            if state.gone.len() > REMEMBERED {
                state.gone.pop_front();
            }
        }
    }

    /// A mark for [`Self::listed`].
    pub fn mark(&self) -> u64 {
        self.state().written
    }

    /// A list that began at `mark` told of all objects in `namespace` (nothing: of all): the others are gone, except what
    /// the writer has been answered since.
    pub fn listed(&self, namespace: Option<&str>, all: &HashSet<Key>, mark: u64) {
        let is_elsewhere = |key: &Key| namespace.is_some_and(|namespace| &*key.namespace != namespace);
        let mut state = self.state();
        state.entries.retain(|key, entry| is_elsewhere(key) || all.contains(key) || entry.written > mark);
        state.unreadable.retain(|key, _| is_elsewhere(key) || all.contains(key));
    }

    fn state(&self) -> MutexGuard<'_, State<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Resource> State<K> {
    fn put(&mut self, mut object: K, written: u64) -> bool {
        let Some(key) = key(object.meta()) else { return false };
        if object.meta().uid.as_ref().is_some_and(|uid| self.gone.contains(uid)) {
            return false;
        }
        object.meta_mut().managed_fields = None;
        let version = version(object.meta());
        if self.entries.get(&key).is_some_and(|entry| entry.version >= version && version != 0) {
            return false;
        }
        self.unreadable.remove(&key);
        self.entries.insert(key, Entry { object: Arc::new(object), version, written });
        true
    }
}

/// Resource versions are comparable as numbers, and Kubernetes promises that they stay so.
fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// Namespace and name; that of an object without a namespace is empty.
pub(super) fn key(metadata: &ObjectMeta) -> Option<Key> {
    Some(Key::new(metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref()?))
}
