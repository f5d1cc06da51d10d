//! Whether a snapshot is whole: etcd appends the SHA-256 of all that comes before.
//! Refuses what has no such hash: a database that was copied while etcd wrote looks just like it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

const HASH_BYTES: usize = 32;
/// A database consists of pages; with its hash it has this remainder (`etcdutl`, `hasChecksum`).
const SECTOR_BYTES: u64 = 512;
/// As many bytes are read at once.
const CHUNK_BYTES: usize = 1 << 16;

/// A snapshot that comes in pieces.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    hash: Sha256,
    /// What may be the hash at the end; so many bytes at most.
    tail: Vec<u8>,
    size: u64,
}

impl Pieces {
    pub(crate) fn add(&mut self, piece: &[u8]) {
        self.size += piece.len() as u64;
        self.tail.extend_from_slice(piece);
        let content = self.tail.len().saturating_sub(HASH_BYTES);
        self.hash.update(&self.tail[..content]);
        self.tail.drain(..content);
    }

    /// How many bytes it has if it was whole, else what is wrong with it.
    pub(crate) fn ended(self) -> Result<u64, String> {
        let size = self.size;
        if size <= HASH_BYTES as u64 || size % SECTOR_BYTES != HASH_BYTES as u64 {
            return Err(format!(
                "the snapshot of {size} bytes is cut off, or is none: it does not end with its hash"
            ));
        }
        if self.hash.finalize().as_slice() == self.tail {
            Ok(size)
        } else {
            Err("the snapshot is damaged: its hash is not that of its content".to_owned())
        }
    }
}

/// The file's size if it is whole, else what is wrong with it. Blocks.
pub(crate) fn check(path: &Path) -> io::Result<Result<u64, String>> {
    let mut file = File::open(path)?;
    let (mut pieces, mut buffer) = (Pieces::default(), vec![0; CHUNK_BYTES]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(pieces.ended()),
            Ok(count) => pieces.add(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn whole() -> Vec<u8> {
        let content = vec![7; 4096];
        let hash = Sha256::digest(&content);
        [content, hash.to_vec()].concat()
    }

    #[test]
    fn only_a_whole_snapshot_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot.db");
        let put = |bytes: &[u8]| durable_files::write_private(&path, bytes).unwrap();
        let whole = whole();
        put(&whole);
        assert_eq!(check(&path).unwrap(), Ok(4128));
        let mut damaged = whole.clone();
        damaged[100] ^= 1;
        put(&damaged);
        assert!(check(&path).unwrap().unwrap_err().contains("damaged"));
        for cut in [&whole[..0], &whole[..32], &whole[..4096], &whole[..4000]] {
            put(cut);
            assert!(check(&path).unwrap().unwrap_err().contains("cut off"));
        }
    }

    proptest! {
        #[test]
        fn in_whatever_pieces_it_comes(sizes in prop::collection::vec(0..700_usize, 0..40)) {
            let whole = whole();
            let (mut pieces, mut rest) = (Pieces::default(), whole.as_slice());
            for size in sizes {
                let (piece, after) = rest.split_at(size.min(rest.len()));
                pieces.add(piece);
                rest = after;
            }
            let cut_off = !rest.is_empty();
            prop_assert_eq!(pieces.ended().is_err(), cut_off);
        }
    }
}
