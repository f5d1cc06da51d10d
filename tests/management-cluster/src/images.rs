//! Images that cannot be pulled here: stand-ins of upstream's, by their names and paths, from the same binaries.
//! Built FROM scratch by buildah, once for each content, kept in a cache; beside the program lies what upstream's image has
//! of the same project. Refuses anything but static files.

use std::fmt::Write as _;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::command::Line;
use crate::error::{ClusterError, Result};
use crate::options::Binaries;

/// containerd's namespace of kubelet's images.
pub(crate) const NAMESPACE: &str = "k8s.io";
/// What holds a Pod's namespaces open.
pub(crate) const SANDBOX_IMAGE: &str = "pilothouse.test/pause:1";
/// Cluster DNS.
pub(crate) const DNS_IMAGE: &str = "registry.k8s.io/coredns/coredns:v1.15.0";

/// One image: a name, a binary, and its path inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StandIn {
    pub(crate) reference: String,
    binary: PathBuf,
    path: String,
    entrypoint: bool,
    /// Further programs, in the same directory and by their own names.
    beside: Vec<PathBuf>,
}

/// What every cluster needs for its own Pods.
pub(crate) fn of_nodes(binaries: &Binaries) -> [StandIn; 2] {
    let image = |reference: &str, name: &str| StandIn {
        reference: reference.to_owned(),
        binary: binaries.node_tools.join(name),
        path: format!("/{name}"),
        entrypoint: true,
        beside: Vec::new(),
    };
    [image(SANDBOX_IMAGE, "pause"), image(DNS_IMAGE, "coredns")]
}

/// The images of a control plane of these versions, from the binaries in a directory.
pub(crate) fn of_control_plane(components: &Path, versions: &ComponentVersions) -> Vec<StandIn> {
    let ComponentVersions { kubernetes, etcd } = versions;
    let image = |reference: String, name: &str, directory: &str, entrypoint: bool| StandIn {
        reference,
        binary: components.join(name),
        path: format!("{directory}/{name}"),
        entrypoint,
        beside: Vec::new(),
    };
    let etcd_tools = ["etcdctl", "etcdutl"].map(|name| components.join(name));
    let mut images = vec![
        // kubeadm's name for it: the version and the number of the image build.
        StandIn {
            beside: etcd_tools.into(),
            ..image(format!("registry.k8s.io/etcd:{etcd}-0"), "etcd", "/usr/local/bin", false)
        },
        image(format!("registry.k8s.io/kubectl:v{kubernetes}"), "kubectl", "/bin", true),
    ];
    for name in ["kube-apiserver", "kube-controller-manager", "kube-scheduler"] {
        images.push(image(format!("registry.k8s.io/{name}:v{kubernetes}"), name, "/usr/local/bin", false));
    }
    images
}

/// Versions without the v, as binaries tell them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComponentVersions {
    /// Of kube-apiserver, and of all that is released with it.
    pub kubernetes: String,
    /// Of etcd.
    pub etcd: String,
}

impl ComponentVersions {
    /// Asks the binaries in a directory of components.
    pub async fn of(components: &Path) -> Result<Self> {
        let kubernetes = Line::new(components.join("kube-apiserver")).arguments(["--version"]).run().await?;
        let etcd = Line::new(components.join("etcd")).arguments(["--version"]).run().await?;
        let word = |text: &str| {
            let first = text.lines().next().unwrap_or_default();
            first.split_whitespace().last().unwrap_or_default().trim_start_matches('v').to_owned()
        };
        Ok(Self { kubernetes: word(&kubernetes.output), etcd: word(&etcd.output) })
    }
}

/// Builds what is not in the cache yet; the archives of all.
pub(crate) async fn build_all(images: &[StandIn], cache: &Path) -> Result<Vec<PathBuf>> {
    durable_files::create_private_directory(cache)?;
    let mut archives = Vec::new();
    for image in images {
        let archive = cache.join(format!("{}.oci.tar", image.fingerprint()?));
        if !archive.is_file() {
            build(image, cache, &archive).await?;
        }
        archives.push(archive);
    }
    Ok(archives)
}

impl StandIn {
    /// Over all that decides what comes out.
    fn fingerprint(&self) -> Result<String> {
        let mut hash = Sha256::new();
        let text = format!("{} {} {}", self.reference, self.path, self.entrypoint);
        hash.update(text);
        for (binary, path) in self.contents() {
            hash.update(path);
            let failed = || ClusterError::path("read", binary);
            let mut file = fs::File::open(binary).map_err(failed())?;
            let mut buffer = vec![0; 1 << 20];
            loop {
                let count = file.read(&mut buffer).map_err(failed())?;
                if count == 0 {
                    break;
                }
                hash.update(&buffer[..count]);
            }
        }
        let mut print = self.reference.replace(['/', ':'], "_") + "-";
        for byte in &hash.finalize()[..6] {
            // Writing to a String cannot fail.
            let _ = write!(print, "{byte:02x}");
        }
        Ok(print)
    }

    fn containerfile(&self) -> String {
        let entrypoint =
            if self.entrypoint { format!("ENTRYPOINT [\"{}\"]\n", self.path) } else { String::new() };
        let copies = self.contents().into_iter().enumerate();
        let copy = |(number, (_, path))| format!("COPY --chmod=0755 binary-{number} {path}\n");
        let copies = copies.map(copy).collect::<Vec<_>>().concat();
        format!("FROM scratch\n{copies}{entrypoint}")
    }

    /// Every program and its path inside.
    fn contents(&self) -> Vec<(&Path, String)> {
        let directory = Path::new(&self.path).parent().unwrap_or(Path::new("/"));
        let mut contents = vec![(self.binary.as_path(), self.path.clone())];
        for binary in &self.beside {
            let name = binary.file_name().unwrap_or_default();
            contents.push((binary, directory.join(name).display().to_string()));
        }
        contents
    }
}

async fn build(image: &StandIn, cache: &Path, archive: &Path) -> Result<()> {
    let work = cache.join(format!(".building-{}", std::process::id()));
    let outcome = build_in(image, &work, archive).await;
    let _already_gone = fs::remove_dir_all(&work);
    outcome
}

async fn build_in(image: &StandIn, work: &Path, archive: &Path) -> Result<()> {
    let context = work.join("context");
    fs::create_dir_all(&context).map_err(ClusterError::path("create", &context))?;
    for (number, (binary, _)) in image.contents().into_iter().enumerate() {
        let copy = context.join(format!("binary-{number}"));
        fs::copy(binary, copy).map_err(ClusterError::path("copy", binary))?;
    }
    durable_files::write_public(&context.join("Containerfile"), image.containerfile().as_bytes())?;
    buildah(work, "build")?
        .arguments(["--quiet", "--isolation", "chroot", "--identity-label=false", "--format", "oci"])
        .arguments(["--timestamp", "0", "--tag", &image.reference, "--file"])
        .arguments([context.join("Containerfile"), context])
        .run()
        .await?;
    let incoming = work.join("image.tar");
    buildah(work, "push")?
        .arguments(["--quiet", &image.reference])
        .arguments([format!("oci-archive:{}:{}", incoming.display(), image.reference)])
        .run()
        .await?;
    fs::rename(&incoming, archive).map_err(ClusterError::path("put in place", archive))
}

/// With a storage of its own: the user's images and containers are left alone.
fn buildah(work: &Path, subcommand: &str) -> Result<Line> {
    Ok(Line::system("buildah")?
        .environment("CONTAINERS_STORAGE_CONF", "/dev/null")
        .environment("TMPDIR", work.display().to_string())
        .arguments(["--root".as_ref(), work.join("root").as_os_str()])
        .arguments(["--runroot".as_ref(), work.join("run").as_os_str()])
        .arguments(["--storage-driver", "vfs", "--log-level", "error", subcommand])
        .limit(Duration::from_secs(300)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstreams_images_have_upstreams_names_and_paths() {
        let versions = ComponentVersions { kubernetes: "1.37.2".into(), etcd: "3.7.3".into() };
        let images = of_control_plane(Path::new("/components"), &versions);
        let find = |reference: &str| images.iter().find(|image| image.reference == reference).unwrap();
        assert_eq!(find("registry.k8s.io/kube-apiserver:v1.37.2").path, "/usr/local/bin/kube-apiserver");
        assert_eq!(find("registry.k8s.io/etcd:3.7.3-0").path, "/usr/local/bin/etcd");
        assert_eq!(find("registry.k8s.io/kubectl:v1.37.2").path, "/bin/kubectl");
        let etcd = find("registry.k8s.io/etcd:3.7.3-0").containerfile();
        assert!(!etcd.contains("ENTRYPOINT"));
        assert!(
            etcd.contains("/usr/local/bin/etcdutl\n") && etcd.contains("/usr/local/bin/etcdctl\n"),
            "{etcd}"
        );
    }

    #[test]
    fn another_binary_is_another_archive() {
        let directory = tempfile::tempdir().unwrap();
        let binary = directory.path().join("pause");
        let image = StandIn {
            reference: "a/b:1".to_owned(),
            binary: binary.clone(),
            path: "/pause".to_owned(),
            entrypoint: true,
            beside: Vec::new(),
        };
        durable_files::write_public(&binary, b"one").unwrap();
        let first = image.fingerprint().unwrap();
        assert!(first.starts_with("a_b_1-"), "{first}");
        durable_files::write_public(&binary, b"two").unwrap();
        assert_ne!(first, image.fingerprint().unwrap());
    }
}
