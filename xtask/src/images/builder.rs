//! buildah with a storage of its own, gone when dropped: Dockerfile and context in, OCI archives out.
//! Refuses to touch the user's own images and containers.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::provenance::Provenance;
use crate::{checkout, program};

/// One image to be built.
pub(super) struct Order<'order> {
    /// The stage of the Dockerfile, which is the binary's name.
    pub(super) name: &'order str,
    /// `amd64` or `arm64`.
    pub(super) architecture: &'order str,
    /// The full name with tag that the archive says.
    pub(super) reference: &'order str,
    pub(super) version: &'order str,
    pub(super) provenance: &'order Provenance,
}

/// What became of it.
pub(super) struct Built {
    /// The digest of the manifest: the image's identity.
    pub(super) digest: String,
    /// Bytes of the archive, whose layer is compressed.
    pub(super) archive_size: u64,
}

pub(super) struct Builder {
    storage: PathBuf,
}

impl Builder {
    /// `storage` is made anew, and removed at the end.
    pub(super) fn open(storage: PathBuf) -> Result<Self> {
        remove(&storage)?;
        std::fs::create_dir_all(&storage).with_context(|| format!("cannot create {}", storage.display()))?;
        Ok(Self { storage })
    }

    /// Builds one stage of images/Dockerfile from `context` and writes it to `archive`.
    pub(super) fn build(&self, order: &Order<'_>, context: &Path, archive: &Path) -> Result<Built> {
        let dockerfile = checkout::root().join("images/Dockerfile");
        let mut build = self.buildah("build");
        // Nothing is run in the image, so chroot needs no more rights than any other; it works inside containers.
        build.args(["--quiet", "--isolation", "chroot", "--identity-label=false", "--format", "oci"]);
        build.args(["--platform", &format!("linux/{}", order.architecture)]);
        build.args(["--timestamp", &order.provenance.epoch.to_string()]);
        for (name, value) in [
            ("TARGETARCH", order.architecture),
            ("VERSION", order.version),
            ("REVISION", &order.provenance.revision),
            ("CREATED", &order.provenance.created()),
        ] {
            build.args(["--build-arg", &format!("{name}={value}")]);
        }
        build.args(["--target", order.name, "--tag", order.reference, "--file"]).arg(dockerfile).arg(context);
        program::output(&mut build)?;
        self.write(order.reference, archive)
    }

    fn write(&self, reference: &str, archive: &Path) -> Result<Built> {
        // buildah adds to an archive that is there.
        remove_file(archive)?;
        let digest_file = self.storage.join("digest");
        let mut push = self.buildah("push");
        push.arg("--quiet").arg("--digestfile").arg(&digest_file).arg(reference);
        push.arg(format!("oci-archive:{}:{reference}", archive.display()));
        program::output(&mut push)?;
        let digest = std::fs::read_to_string(&digest_file)
            .with_context(|| format!("cannot read {}", digest_file.display()))?;
        let size = archive.metadata().with_context(|| format!("cannot look at {}", archive.display()))?.len();
        Ok(Built { digest: digest.trim().to_owned(), archive_size: size })
    }

    fn buildah(&self, subcommand: &str) -> Command {
        let mut command = program::program("buildah");
        command.arg("--root").arg(self.storage.join("root")).arg("--runroot").arg(self.storage.join("run"));
        // vfs needs no mounts and no kernel module, and these images are one small file each.
        command.args(["--storage-driver", "vfs", "--log-level", "error", subcommand]);
        // A user's storage.conf may name options that only another driver takes.
        command.env("CONTAINERS_STORAGE_CONF", "/dev/null").env("TMPDIR", &self.storage);
        command
    }
}

impl Drop for Builder {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.storage) {
            eprintln!("note: {error:#}");
        }
    }
}

fn remove(directory: &Path) -> Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}

fn remove_file(file: &Path) -> Result<()> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::machine;

    const NAME: &str = "etcd-supervisor";

    /// A context with a file that stands for the binary; the builder copies it and never looks into it.
    fn built(directory: &Path, epoch: u64) -> String {
        let binaries = directory.join("context/linux/amd64");
        fs::create_dir_all(&binaries).unwrap();
        fs::copy(checkout::root().join("LICENSE"), binaries.join(NAME)).unwrap();
        let builder = Builder::open(directory.join("storage")).unwrap();
        let provenance = Provenance { epoch, revision: "0123".to_owned() };
        let order = Order {
            name: NAME,
            architecture: "amd64",
            reference: "docker.io/pilothouse/etcd-supervisor:0.1.0",
            version: "0.1.0",
            provenance: &provenance,
        };
        let archive = directory.join("image.tar");
        let built = builder.build(&order, &directory.join("context"), &archive).unwrap();
        assert_eq!(built.archive_size, archive.metadata().unwrap().len());
        built.digest
    }

    /// Different folders, storages, file times and moments; only what is in the context and the epoch count.
    #[test]
    fn the_same_input_gives_the_same_digest() {
        if machine::find("buildah").is_none() {
            // `cargo xtask test` installs it or refuses; a bare `cargo test` on a machine without it must not fail.
            return;
        }
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let digest = built(one.path(), 1_700_000_000);
        assert!(digest.starts_with("sha256:") && digest.len() == 71, "{digest}");
        assert_eq!(built(two.path(), 1_700_000_000), digest);
        assert_ne!(built(two.path(), 1_700_000_001), digest, "the epoch is part of the image");
        assert!(!one.path().join("storage").exists(), "the storage is gone");
    }
}
