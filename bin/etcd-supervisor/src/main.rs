//! (room to be filled)
fn main() {}
