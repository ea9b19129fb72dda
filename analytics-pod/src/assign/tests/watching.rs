//! Changes of real files, as editors and volumes make them.

use std::{fs, os::unix::fs::symlink, path::Path, time::Duration};

use super::{MODEL, camera, folder, names, source};
use crate::assign::{Loaded, Loader, Watch};

/// Far more than a change takes to be told.
const LIMIT: Duration = Duration::from_secs(20);

fn watch(path: &Path) -> (Loaded, Watch) {
    Watch::start(Loader::new(vec![path.to_owned()])).unwrap()
}

/// Waits for a load whose sources are these.
async fn until(watch: &mut Watch, expected: &[&str]) -> Loaded {
    let wait = async {
        loop {
            let loaded = watch.changed().await.expect("the watch goes on");
            if names(&loaded) == expected {
                return loaded;
            }
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the change is told")
}

#[tokio::test]
async fn files_of_a_folder_come_change_and_go() {
    let folder = folder(&[("model.yaml", MODEL), ("a.yaml", &camera("a"))]);
    let (first, mut watch) = watch(folder.path());
    assert_eq!(names(&first), ["a"]);
    fs::write(folder.path().join("b.yaml"), camera("b")).unwrap();
    until(&mut watch, &["a", "b"]).await;
    fs::write(folder.path().join("a.yaml"), camera("c")).unwrap();
    until(&mut watch, &["b", "c"]).await;
    fs::remove_file(folder.path().join("b.yaml")).unwrap();
    until(&mut watch, &["c"]).await;
}

#[tokio::test]
async fn a_single_file_is_replaced_by_rename() {
    let folder = folder(&[("all.yaml", &format!("{MODEL}---\n{}", camera("a")))]);
    let file = folder.path().join("all.yaml");
    let (first, mut watch) = watch(&file);
    assert_eq!(names(&first), ["a"]);
    for name in ["b", "c", "d"] {
        let new = folder.path().join("all.yaml~");
        fs::write(&new, format!("{MODEL}---\n{}", camera(name))).unwrap();
        fs::rename(&new, &file).unwrap();
        until(&mut watch, &[name]).await;
    }
}

#[tokio::test]
async fn a_broken_edit_is_told_and_changes_nothing() {
    let folder = folder(&[("model.yaml", MODEL), ("a.yaml", &camera("a"))]);
    let (first, mut watch) = watch(folder.path());
    fs::write(folder.path().join("a.yaml"), source("a", "  uri: nonsense\n")).unwrap();
    let loaded = until(&mut watch, &["a"]).await;
    assert_eq!(loaded.state, first.state);
    assert_eq!(loaded.errors.len(), 1);
}

#[tokio::test]
async fn a_config_map_volume_turns_to_its_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let version = |number: u32, name: &str| {
        let data = format!("..{number}");
        fs::create_dir(folder.path().join(&data)).unwrap();
        fs::write(folder.path().join(&data).join("all.yaml"), format!("{MODEL}---\n{}", camera(name))).unwrap();
        symlink(&data, folder.path().join("..data_tmp")).unwrap();
        fs::rename(folder.path().join("..data_tmp"), folder.path().join("..data")).unwrap();
    };
    version(1, "a");
    symlink("..data/all.yaml", folder.path().join("all.yaml")).unwrap();
    let (first, mut of_folder) = watch(folder.path());
    let (_, mut of_file) = watch(&folder.path().join("all.yaml"));
    assert_eq!(names(&first), ["a"]);
    version(2, "b");
    until(&mut of_folder, &["b"]).await;
    until(&mut of_file, &["b"]).await;
    version(3, "c");
    until(&mut of_folder, &["c"]).await;
    until(&mut of_file, &["c"]).await;
}

#[tokio::test]
async fn a_folder_may_go_and_come_back() {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("cameras");
    let (first, mut watch) = watch(&inner);
    assert_eq!((names(&first).len(), first.errors.len()), (0, 1));
    for name in ["a", "b"] {
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join("all.yaml"), format!("{MODEL}---\n{}", camera(name))).unwrap();
        until(&mut watch, &[name]).await;
        fs::remove_dir_all(&inner).unwrap();
        until(&mut watch, &[]).await;
    }
}
