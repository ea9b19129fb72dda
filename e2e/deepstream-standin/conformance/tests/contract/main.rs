//! The rules of `CONTRACT.md`, each kept and each broken, every scene in a process of its own.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod cameras;
mod document;
mod drawing;
mod elements;
mod inference;
mod libraries;
mod scene;
mod streams;
mod tensors;
mod tracking;
