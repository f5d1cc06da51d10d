//! Finding certificates below a directory.
//! Refuses links, etcd's data and anything too large: what it reads is small and ours.

use std::io;
use std::path::{Path, PathBuf};

use certificates::pem_blocks;
use durable_files::read_limited;
use naming_contract::files;

/// No certificate file is longer, in bytes.
const FILE_LIMIT: u64 = 256 * 1024;
/// An etcd member's data: large, and without certificates.
const DATA: &str = "data";

/// A certificate's PEM, or why the file could not be read; by the file's path relative to the root.
type Found = (PathBuf, Result<Vec<u8>, String>);

/// All certificates below `root`, sorted by path.
pub(super) fn certificates(root: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    descend(root, root, &mut found)?;
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

fn descend(root: &Path, directory: &Path, found: &mut Vec<Found>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            if entry.file_name() != DATA {
                // Leaves are swapped with their directory: one that is gone was just replaced.
                match descend(root, &path, found) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => other?,
                }
            }
        } else if kind.is_file() {
            look_into(root, &path, found);
        }
    }
    Ok(())
}

fn look_into(root: &Path, path: &Path, found: &mut Vec<Found>) {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_certificate = path.extension().is_some_and(|extension| extension == "crt" || extension == "pem");
    let is_kubeconfig = name.contains("kubeconfig");
    if !is_certificate && !is_kubeconfig || name == files::LEAF_KEY {
        return;
    }
    let relative = path.strip_prefix(root).unwrap_or(path).to_owned();
    let content = match read_limited(path, FILE_LIMIT) {
        Ok(content) => content,
        Err(error) if error.is_not_found() => return,
        Err(error) => return found.push((relative, Err(error.to_string()))),
    };
    if is_certificate {
        return found.extend(each(&content).into_iter().map(|pem| (relative.clone(), Ok(pem))));
    }
    let inside = kubeconfig::embedded_certificates(&String::from_utf8_lossy(&content));
    let all = inside.authorities.iter().chain(&inside.clients).flat_map(|pem| each(pem));
    found.extend(all.map(|pem| (relative.clone(), Ok(pem))));
}

/// Each certificate of a bundle by itself; what holds none as it is.
fn each(pem: &[u8]) -> Vec<Vec<u8>> {
    let blocks = pem_blocks(&String::from_utf8_lossy(pem), "CERTIFICATE");
    if blocks.is_empty() { vec![pem.to_vec()] } else { blocks.into_iter().map(String::into_bytes).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_is_taken_apart_and_damage_is_left_as_it_is() {
        let one = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert_eq!(each(format!("{one}{one}").as_bytes()), [one.as_bytes(), one.as_bytes()]);
        assert_eq!(each(b"-----BEGIN"), [b"-----BEGIN".to_vec()]);
    }
}
