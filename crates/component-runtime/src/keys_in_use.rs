//! Which generation of the shared keys the child has in use, where only a restart gives it another: that with which it
//! was started, or a later one that is the same to it. Refuses to believe that a file on disk is in use.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use certificates::{KeysNeeded, SharedKeySet};
use durable_files::read_private;
use health_endpoints::{ReloadBehaviour, StatusBoard};

use crate::Paths;

/// No file of a shared key set is longer, in bytes.
const FILE_LIMIT: u64 = 256 * 1024;

/// What the child was started with.
#[derive(Debug)]
pub(crate) struct KeysInUse {
    needed: Vec<KeysNeeded>,
    paths: Paths,
    board: StatusBoard,
    started_with: RefCell<BTreeMap<SharedKeySet, Taken>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Taken {
    generation: u64,
    /// Of the files that the child reads.
    content: u64,
}

impl KeysInUse {
    pub(crate) fn new(needed: &[KeysNeeded], paths: Paths, board: StatusBoard) -> Self {
        let needed = needed.iter().filter(|it| it.reload == ReloadBehaviour::NeedsRestart).copied().collect();
        Self { needed, paths, board, started_with: RefCell::default() }
    }

    /// A child is started next, and none runs: what lies on disk now, or something later, is what it will use.
    pub(crate) fn child_starts(&self) {
        for needed in &self.needed {
            if let Some(taken) = self.on_disk(needed) {
                self.started_with.borrow_mut().insert(needed.set, taken);
                self.board.key_generation(needed.set.name(), taken.generation);
            }
        }
    }

    /// A generation that is the same to the child is in use as soon as it is there.
    pub(crate) fn look(&self) {
        for needed in &self.needed {
            let Some(known) = self.started_with.borrow().get(&needed.set).copied() else { continue };
            if self.generation(needed.set) == Some(known.generation) {
                continue;
            }
            if let Some(taken) = self.on_disk(needed).filter(|taken| taken.content == known.content) {
                self.started_with.borrow_mut().insert(needed.set, taken);
                self.board.key_generation(needed.set.name(), taken.generation);
            }
        }
    }

    /// None when the set is not there, or is replaced while it is read.
    fn on_disk(&self, needed: &KeysNeeded) -> Option<Taken> {
        let before = self.generation(needed.set)?;
        let mut hasher = DefaultHasher::new();
        for file in needed.files {
            self.read(needed.set, file)?.hash(&mut hasher);
        }
        let taken = Taken { generation: before, content: hasher.finish() };
        (self.generation(needed.set) == Some(before)).then_some(taken)
    }

    fn generation(&self, set: SharedKeySet) -> Option<u64> {
        str::from_utf8(&self.read(set, SharedKeySet::GENERATION)?).ok()?.trim().parse().ok()
    }

    fn read(&self, set: SharedKeySet, file: &str) -> Option<Vec<u8>> {
        read_private(&self.paths.shared_key(set, file), FILE_LIMIT).ok()
    }
}

#[cfg(test)]
mod tests {
    use certificates::{RuntimeDirectory, SharedKeys};
    use naming_contract::Component;

    use super::*;

    #[test]
    fn what_lies_on_disk_is_in_use_only_when_the_child_was_started_with_it_or_sees_no_difference() {
        let root = tempfile::tempdir().unwrap();
        let store = RuntimeDirectory::new(root.path());
        store.create().unwrap();
        let write = |generation, verify: &str, signing: &str| {
            let file = |name: &str, content: &str| (name.to_owned(), content.to_owned());
            let files = [file(SharedKeySet::VERIFY, verify), file(SharedKeySet::SIGNING, signing)].into();
            store.write_keys(SharedKeySet::ServiceAccount, &SharedKeys { generation, files }).unwrap();
        };
        let board = StatusBoard::new("kcm-0", Component::KubeControllerManager, "1");
        let needed = KeysNeeded {
            set: SharedKeySet::ServiceAccount,
            reload: ReloadBehaviour::NeedsRestart,
            files: &[SharedKeySet::SIGNING],
        };
        let keys = KeysInUse::new(&[needed], Paths::new(root.path().to_owned()), board.clone());
        let told = || board.document().key_generations.get("service-account").copied();
        keys.look();
        assert_eq!(told(), None);
        write(1, "a", "a");
        keys.look();
        assert_eq!(told(), None, "no child was started");
        keys.child_starts();
        assert_eq!(told(), Some(1));
        write(2, "ab", "a");
        keys.look();
        assert_eq!(told(), Some(2), "it reads the signing key alone, which is the same");
        write(3, "ab", "b");
        keys.look();
        assert_eq!(told(), Some(2));
        keys.child_starts();
        assert_eq!(told(), Some(3));
    }
}
