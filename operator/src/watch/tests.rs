#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ObjectMeta;

use super::Cache;
use crate::plan::Key;

fn pod(name: &str, uid: &str, version: u64) -> Pod {
    let metadata = ObjectMeta {
        namespace: Some("yard".to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        resource_version: Some(version.to_string()),
        ..ObjectMeta::default()
    };
    Pod { metadata, ..Pod::default() }
}

fn names(cache: &Cache<Pod>) -> Vec<String> {
    cache.objects().iter().map(|pod| pod.metadata.name.clone().unwrap()).collect()
}

#[test]
fn the_newest_version_counts_whoever_told_of_it() {
    let cache = Cache::default();
    assert!(cache.told(pod("a", "1", 5)));
    cache.answered(pod("a", "1", 7));
    assert!(!cache.told(pod("a", "1", 6)));
    let version = cache.get(&Key::new("yard", "a")).unwrap().metadata.resource_version.clone();
    assert_eq!(version.as_deref(), Some("7"));
}

#[test]
fn a_late_answer_does_not_bring_a_deleted_object_back() {
    let cache = Cache::default();
    cache.told(pod("a", "1", 5));
    cache.gone(&pod("a", "1", 9).metadata);
    cache.answered(pod("a", "1", 7));
    assert!(names(&cache).is_empty());
    cache.told(pod("a", "2", 10));
    assert_eq!(names(&cache), ["a"]);
}

#[test]
fn a_list_removes_what_it_does_not_tell_of_but_not_what_was_written_meanwhile() {
    let cache = Cache::default();
    cache.told(pod("old", "1", 1));
    cache.told(pod("stays", "2", 2));
    let mark = cache.mark();
    cache.answered(pod("made-meanwhile", "3", 3));
    cache.listed(Some("yard"), &HashSet::from([Key::new("yard", "stays")]), mark);
    assert_eq!(names(&cache), ["made-meanwhile", "stays"]);
    cache.listed(Some("elsewhere"), &HashSet::new(), cache.mark());
    assert_eq!(names(&cache).len(), 2);
}
