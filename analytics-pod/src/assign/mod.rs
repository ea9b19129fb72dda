//! Where sources come from: manifests in files and folders, URIs on the command line, [`rest`], or a cluster
//! ([`kubernetes`]).
//!
//! [`Loader`] reads manifests strictly and says everything that is wrong with them; [`Watch`] does so again at every
//! change. Both give a [`DesiredState`], in which no reference is left to look up, and
//! [`DesiredState::changes_from`] tells what is to do to get there.

mod causes;
mod command_line;
mod desired;
pub(crate) mod document;
mod error;
pub mod kubernetes;
mod listed;
mod loader;
mod manifest;
pub mod rest;
pub(crate) mod strict;
#[cfg(test)]
mod tests;
mod watch;

pub use causes::Causes;
pub use command_line::from_uris;
pub use desired::{
    Binding, ChangedParts, ChangedSource, Changes, DesiredModel, DesiredSource, DesiredState, DetectionRequest,
    ModelKey, RecoveryPolicy, UnknownClass,
};
pub(crate) use error::is_quotable;
pub use error::{Kind, ManifestError, ObjectId};
pub(crate) use listed::List;
pub use listed::Listed;
pub use loader::{Loaded, Loader};
pub use strict::spec_schema;
pub use watch::{Watch, WatchError};
