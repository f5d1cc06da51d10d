//! Looks at the binaries before anything is started: there, executable, of a supported and common version.
//! Refuses to search: upstream's binaries lie in one directory, ours in another, both given.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use component_flags::{EtcdVersion, KubernetesVersion, VersionError};
use naming_contract::Component;
use process_control::{CaptureError, Spawn};

use crate::manifest::ComponentVersions;
use crate::plan::Plan;
use crate::settings::Settings;

/// Why the binaries cannot be used. Each text names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// No such file.
    #[error("there is no {}; {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// Where it could come from.
        remedy: &'static str,
    },
    /// A file that cannot be run.
    #[error("{} is not executable; make it so with chmod +x, or give the right file", path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// It does not tell its version.
    #[error("{} does not answer to --version; is it a binary for this machine?", path.display())]
    Mute {
        /// The file.
        path: PathBuf,
        /// What happened instead.
        #[source]
        source: CaptureError,
    },
    /// A version that cannot be used.
    #[error(
        "{} cannot be used; give --components a directory of supported binaries, `cargo xtask components` builds them",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// What was found and what is wanted.
        #[source]
        source: VersionError,
    },
    /// Binaries that do not belong together.
    #[error("{} is version {found}, but kube-apiserver is {wanted}; use binaries of one minor version", path.display())]
    Mixed {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: KubernetesVersion,
        /// The version of kube-apiserver.
        wanted: KubernetesVersion,
    },
}

/// A cold start of a 100 MiB binary from a slow disk.
const VERSION_LIMIT: Duration = Duration::from_secs(30);
const UPSTREAM_REMEDY: &str = "--components needs etcd, kube-apiserver, kube-controller-manager and kube-scheduler; \
                               `cargo xtask components` builds them";
const CLOUD_REMEDY: &str = "give --cloud-controller-manager the path of its binary";
const SUPERVISOR_REMEDY: &str =
    "it belongs beside the pilothouse binary; give its directory with --supervisors";

/// Checks upstream's binaries and asks their versions.
pub(crate) async fn check_components(settings: &Settings) -> Result<ComponentVersions, ComponentError> {
    if let Some(path) = &settings.cloud_controller_manager {
        check_executable(path, CLOUD_REMEDY)?;
    }
    let path = |component: Component| settings.components.join(component.name());
    for component in UPSTREAM {
        check_executable(&path(component), UPSTREAM_REMEDY)?;
    }
    let [etcd, apiserver, controller_manager, scheduler] = UPSTREAM.map(path);
    let (etcd, kubernetes, controller_manager_version, scheduler_version) = tokio::join!(
        version(&etcd, EtcdVersion::parse),
        version(&apiserver, KubernetesVersion::parse),
        version(&controller_manager, KubernetesVersion::parse),
        version(&scheduler, KubernetesVersion::parse),
    );
    let wanted = kubernetes?;
    let mut lowest = wanted;
    for (path, found) in [(controller_manager, controller_manager_version?), (scheduler, scheduler_version?)]
    {
        if found.minor() != wanted.minor() {
            return Err(ComponentError::Mixed { path, found, wanted });
        }
        lowest = lowest.min(found);
    }
    Ok(ComponentVersions { kubernetes: lowest, etcd: etcd? })
}

/// Checks that our own binaries are there.
pub(crate) fn check_supervisors(plan: &Plan) -> Result<(), ComponentError> {
    plan.instances.iter().try_for_each(|instance| check_executable(&instance.program, SUPERVISOR_REMEDY))
}

const UPSTREAM: [Component; 4] =
    [Component::Etcd, Component::KubeApiserver, Component::KubeControllerManager, Component::KubeScheduler];

fn check_executable(path: &Path, remedy: &'static str) -> Result<(), ComponentError> {
    let Ok(metadata) = path.metadata() else {
        return Err(ComponentError::Missing { path: path.to_owned(), remedy });
    };
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(ComponentError::NotExecutable { path: path.to_owned() })
    }
}

async fn version<T>(path: &Path, parse: fn(&str) -> Result<T, VersionError>) -> Result<T, ComponentError> {
    let spawn = Spawn::new(path).arguments(["--version"]);
    #[cfg(test)]
    let spawn = spawn.from_thread_that_outlives_it();
    // Boxed: it holds the buffers of two pipes, and there are four of it.
    let captured = Box::pin(process_control::capture(&spawn, VERSION_LIMIT))
        .await
        .map_err(|source| ComponentError::Mute { path: path.to_owned(), source })?;
    parse(&String::from_utf8_lossy(&captured.stdout))
        .map_err(|source| ComponentError::Version { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::settings::Requested;

    /// A directory of scripts that answer `--version` as upstream's binaries do.
    fn fakes(kubernetes: &str, scheduler: &str, etcd: &str) -> (TempDir, Settings) {
        let directory = TempDir::new().unwrap();
        for (name, output) in [
            ("etcd", etcd),
            ("kube-apiserver", kubernetes),
            ("kube-controller-manager", kubernetes),
            ("kube-scheduler", scheduler),
        ] {
            let path = directory.path().join(name);
            durable_files::write_private(&path, format!("#!/bin/sh\necho '{output}'\n").as_bytes()).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let requested = Requested { components: Some(directory.path().to_owned()), ..Requested::default() };
        let settings = requested.settle(None).unwrap();
        (directory, settings)
    }

    const KUBERNETES: &str = "Kubernetes v1.37.2";
    const ETCD: &str = "etcd Version: 3.7.3";

    #[tokio::test]
    async fn versions_are_read_from_the_binaries() {
        let (_directory, settings) = fakes(KUBERNETES, "Kubernetes v1.37.1", ETCD);
        let versions = check_components(&settings).await.unwrap().to_recorded();
        assert_eq!((versions.kubernetes.as_str(), versions.etcd.as_str()), ("1.37.1", "3.7.3"));
    }

    #[tokio::test]
    async fn what_is_missing_not_executable_old_mixed_or_something_else_is_named() {
        let (directory, settings) = fakes(KUBERNETES, KUBERNETES, ETCD);
        let scheduler = directory.path().join("kube-scheduler");
        fs::set_permissions(&scheduler, fs::Permissions::from_mode(0o644)).unwrap();
        let error = check_components(&settings).await.unwrap_err().to_string();
        assert!(error.contains("kube-scheduler is not executable"), "{error}");
        fs::remove_file(&scheduler).unwrap();
        let error = check_components(&settings).await.unwrap_err().to_string();
        assert!(error.contains("kube-scheduler; --components needs"), "{error}");

        let (_directory, settings) = fakes(KUBERNETES, "Kubernetes v1.36.0", ETCD);
        let error = check_components(&settings).await.unwrap_err().to_string();
        assert!(error.contains("1.36.0, but kube-apiserver is 1.37.2"), "{error}");

        for (kubernetes, etcd) in
            [("Kubernetes v1.30.0", ETCD), (KUBERNETES, "etcd Version: 3.5.9"), ("hello", ETCD)]
        {
            let (_directory, settings) = fakes(kubernetes, kubernetes, etcd);
            let error = check_components(&settings).await.unwrap_err();
            assert!(matches!(error, ComponentError::Version { .. }), "{error}");
        }
    }

    #[tokio::test]
    async fn a_cloud_controller_manager_must_be_there() {
        let (_directory, mut settings) = fakes(KUBERNETES, KUBERNETES, ETCD);
        settings.cloud_controller_manager = Some("/nowhere/ccm".into());
        let error = check_components(&settings).await.unwrap_err().to_string();
        assert!(error.contains("/nowhere/ccm; give --cloud-controller-manager"), "{error}");
    }
}
