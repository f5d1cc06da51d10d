//! Whether a file is a whole snapshot: `etcdctl snapshot save` appends the SHA-256 of all that comes before.
//! Blocks. Refuses what has no such hash: a database that was copied while etcd wrote looks just like it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use sha2::{Digest as _, Sha256};

const HASH_BYTES: u64 = 32;
/// A database consists of pages; with its hash it has this remainder (`etcdutl`, `hasChecksum`).
const SECTOR_BYTES: u64 = 512;

/// The file's size if it is whole, else what is wrong with it.
pub(crate) fn check(path: &Path) -> io::Result<Result<u64, String>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size <= HASH_BYTES || size % SECTOR_BYTES != HASH_BYTES {
        return Ok(Err(format!(
            "the snapshot of {size} bytes is cut off, or is none: it does not end with its hash"
        )));
    }
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut left = size - HASH_BYTES;
    while left > 0 {
        let chunk = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        reader.read_exact(&mut buffer[..chunk])?;
        hash.update(&buffer[..chunk]);
        left -= chunk as u64;
    }
    let mut written = Vec::new();
    reader.read_to_end(&mut written)?;
    Ok(if hash.finalize().as_slice() == written {
        Ok(size)
    } else {
        Err("the snapshot is damaged: its hash is not that of its content".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_snapshot_is_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("snapshot.db");
        let put = |bytes: &[u8]| durable_files::write_private(&path, bytes).unwrap();
        let mut whole = vec![7; 4096];
        let hash = Sha256::digest(&whole);
        whole.extend_from_slice(&hash);
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
}
