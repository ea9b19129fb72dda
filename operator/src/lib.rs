//! The operator: it keeps as many analytics pods as `VideoSource`s need, and gives every source to one of them.

pub mod index;
pub mod plan;
pub mod pods;
