//! What a run declares: manifests, and what its configuration lists; read anew on SIGHUP.

use std::{future::pending, path::PathBuf};

use tracing::{error, info, warn};

use super::{config, models, run_error::RunError};
use crate::{
    assign::{self, DesiredModel, DesiredState, Listed, Loaded, Loader, Watch, WatchError, rest::Registry},
    config::{Effective, Reloaded, Store},
};

/// Reads the configuration anew. Where anything is wrong with it, all of it stays as it was.
pub(super) fn reload(store: &Store, registry: &Registry, manifests: &mut Manifests) {
    let read = || -> Result<(Reloaded, Effective, Listed), String> {
        let read = store.read_anew().map_err(|error| error.to_string())?;
        let listed = config::listed(&read).map_err(|error| error.to_string())?;
        let reloaded = store.accept(&read).map_err(|error| error.to_string())?;
        Ok((reloaded, read, listed))
    };
    match read() {
        Ok((Reloaded { changed, pending_restart }, read, listed)) => {
            for (variable, remedy) in &read.unknown_variables {
                warn!("the environment variable {variable} sets nothing; {remedy}");
            }
            if changed.is_empty() {
                info!("configuration read anew; nothing that is in force has changed");
            } else {
                info!(changed = %changed.join(", "), "configuration read anew");
            }
            if !pending_restart.is_empty() {
                warn!(keys = %pending_restart.join(", "), "changed, and in force after the next start of the pod");
            }
            match manifests.replace(read.config.files.clone(), listed) {
                Ok(Some(loaded)) => declare(registry, loaded),
                Ok(None) => {}
                Err(error) => error!("{error}"),
            }
        }
        Err(problem) => error!("the configuration stays as it was: {}", problem.replace('\n', " | ")),
    }
}

/// Where declared sources come from.
pub(super) enum Manifests {
    /// The command line, which does not change.
    Fixed,
    /// Nowhere so far.
    None,
    /// Files, and what the configuration lists.
    Watched(Watch),
}

impl Manifests {
    /// What is declared at first, and what tells of changes.
    pub(super) fn at_start(uris: &[String], effective: &Effective) -> Result<(DesiredState, Self), RunError> {
        let (loaded, manifests) = if uris.is_empty() {
            let listed = config::listed(effective)?;
            Self::read(effective.config.files.clone(), listed)?
        } else {
            let folder = std::env::current_dir()?;
            let model = models::named(&effective.config.model)?;
            (assign::from_uris(uris, DesiredModel::clone(&model), &folder), Self::Fixed)
        };
        if loaded.state.sources.is_empty() && !loaded.errors.is_empty() {
            let errors: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
            return Err(RunError::Manifests(errors.join("\n")));
        }
        report(&loaded);
        Ok((loaded.state, manifests))
    }

    fn read(files: Vec<PathBuf>, listed: Listed) -> Result<(Loaded, Self), WatchError> {
        if files.is_empty() && listed == Listed::default() {
            return Ok((Loaded::default(), Self::None));
        }
        let mut loader = Loader::new(Vec::new());
        loader.replace(files, listed);
        let (loaded, watch) = Watch::start(loader)?;
        Ok((loaded, Self::Watched(watch)))
    }

    /// Takes other files and lists; what is declared now, where it is known at once.
    fn replace(&mut self, files: Vec<PathBuf>, listed: Listed) -> Result<Option<Loaded>, WatchError> {
        match self {
            Self::Fixed => Ok(None),
            Self::Watched(watch) => {
                watch.replace(files, listed);
                Ok(None)
            }
            Self::None => {
                let (loaded, read) = Self::read(files, listed)?;
                *self = read;
                Ok(Some(loaded))
            }
        }
    }

    /// What was read after the next change.
    pub(super) async fn changed(&mut self) -> Option<Loaded> {
        match self {
            Self::Watched(watch) => watch.changed().await,
            Self::Fixed | Self::None => pending().await,
        }
    }
}

/// Makes what was read what is declared, and tells what is wrong with it.
pub(super) fn declare(registry: &Registry, loaded: Loaded) {
    report(&loaded);
    let ends = loaded.state.sources.is_empty() && registry.declares_sources();
    registry.declare(loaded.state);
    if ends {
        warn!("no file and no list declares a source any more; those that were declared have ended");
    }
}

/// Tells everything that is wrong.
fn report(loaded: &Loaded) {
    for problem in &loaded.errors {
        error!("{problem}");
    }
}
