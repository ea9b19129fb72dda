//! Prints the resources that vision-operator adds to a cluster.

fn main() {}
