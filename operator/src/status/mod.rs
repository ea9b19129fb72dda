//! What the operator writes into the status of the two kinds. Pure: the same facts give the same status, and one that is
//! written again differs from the one before only where its meaning does.

mod conditions;
mod model;
mod source;

pub use model::{ModelFacts, PodFacts, model};
pub use source::{SourceFacts, source};

#[cfg(test)]
mod tests;
