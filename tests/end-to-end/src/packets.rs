//! What nft is told so that packets are lost. Refuses to say which, and where: whoever has a network of his own knows.

/// The end of a rule that drops so many of hundred packets, at random.
#[must_use]
pub fn packets_dropped(percent: u32) -> String {
    // nft takes no limit that every number is below.
    if percent < 100 { format!("numgen random mod 100 < {percent} drop") } else { "drop".to_owned() }
}
