//! The ground truth of a scene as JSON lines.

use serde::Serialize;
use street_scenes::{Scene, TruthObject};

use crate::config::SceneConfig;

#[derive(Serialize)]
struct Line {
    frame: u32,
    objects: Vec<TruthObject>,
}

/// One JSON line per frame of the loop: `{"frame":0,"objects":[{"id":…,"class":…,"x":…,…}]}`.
pub(crate) fn lines(scene: &SceneConfig) -> Result<String, serde_json::Error> {
    let frames = scene.loop_frames();
    let scene = Scene::new(&scene.settings());
    let mut text = String::new();
    for frame in 0..frames {
        text.push_str(&serde_json::to_string(&Line { frame, objects: scene.truth(frame) })?);
        text.push('\n');
    }
    Ok(text)
}
