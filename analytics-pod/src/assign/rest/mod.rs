//! Sources and models that are made over REST: read strictly, kept on disk, and joined with those of manifests.
//!
//! [`Registry`] holds what files and the command line declare beside what REST made, and tells what the pod is asked
//! to run. What is made is in the [`StateFolder`] before a request is answered.

mod error;
mod field;
mod folder;
mod merge;
mod patch;
mod registry;
mod submission;
#[cfg(test)]
mod tests;

pub use error::ChangeError;
pub use field::FieldError;
pub use folder::{FolderError, Held, StateFolder, Unreadable, default_folder};
pub use merge::{Made, Merged, Origin, merge};
pub use patch::merge_patch;
pub use registry::{Registry, Snapshot};
pub(super) use submission::check_type;
pub use submission::{
    Login, MadeModel, MadeSource, SourceType, model_from, replaced_model, replaced_source, source_from,
};
