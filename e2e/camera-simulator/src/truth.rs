//! The ground truth of a scene as JSON lines.

use serde::Serialize;
use street_scenes::{Scene, SettingsError, TruthObject};

use crate::config::SceneConfig;

/// Why there is no ground truth.
#[derive(Debug, thiserror::Error)]
pub enum TruthError {
    /// The scene cannot be drawn.
    #[error(transparent)]
    Scene(#[from] SettingsError),
    /// It cannot be written as JSON.
    #[error("the ground truth cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

#[derive(Serialize)]
struct Line {
    frame: u32,
    objects: Vec<TruthObject>,
}

/// One JSON line per frame of the loop: `{"frame":0,"objects":[{"id":…,"class":…,"x":…,…}]}`.
pub(crate) fn lines(scene: &SceneConfig) -> Result<String, TruthError> {
    let frames = scene.loop_frames();
    let scene = Scene::new(&scene.settings())?;
    let mut text = String::new();
    for frame in 0..frames {
        text.push_str(&serde_json::to_string(&Line { frame, objects: scene.truth(frame) })?);
        text.push('\n');
    }
    Ok(text)
}
