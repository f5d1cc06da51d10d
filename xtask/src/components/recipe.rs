//! How each binary is built: its Go package, flags, and the fingerprint of all that decides what
//! comes out. It builds nothing.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::go_module::GoModule;
use super::release::{Release, pins};

/// Where Kubernetes keeps the version that `--version` and /version tell.
const VERSION_PACKAGES: [&str; 2] = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];

/// The tags of upstream's own release builds: without them the linker keeps gRPC's tracing, and with it all methods.
const KUBERNETES_TAGS: &str = "selinux,notest,grpcnotrace";

#[derive(Clone)]
pub(crate) struct Recipe {
    /// The binary's file name.
    pub(crate) name: String,
    pub(crate) version: String,
    /// The folder of the go.mod.
    pub(crate) folder: PathBuf,
    /// An import path or, for our fake cloud controller manager, a file; for a copy, the folder below the module.
    pub(crate) package: String,
    /// The module of which a folder is copied as it is, where nothing is to be built.
    pub(crate) copied_from: &'static str,
    pub(crate) linker_flags: String,
    pub(crate) tags: &'static str,
    /// The directory below the cache's that holds it: project, version and fingerprint.
    pub(crate) built_in: String,
}

/// One Go module of which some programs are wanted, and how they are told their version.
pub(crate) struct Source {
    /// The folder below tests/components/.
    pub(crate) folder: &'static str,
    /// The module whose version counts; empty for a program of our own.
    pub(crate) module: &'static str,
    /// The version of a program of our own, in the folder's main.go.
    pub(crate) own_version: &'static str,
    /// The variable that holds the version, if the linker must set it.
    pub(crate) version_variable: &'static str,
    /// Packages whose `k8sVersionMajor` and `k8sVersionMinor` the linker must set to those of client-go.
    pub(crate) kubernetes_variables: &'static [&'static str],
    pub(crate) is_kubernetes: bool,
    pub(crate) tags: &'static str,
    /// The only binary's name, where upstream's does not tell which one it is.
    pub(crate) binary: &'static str,
    /// A folder of the module that its programs read when they run.
    pub(crate) data: &'static str,
}

impl Source {
    /// A folder, with nothing special about it.
    pub(crate) const fn folder(folder: &'static str) -> Self {
        Self {
            folder,
            module: "",
            own_version: "",
            version_variable: "",
            kubernetes_variables: &[],
            is_kubernetes: false,
            tags: "",
            binary: "",
            data: "",
        }
    }

    fn linker_flags(&self, module: &GoModule, version: &str) -> Result<String> {
        if self.is_kubernetes {
            return Ok(kubernetes_linker_flags(version));
        }
        let mut flags = "-s -w".to_owned();
        if !self.version_variable.is_empty() {
            // Writing to a String cannot fail.
            let _ = write!(flags, " -X {}=v{version}", self.version_variable);
        }
        for package in self.kubernetes_variables {
            let client = module.version_of("k8s.io/client-go")?;
            let minor = client.split('.').nth(1).unwrap_or_default();
            let _ = write!(flags, " -X {package}.k8sVersionMajor=1 -X {package}.k8sVersionMinor={minor}");
        }
        Ok(flags)
    }
}

impl Recipe {
    /// Every program of a module that is pinned for a purpose of its own.
    pub(crate) fn of_source(source: &Source, module: &GoModule) -> Result<Vec<Self>> {
        let own = source.module.is_empty();
        let version = if own { source.own_version.to_owned() } else { module.version_of(source.module)? };
        let linker_flags = source.linker_flags(module, &version)?;
        let second = module.folder.join(if own { "main.go" } else { "go.sum" });
        let print = fingerprint(
            &[&module.folder.join("go.mod"), &second],
            &format!("{linker_flags} {}", source.tags),
        )?;
        let built_in = format!("{}-{version}-{print}", source.folder);
        if own {
            let package = module.folder.join("main.go").to_string_lossy().into_owned();
            return Ok(vec![Self {
                name: source.folder.to_owned(),
                version,
                folder: module.folder.clone(),
                package,
                linker_flags,
                tags: source.tags,
                built_in,
                copied_from: "",
            }]);
        }
        let mut recipes = recipes(module, &version, &linker_flags, source.tags, &built_in);
        if let ([only], false) = (recipes.as_mut_slice(), source.binary.is_empty()) {
            source.binary.clone_into(&mut only.name);
        }
        if let (Some(first), false) = (recipes.first(), source.data.is_empty()) {
            let (name, package) = (source.data.to_owned(), source.data.to_owned());
            recipes.insert(0, Self { name, package, copied_from: source.module, ..first.clone() });
        }
        Ok(recipes)
    }

    /// Every binary of a release, the quick ones first.
    pub(crate) fn all(release: &Release) -> Result<Vec<Self>> {
        let mut recipes = etcd(release)?;
        recipes.extend(kubernetes(release)?);
        Ok(recipes)
    }
}

fn etcd(release: &Release) -> Result<Vec<Recipe>> {
    let module = &release.etcd;
    let linker_flags = "-s -w".to_owned();
    let fingerprint =
        fingerprint(&[&module.folder.join("go.mod"), &module.folder.join("go.sum")], &linker_flags)?;
    let built_in = format!("etcd-{}-{fingerprint}", release.etcd_version);
    Ok(recipes(module, &release.etcd_version, &linker_flags, "", &built_in))
}

fn kubernetes(release: &Release) -> Result<Vec<Recipe>> {
    let module = &release.kubernetes;
    let version = &release.kubernetes_version;
    let fake = pins().join("cloud-controller-manager-fake/main.go");
    let linker_flags = kubernetes_linker_flags(version);
    let inputs = [&module.folder.join("go.mod"), &module.folder.join("go.sum"), &fake];
    let fingerprint = fingerprint(&inputs, &format!("{linker_flags} {KUBERNETES_TAGS}"))?;
    let built_in = format!("kubernetes-{version}-{fingerprint}");
    let mut recipes = recipes(module, version, &linker_flags, KUBERNETES_TAGS, &built_in);
    // Built within the same module, so that its framework is always of the API server's version.
    recipes.push(Recipe {
        name: "cloud-controller-manager".to_owned(),
        version: version.clone(),
        folder: module.folder.clone(),
        package: fake.to_string_lossy().into_owned(),
        linker_flags,
        tags: KUBERNETES_TAGS,
        built_in,
        copied_from: "",
    });
    Ok(recipes)
}

fn recipes(
    module: &GoModule,
    version: &str,
    linker_flags: &str,
    tags: &'static str,
    built_in: &str,
) -> Vec<Recipe> {
    let recipe = |package: &String| Recipe {
        name: binary_name(package),
        version: version.to_owned(),
        folder: module.folder.clone(),
        package: package.clone(),
        linker_flags: linker_flags.to_owned(),
        tags,
        built_in: built_in.to_owned(),
        copied_from: "",
    };
    module.tools.iter().map(recipe).collect()
}

/// The last element of the import path that is not a major version; two are named otherwise.
fn binary_name(package: &str) -> String {
    match package {
        "go.etcd.io/etcd/server/v3" => return "etcd".to_owned(),
        "github.com/cilium/cilium/daemon" => return "cilium-agent".to_owned(),
        _ => {}
    }
    let is_major = |element: &str| {
        element.strip_prefix('v').is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
    };
    package.rsplit('/').find(|element| !is_major(element)).unwrap_or(package).to_owned()
}

fn kubernetes_linker_flags(version: &str) -> String {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut flags = "-s -w".to_owned();
    for package in VERSION_PACKAGES {
        for (variable, value) in [
            ("gitVersion", format!("v{version}").as_str()),
            ("gitMajor", major),
            ("gitMinor", minor),
            ("gitTreeState", "clean"),
        ] {
            // Writing to a String cannot fail.
            let _ = write!(flags, " -X {package}.{variable}={value}");
        }
    }
    flags
}

/// Twelve hexadecimal digits over the contents of the files and the flags.
fn fingerprint(files: &[&PathBuf], flags: &str) -> Result<String> {
    let mut hash = Sha256::new();
    for file in files {
        let content = read(file)?;
        // The length keeps content from moving between two files unseen.
        hash.update(content.len().to_be_bytes());
        hash.update(content);
    }
    hash.update(flags);
    let mut digits = String::new();
    for byte in &hash.finalize()[..6] {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{byte:02x}");
    }
    Ok(digits)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binaries_are_named_as_upstream_names_them() {
        assert_eq!(binary_name("k8s.io/kubernetes/cmd/kube-apiserver"), "kube-apiserver");
        assert_eq!(binary_name("go.etcd.io/etcd/etcdctl/v3"), "etcdctl");
        assert_eq!(binary_name("go.etcd.io/etcd/server/v3"), "etcd");
    }

    #[test]
    fn a_release_has_all_that_a_control_plane_needs() {
        let recipes = Recipe::all(&Release::pinned("1.37").unwrap()).unwrap();
        let names: Vec<_> = recipes.iter().map(|recipe| recipe.name.as_str()).collect();
        for name in [
            "etcd",
            "etcdctl",
            "etcdutl",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-scheduler",
            "kubectl",
            "cloud-controller-manager",
        ] {
            assert!(names.contains(&name), "{name} is missing in {names:?}");
        }
    }

    #[test]
    fn the_version_is_linked_in() {
        let flags = kubernetes_linker_flags("1.37.2");
        assert!(flags.contains("-X k8s.io/component-base/version.gitVersion=v1.37.2"));
        assert!(flags.contains("-X k8s.io/client-go/pkg/version.gitMinor=37"));
    }

    #[test]
    fn any_change_of_an_input_changes_the_fingerprint() {
        let directory = tempfile::tempdir().unwrap();
        let (first, second) = (directory.path().join("go.mod"), directory.path().join("go.sum"));
        let with = |mod_text: &str, sum_text: &str, flags: &str| {
            put(&first, mod_text);
            put(&second, sum_text);
            fingerprint(&[&first, &second], flags).unwrap()
        };
        let original = with("ab", "cd", "-s");
        assert_eq!(original, with("ab", "cd", "-s"));
        assert_ne!(original, with("ab", "ce", "-s"));
        assert_ne!(original, with("abc", "d", "-s"));
        assert_ne!(original, with("ab", "cd", "-w"));
    }

    #[expect(clippy::disallowed_methods, reason = "a fixture in a temporary directory")]
    fn put(path: &Path, text: &str) {
        fs::write(path, text).unwrap();
    }
}
