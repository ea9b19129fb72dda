//! What is made of a `DetectionModel`: its pods, and what they need beside them. Pure: the same model and settings give
//! the same objects.
//!
//! [`validate()`] says whether pods can be made at all; what it returns is all that [`Template`] takes, and nothing can
//! fail after it. A template knows the hash of what its pods are made from, so a pod that was made from another one is
//! recognised by its label.

mod companions;
mod names;
mod settings;
mod template;
mod validate;

pub use companions::Companions;
pub use names::{
    EVACUATE_ANNOTATION, FIELD_MANAGER, MODEL_ANNOTATION, MODEL_LABEL, RETIRE_ANNOTATION, SERVING_LABEL,
    TEMPLATE_HASH_LABEL, certificate, companion, model_label, selector, status_host,
};
pub use settings::{Media, Settings};
pub use template::{HTTP_PORT, STATUS_PORT, Template};
pub use validate::{Refused, Valid, validate};

#[cfg(test)]
mod tests;
