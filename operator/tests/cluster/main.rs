//! The operator's program against a real API server, with no more rights than it has in a cluster. kwok plays the nodes, and
//! a fake fleet answers for the pods. Where there is no Go to build the API server with, each test says so and passes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod capacity;
mod failures;
mod moves;
mod objects;
mod scene;
mod wrong;
