//! The analytics pod: decodes video sources, detects and tracks objects in them, and reports what it sees.
//!
//! Data flows one way, one typed value per frame: [`assign`] says which sources to run, [`source`] delivers their
//! encoded access units, [`engine`] decodes them and runs the detector, [`track`] gives objects an identity, and
//! [`sink`] publishes the finished [`observation::Observation`]. [`telemetry`] counts what happens on the way.

pub mod annotate;
pub mod api;
pub mod assign;
pub mod cli;
pub mod commands;
pub mod config;
pub mod engine;
pub mod heap;
pub mod model;
pub mod observation;
pub mod pod;
pub mod report;
pub mod request_id;
pub mod rotating_file;
pub mod sink;
pub mod source;
pub mod telemetry;
mod text_file;
pub mod track;
pub mod trend;
pub mod view;
