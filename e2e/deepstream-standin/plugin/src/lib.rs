//! DeepStream's GStreamer elements as the stand-in has them. One library holds them all; an installation links it under
//! the name of each plugin, and each link shows only that plugin's elements.

mod config;
mod convert;
mod decoder;
mod infer;
mod jpeg;
mod mux;
mod nvmm;
mod osd;
mod picture;
mod placement;
mod plugins;
mod preprocess;
mod properties;
mod runtime;
mod tracker;
mod uri_source;
