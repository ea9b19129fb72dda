//! DeepStream's GStreamer elements as the stand-in has them. One library holds them all; an installation links it under
//! the name of each plugin, and each link shows only that plugin's elements.

mod config;
mod decoder;
mod infer;
mod mux;
mod nvmm;
mod picture;
mod plugins;
mod properties;
mod runtime;
mod uri_source;
