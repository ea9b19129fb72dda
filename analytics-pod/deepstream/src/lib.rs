//! NVIDIA DeepStream as a program finds it at run time: which version is installed, its libraries, and the metadata
//! that its elements leave on buffers.
//!
//! Nothing of DeepStream is needed to build this. The libraries are opened by name, and metadata are read by a table of
//! offsets for each of the six layouts that versions 5.0 to 9.1 have ([`Layout`]). A crate of its own, so that the reader
//! can be tried under valgrind without the rest of the pod.
//!
//! All `unsafe` code of the engine is here, in [`metadata`] and [`libraries`]; [`pipeline`] is what the rest is for.

pub mod installation;
pub mod layout;
pub mod libraries;
pub mod metadata;
pub mod nvinfer;
pub mod pipeline;
pub mod version;

pub use layout::{Epoch, Layout, LayoutError, PoolSizes};
pub use libraries::{Libraries, LibraryError};
pub use metadata::{Batch, Frame, Object};
pub use version::{Version, VersionError};
