//! Faults that only those who own the cluster can make, by a script of theirs.

use std::path::PathBuf;

use tokio::process::Command;

use crate::cluster::ScenarioError;

/// A program with a verb as its first argument: `cut NODE` and `mend NODE` take a node's network away and give it back,
/// `stop-api` and `start-api` the API server, `kill-container NODE POD` ends the container of a pod with SIGKILL.
#[derive(Clone, Debug)]
pub(crate) struct Faults(Option<PathBuf>);

impl Faults {
    /// Made by this script, if there is one.
    #[must_use]
    pub(crate) fn new(script: Option<PathBuf>) -> Self {
        Self(script)
    }

    /// Whether there is anybody who can make them.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn check(&self) -> Result<(), ScenarioError> {
        let missing = || ScenarioError::Unsuitable("nobody can make this fault: give --faults SCRIPT".to_owned());
        self.0.as_ref().map(drop).ok_or_else(missing)
    }

    /// Makes one.
    ///
    /// # Errors
    /// What the script says where it fails.
    pub(crate) async fn make(&self, words: &[&str]) -> Result<(), ScenarioError> {
        self.check()?;
        let Some(script) = &self.0 else { return Ok(()) };
        let failed = |why: String| ScenarioError::Script(format!("{} {}: {why}", script.display(), words.join(" ")));
        let output = Command::new(script).args(words).output().await.map_err(|error| failed(error.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}
