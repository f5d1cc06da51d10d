//! A user without privileges, and copies of all binaries where he may read them.
//! Refuses to work for anybody but root, who alone can run something as another user.

use std::os::unix::fs::chown;
use std::path::Path;

use naming_contract::Component;
use process_control::Spawn;
use tempfile::TempDir;

use crate::environment::{binary, component};

/// User and group `nobody`, which own nothing.
const NUMBER: u32 = 65534;

/// The user `nobody`.
#[derive(Debug)]
pub struct Nobody {
    binaries: TempDir,
}

impl Nobody {
    /// Copies the binaries: checkouts and caches often lie below a home that others cannot enter.
    #[must_use]
    pub(crate) fn with_binaries() -> Self {
        let binaries = TempDir::with_prefix("pilothouse-test-").expect("a temporary directory");
        let ours = Component::ALL.into_iter().filter(|component| *component != Component::Node);
        let ours = ours.map(|component| binary(component.supervisor())).chain([binary("pilothouse")]);
        let theirs = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"].map(component);
        for program in ours.chain(theirs) {
            let name = program.file_name().expect("a file");
            std::fs::copy(&program, binaries.path().join(name)).expect("a binary can be copied");
        }
        Self { binaries }
    }

    /// Where the copies are.
    pub(crate) fn binaries(&self) -> &Path {
        self.binaries.path()
    }

    /// Gives him a directory.
    pub(crate) fn owns(directory: &Path) {
        chown(directory, Some(NUMBER), Some(NUMBER)).expect("root can give a directory away");
    }

    /// A program of his. It ends with whoever spawns it: a change of user would make the kernel forget that.
    #[must_use]
    pub fn runs(program: &Path) -> Spawn {
        Spawn::new("/usr/bin/setpriv")
            .arguments([format!("--reuid={NUMBER}"), format!("--regid={NUMBER}")])
            .arguments(["--clear-groups", "--no-new-privs", "--pdeathsig=TERM"])
            .arguments([program])
    }
}
