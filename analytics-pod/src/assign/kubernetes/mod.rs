//! A cluster says what runs: each VideoSource that is bound to this pod, and its DetectionModel.
//!
//! A VideoSource is to a pod what a Pod is to a kubelet: the pod watches those that name it, needs no operator to keep
//! running, and writes nothing. [`watch`] reads, [`bindings`] folds two watches into what the pod holds, [`desired`]
//! makes of it what runs, and [`logins`] completes inputs just before they are connected to.

pub mod bindings;
mod client;
mod desired;
mod logins;
mod media;
mod watch;

pub use client::{ClientError, client};
pub use desired::{Refused, Resolved, SeenModel, resolve};
pub use logins::Logins;
pub use media::Media;
pub use watch::{Assigned, Assignments, Identity};
