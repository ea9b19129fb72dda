//! The operator: it keeps as many analytics pods as `VideoSource`s need, and gives every source to one of them.

pub mod apply;
pub mod certificates;
mod clock;
pub mod index;
pub mod leader;
pub mod metrics;
pub mod plan;
pub mod pods;
pub mod poll;
pub mod run;
pub mod status;
pub mod watch;
