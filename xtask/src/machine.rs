//! What must be installed on this machine, who needs it, and its remedy. It installs Debian packages
//! when it may (root on Debian), and otherwise refuses with the whole list at once.

use std::cmp::Ordering;
use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::program;

/// What somebody is about to do; each needs all that the ones before it need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Purpose {
    /// Build the upstream binaries.
    Components,
    /// Build this workspace.
    Build,
    /// Build the images.
    Images,
    /// Run nodes on this machine.
    Nodes,
    /// Run the tests.
    Tests,
    /// Enforce network policies on nodes.
    Policies,
}

/// Something that a Debian package brings.
struct Requirement {
    name: &'static str,
    why: &'static str,
    package: &'static str,
    purpose: Purpose,
    present: fn() -> bool,
}

const REQUIREMENTS: [Requirement; 11] = [
    Requirement {
        name: "cc",
        why: "links the binaries and compiles aws-lc",
        package: "build-essential",
        purpose: Purpose::Build,
        present: || find("cc").is_some(),
    },
    Requirement {
        name: "protoc",
        why: "compiles etcd's protocol",
        package: "protobuf-compiler",
        purpose: Purpose::Build,
        present: || env::var_os("PROTOC").is_some() || find("protoc").is_some(),
    },
    Requirement {
        name: "google/protobuf/*.proto",
        why: "etcd's protocol imports them",
        package: "libprotobuf-dev",
        purpose: Purpose::Build,
        present: protobuf_includes,
    },
    Requirement {
        name: "buildah",
        why: "builds the images",
        package: "buildah",
        purpose: Purpose::Images,
        present: || find("buildah").is_some(),
    },
    Requirement {
        name: "runc",
        why: "buildah looks for it, and nodes start containers with it",
        package: "runc",
        purpose: Purpose::Images,
        present: || find("runc").is_some() || Path::new("/usr/sbin/runc").exists(),
    },
    Requirement {
        name: "nft",
        why: "Services and host ports of nodes are nftables rules",
        package: "nftables",
        purpose: Purpose::Nodes,
        present: || find("nft").is_some() || Path::new("/usr/sbin/nft").exists(),
    },
    Requirement {
        name: "ip",
        why: "nodes and tests have networks of their own",
        package: "iproute2",
        purpose: Purpose::Nodes,
        present: || find("ip").is_some(),
    },
    Requirement {
        name: "mkfs.ext4",
        why: "the robustness suite slows and fills a small disk",
        package: "e2fsprogs",
        purpose: Purpose::Tests,
        present: || find("mkfs.ext4").is_some() || Path::new("/usr/sbin/mkfs.ext4").exists(),
    },
    Requirement {
        name: "clang 19",
        why: "Cilium, which enforces policies in a test, compiles its programs for the kernel with it",
        package: "clang-19",
        purpose: Purpose::Policies,
        present: || Path::new("/usr/lib/llvm-19/bin/clang").exists(),
    },
    Requirement {
        name: "iptables",
        why: "Cilium marks by its rules what comes from a node itself",
        package: "iptables",
        purpose: Purpose::Policies,
        present: || find("iptables").is_some() || Path::new("/usr/sbin/iptables").exists(),
    },
    Requirement {
        name: "libfaketime",
        why: "a test runs our binaries under a wrong clock",
        package: "libfaketime",
        purpose: Purpose::Tests,
        present: || fake_clock().is_some(),
    },
];

/// The library that shows a process another clock, where Debian has it.
pub(crate) fn fake_clock() -> Option<PathBuf> {
    let libraries = Path::new("/usr/lib").join(format!("{}-linux-gnu", env::consts::ARCH));
    Some(libraries.join("faketime/libfaketime.so.1")).filter(|library| library.exists())
}

/// Makes sure that all is there for the purpose. What only others need is neither installed nor asked for.
pub(crate) fn prepare(purpose: Purpose, minimum_go: &str) -> Result<()> {
    let absent = || wanted(purpose).filter(|requirement| !(requirement.present)()).collect::<Vec<_>>();
    let mut missing = absent();
    if !missing.is_empty() && may_install() {
        install(&missing)?;
        missing = absent();
    }
    let mut lines: Vec<String> = missing.iter().map(|requirement| requirement.remedy()).collect();
    lines.extend(go_is_missing(minimum_go));
    if !missing.is_empty() {
        lines.push("(run by root on Debian, this command installs packages itself)".to_owned());
    }
    if !lines.is_empty() {
        bail!("missing on this machine:\n  {}", lines.join("\n  "));
    }
    Ok(())
}

fn wanted(purpose: Purpose) -> impl Iterator<Item = &'static Requirement> {
    REQUIREMENTS.iter().filter(move |requirement| requirement.purpose <= purpose)
}

impl Requirement {
    fn remedy(&self) -> String {
        format!("{} ({}): install the package {}", self.name, self.why, self.package)
    }
}

/// The program's path, if it is on PATH.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join(program)).find(|candidate| candidate.is_file())
}

fn protobuf_includes() -> bool {
    let beside_protoc = find("protoc").and_then(|protoc| Some(protoc.parent()?.parent()?.join("include")));
    let named = env::var_os("PROTOC_INCLUDE").map(PathBuf::from);
    [named, beside_protoc, Some(PathBuf::from("/usr/include")), Some(PathBuf::from("/usr/local/include"))]
        .into_iter()
        .flatten()
        .any(|include| include.join("google/protobuf/descriptor.proto").is_file())
}

fn may_install() -> bool {
    nix::unistd::geteuid().is_root() && Path::new("/etc/debian_version").exists() && find("apt-get").is_some()
}

fn install(missing: &[&Requirement]) -> Result<()> {
    let packages: Vec<_> = missing.iter().map(|requirement| requirement.package).collect();
    eprintln!("installing the Debian packages {}", packages.join(" "));
    program::output(program::program("apt-get").args(["update", "--quiet"]))?;
    let mut command = program::program("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    program::output(&mut command)?;
    Ok(())
}

/// Debian's own Go is often too old, so this one is never installed, only asked for.
fn go_is_missing(minimum: &str) -> Option<String> {
    let mut command = program::program("go");
    command.env("GOTOOLCHAIN", "local").args(["env", "GOVERSION"]);
    // Above any go.mod, whose demands would hide the version that is there.
    command.current_dir("/");
    let remedy = format!(
        "Go {minimum} or newer (builds the upstream binaries): install it from the Go project's download page"
    );
    let Ok(said) = program::output(&mut command) else { return Some(remedy) };
    let found = said.trim().trim_start_matches("go");
    (compare_versions(found, minimum) == Ordering::Less).then(|| format!("{remedy}; {found} is installed"))
}

/// Compares by numbers; a suffix such as "rc1" counts for nothing.
pub(crate) fn compare_versions(left: &str, right: &str) -> Ordering {
    let numbers = |version: &str| {
        let parts = version.split('.').map(|part| {
            let digits = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse().unwrap_or(0)
        });
        let mut numbers: Vec<u32> = parts.collect();
        numbers.resize(3, 0);
        numbers
    };
    numbers(left).cmp(&numbers(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_numbers() {
        assert_eq!(compare_versions("1.26.8", "1.26.0"), Ordering::Greater);
        assert_eq!(compare_versions("1.9.1", "1.26.0"), Ordering::Less);
        assert_eq!(compare_versions("1.26", "1.26.0"), Ordering::Equal);
        assert_eq!(compare_versions("1.27rc1", "1.26.0"), Ordering::Greater);
    }

    #[test]
    fn an_old_go_is_named_with_what_is_needed() {
        let remedy = go_is_missing("999.0.0").unwrap();
        assert!(remedy.starts_with("Go 999.0.0 or newer"), "{remedy}");
    }

    #[test]
    fn every_remedy_names_the_package() {
        for requirement in &REQUIREMENTS {
            assert!(requirement.remedy().ends_with(&format!("install the package {}", requirement.package)));
        }
    }

    #[test]
    fn whoever_starts_a_control_plane_gets_no_packages_of_tests() {
        let packages = |purpose| wanted(purpose).map(|requirement| requirement.package).collect::<Vec<_>>();
        assert_eq!(packages(Purpose::Build), ["build-essential", "protobuf-compiler", "libprotobuf-dev"]);
        assert!(packages(Purpose::Tests).contains(&"libfaketime"));
        assert!(!packages(Purpose::Tests).contains(&"clang-19"));
    }

    #[test]
    fn purposes_build_on_each_other() {
        assert!(
            Purpose::Components < Purpose::Build
                && Purpose::Build < Purpose::Images
                && Purpose::Images < Purpose::Nodes
                && Purpose::Nodes < Purpose::Tests
                && Purpose::Tests < Purpose::Policies
        );
    }
}
