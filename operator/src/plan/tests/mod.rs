//! The planner on a model of a cluster: what must hold in every round, and what each event leads to.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod balance;
mod chaos;
mod cluster;
mod failures;
mod pods;
mod sources;
