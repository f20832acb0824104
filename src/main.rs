//! The `carom` binary.
fn main() {}
