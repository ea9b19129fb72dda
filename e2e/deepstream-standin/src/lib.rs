//! What the parts of the stand-in for NVIDIA DeepStream share: which version it plays, the memory layouts of that
//! version as `repr(C)` structs, and how its parts lie in a folder. `CONTRACT.md` says which rules it holds to, and what
//! each rests on.

pub mod install;
pub mod layout;
pub mod list;

pub mod meta_type;
pub mod version;

pub use version::{Epoch, Version, current};
