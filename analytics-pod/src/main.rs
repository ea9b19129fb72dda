//! Parses arguments and wires the rooms together.

fn main() {}
