//! A disk that is full before, while and after a control plane starts: it is named, and nothing half-written stays.
#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "test code: a broken expectation is a failed test, and files are damaged in place as people and disks do it"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use end_to_end::{
    ControlPlane, assert_nothing_left, client, create_namespace, eventually, inside_namespaces, shell,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::api::Api;
use process_control::ChildEnding;

/// The smallest control plane.
const SMALL: [&str; 4] = ["--etcd=1", "--api-servers=1", "--controller-managers=1", "--schedulers=1"];
const READY_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_named_and_everything_goes_on_when_there_is_space_again() {
    let own_name = "a_full_disk_is_named_and_everything_goes_on_when_there_is_space_again";
    if !inside_namespaces(own_name, &["--mount"], Duration::from_secs(400)).await {
        return;
    }
    let mut plane = ControlPlane::planned(&SMALL);
    let state = plane.state_directory();
    let disk = Disk::mounted_at(&state, "16k").await;
    plane.refused(&[state.to_str().unwrap(), "disk is full", "free space"]).await;

    // Enough for everything but etcd, which takes 64 MB for its log at once.
    disk.resize("24m").await;
    plane.start();
    names_the_disk(&plane).await;
    disk.resize("1g").await;
    plane.until_ready(READY_LIMIT).await;
    create_namespace(&client(&plane.kubeconfig()).await, "kept").await;

    // Full while everything runs. etcd holds what it needs until its database has to grow, which may be at once; a new one
    // does not start into it.
    disk.fill();
    if let Some(pid) = plane.instance("etcd-0").await.pid {
        end(pid);
    }
    names_the_disk(&plane).await;
    let supervisors = plane.status().await.unwrap();
    assert!(supervisors.iter().all(|instance| instance.supervisor_pid.is_some()), "{supervisors:#?}");
    assert_eq!(plane.stop().await, ChildEnding::Exited(0), "{}", plane.output());
    assert_nothing_left(&state, Duration::from_secs(2)).await;
    // What ended has left some space.
    disk.fill();
    plane.refused(&[state.to_str().unwrap(), "disk is full", "free space"]).await;

    disk.free();
    plane.start();
    plane.until_ready(READY_LIMIT).await;
    let namespaces: Api<Namespace> = Api::all(client(&plane.kubeconfig()).await);
    assert!(namespaces.get_opt("kept").await.unwrap().is_some(), "what was written before is still there");
    assert_eq!(plane.stop().await, ChildEnding::Exited(0), "{}", plane.output());
}

async fn names_the_disk(plane: &ControlPlane) {
    let data = plane.state_directory().join("instances/etcd-0/data");
    let wanted = format!("the disk of {} is full", data.display());
    eventually("the status names the disk", Duration::from_secs(60), async || {
        let (_, table, error) = plane.command(&["status"]).await;
        if table.contains(&wanted) && table.contains("free space") {
            Ok(())
        } else {
            Err(format!("{table}{error}"))
        }
    })
    .await;
}

fn end(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    match nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL) {
        // It ended by itself in this moment.
        Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
        Err(error) => panic!("cannot kill {pid}: {error}"),
    }
}

/// A small file system of our own mount namespace; it vanishes with the last process in there.
struct Disk(PathBuf);

impl Disk {
    async fn mounted_at(directory: &Path, size: &str) -> Self {
        fs::create_dir(directory).unwrap();
        let path = directory.display();
        shell(&format!("mount -t tmpfs -o mode=0700,size={size} pilothouse-test {path}")).await;
        Self(directory.to_owned())
    }

    async fn resize(&self, size: &str) {
        shell(&format!("mount -o remount,size={size} {}", self.0.display())).await;
    }

    /// Until not one page is left.
    fn fill(&self) {
        let filler = self.0.join("run/filler");
        let mut filler = fs::File::options().create(true).append(true).open(filler).unwrap();
        let block = vec![0_u8; 4096];
        while filler.write_all(&block).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("run/filler")).unwrap();
    }
}

/// A broken expectation ends the test anywhere: with the disk still mounted, the directory below could not be removed.
impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = nix::mount::umount2(&self.0, nix::mount::MntFlags::MNT_DETACH) {
            println!("{} stays mounted: {error}", self.0.display());
        }
    }
}
