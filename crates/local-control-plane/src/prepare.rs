//! Everything between the flags and the first process: state directory, settings, binaries, leftovers, ports, tokens.
//! Refuses to start anything. What it finds wrong is an error that names the thing and the remedy.

use std::path::PathBuf;

use caller_identity::RegistryError;
use durable_files::FileError;
use process_control::ProcessIdentity;

use crate::callers;
use crate::cluster_name::ClusterName;
use crate::components::{ComponentError, check_components, check_supervisors};
use crate::display::Display;
use crate::leftovers;
use crate::manifest::{ComponentVersions, FORMAT_VERSION, Manifest, UpgradeError};
use crate::paths::{SELF, StatePaths};
use crate::pid_file::PidFile;
use crate::plan::{Blueprint, Extras, Plan};
use crate::port_check::{self, PortTaken, Reservation};
use crate::ports::PortBlock;
use crate::settings::{Requested, Settings, SettingsError};
use crate::state_directory::{StateDirectory, StateError, neighbours};

/// What `pilothouse up` was asked to do.
#[derive(Debug, Clone)]
pub struct UpRequest {
    /// The control plane's name.
    pub name: ClusterName,
    /// Its state directory.
    pub paths: StatePaths,
    /// What was given of what is remembered.
    pub requested: Requested,
    /// What is not remembered.
    pub extras: Extras,
    /// Where our own binaries lie.
    pub supervisors: PathBuf,
    /// The flags by which other commands find this control plane, with a space in front; empty for the default one.
    pub flags: String,
}

/// Why a control plane cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateError),
    /// The flags.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The binaries.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// Their versions, after what was run before.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// A port.
    #[error(transparent)]
    Port(#[from] PortTaken),
    /// No place for the ports of a new control plane.
    #[error(
        "no 64 consecutive ports are free between 20000 and 29999; stop other control planes, or what else listens there"
    )]
    NoPorts,
    /// A caller token.
    #[error(transparent)]
    Caller(#[from] RegistryError),
    /// A file below the state directory.
    #[error(transparent)]
    File(#[from] FileError),
}

/// Ready to be started.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) directory: StateDirectory,
    pub(crate) manifest: Manifest,
    pub(crate) plan: Plan,
    pub(crate) versions: ComponentVersions,
    pub(crate) flags: String,
    pub(crate) ports: Option<Reservation>,
}

/// Prepares; says on `display` what it has to wait for.
pub async fn prepare(request: UpRequest, display: &mut Display) -> Result<Prepared, PrepareError> {
    // Flags alone are judged first: a mistake in them leaves no trace on disk.
    let recorded = match crate::state_directory::read_manifest(&request.paths, &request.name) {
        Ok(manifest) => Some(manifest),
        Err(StateError::Absent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    let mut requested = request.requested;
    requested.components = requested.components.map(absolute);
    requested.cloud_controller_manager = requested.cloud_controller_manager.map(absolute);
    let (mut settings, mut versions) = judge(&requested, recorded.as_ref()).await?;

    let mut directory = StateDirectory::open_or_create(request.paths, &request.name)?;
    if directory.manifest() != recorded.as_ref() {
        // Another command ran and ended between that look and the lock, and what it left counts.
        (settings, versions) = judge(&requested, directory.manifest()).await?;
    }
    let paths = directory.paths().clone();
    create_directories(&paths)?;
    write_own_pid_file(&paths, false);
    leftovers::end(leftovers::find(&paths), &paths, |line| display.say(line)).await;

    let (manifest, ports) = manifest(&directory, request.name, settings)?;
    let plan = Plan::new(&Blueprint {
        name: &manifest.name,
        settings: &manifest.settings,
        block: manifest.port_block,
        paths: &paths,
        supervisors: &absolute(request.supervisors),
        extras: &request.extras,
    });
    check_supervisors(&plan)?;
    if let Some(taken) = port_check::first_taken(&plan) {
        return Err(taken.into());
    }
    directory.record(manifest.clone())?;
    for instance in &plan.instances {
        durable_files::create_private_directory(&paths.instance(&instance.name))?;
        // An old reason would be told as the new one.
        let _absent = std::fs::remove_file(paths.termination_message(&instance.name));
    }
    callers::enrol_all(&plan, &paths)?;
    Ok(Prepared { directory, manifest, plan, versions, flags: request.flags, ports })
}

/// What will run, and that it may run on what is recorded.
async fn judge(
    requested: &Requested,
    recorded: Option<&Manifest>,
) -> Result<(Settings, ComponentVersions), PrepareError> {
    let settings = requested.clone().settle(recorded.map(|manifest| &manifest.settings))?;
    let versions = check_components(&settings).await?;
    if let Some(recorded) = recorded.and_then(|manifest| manifest.versions.as_ref()) {
        versions.may_follow(recorded)?;
    }
    Ok((settings, versions))
}

/// Tells other commands which process runs this control plane, and whether everything was ready once.
pub(crate) fn write_own_pid_file(paths: &StatePaths, ready: bool) {
    let written = ProcessIdentity::own().map_err(|error| error.to_string()).and_then(|process| {
        PidFile { process, restarts: 0, ready }.write(paths, SELF).map_err(|error| error.to_string())
    });
    if let Err(error) = written {
        tracing::warn!(error, "no pid file of our own: `pilothouse status` cannot tell that we run");
    }
}

fn manifest(
    directory: &StateDirectory,
    name: ClusterName,
    settings: Settings,
) -> Result<(Manifest, Option<Reservation>), PrepareError> {
    let (port_block, ports, versions) = if let Some(known) = directory.manifest() {
        // If somebody has it, the look at the ports tells who.
        (known.port_block, Reservation::take(known.port_block), known.versions.clone())
    } else {
        let taken: Vec<PortBlock> =
            neighbours(directory.paths()).iter().map(|neighbour| neighbour.port_block).collect();
        let (block, reservation) =
            port_check::free_block(name.as_str(), &taken).ok_or(PrepareError::NoPorts)?;
        (block, Some(reservation), None)
    };
    Ok((Manifest { format_version: FORMAT_VERSION, name, port_block, settings, versions }, ports))
}

fn create_directories(paths: &StatePaths) -> Result<(), FileError> {
    for directory in paths.made_before_the_manifest().iter().chain([&paths.instance(SELF)]) {
        durable_files::create_private_directory(directory)?;
    }
    Ok(())
}

/// Supervisors may be started from another working directory later.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use tempfile::TempDir;

    use super::*;

    /// Upstream's binaries as scripts. `first`, which one of them runs before it tells its version, comes after the manifest
    /// was read and before the lock is taken.
    fn components(at: &std::path::Path, first: &str) {
        fs::create_dir(at).unwrap();
        for (name, said) in [
            ("etcd", "etcd Version: 3.7.3"),
            ("kube-apiserver", "Kubernetes v1.37.2"),
            ("kube-controller-manager", "Kubernetes v1.37.2"),
            ("kube-scheduler", "Kubernetes v1.37.2"),
        ] {
            let first = if name == "etcd" { first } else { "" };
            let script = format!("#!/bin/sh\n{first}\necho '{said}'\n");
            durable_files::write_private(&at.join(name), script.as_bytes()).unwrap();
            fs::set_permissions(at.join(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[tokio::test]
    async fn what_another_start_recorded_meanwhile_counts() {
        let parent = TempDir::new().unwrap();
        let place = |name: &str| parent.path().join(name);
        let name: ClusterName = "local".parse().unwrap();
        let requested = |etcd_members| Requested {
            etcd_members: Some(etcd_members),
            components: Some(place("components")),
            ..Requested::default()
        };
        let other = Manifest {
            format_version: FORMAT_VERSION,
            name: name.clone(),
            port_block: PortBlock::candidates("local").next().unwrap(),
            settings: requested(1).settle(None).unwrap(),
            versions: None,
        };
        let (recorded, state) = (place("recorded"), place("state"));
        durable_files::write_private(&recorded, &serde_json::to_vec(&other).unwrap()).unwrap();
        let paths = StatePaths::new(state.clone());
        let manifest = paths.manifest();
        components(
            &place("components"),
            &format!("mkdir -p {} && cp {} {}", state.display(), recorded.display(), manifest.display()),
        );
        let request = UpRequest {
            name,
            paths,
            requested: requested(3),
            extras: Extras::default(),
            supervisors: "/nowhere".into(),
            flags: String::new(),
        };
        let error = prepare(request, &mut Display::quiet()).await.unwrap_err();
        assert!(
            matches!(error, PrepareError::Settings(SettingsError::Unchangeable { flag: "--etcd", .. })),
            "{error}"
        );
        assert_eq!(fs::read(manifest).unwrap(), fs::read(recorded).unwrap());
    }
}
