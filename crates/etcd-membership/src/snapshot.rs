//! All that a member has, as a stream of pieces with a hash at the end. Refuses to look at the hash: whoever keeps it does.

use std::time::Duration;

use etcd_client::SnapshotStreaming;

use crate::client::{EtcdError, MemberClient};

/// Until the next piece: a member reads the whole database from its disk, in order.
const PIECE_LIMIT: Duration = Duration::from_secs(60);
const WANTED: &str = "send a snapshot";

/// A snapshot on its way.
pub struct SnapshotPieces {
    member: MemberClient,
    pieces: SnapshotStreaming,
}

impl MemberClient {
    /// All that the member has; needs no quorum.
    pub async fn snapshot(&self) -> Result<SnapshotPieces, EtcdError> {
        let pieces = self.within(PIECE_LIMIT, WANTED, self.client().snapshot()).await?;
        Ok(SnapshotPieces { member: self.clone(), pieces })
    }
}

impl SnapshotPieces {
    /// The next piece; none at the end.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, EtcdError> {
        let piece = self.member.within(PIECE_LIMIT, WANTED, self.pieces.message()).await?;
        Ok(piece.map(|piece| piece.blob().to_vec()))
    }
}
