//! Rule: naming-contract <- pure cores <- drivers <- bin. Cargo refuses circles; this refuses the
//! wrong way along a line, and I/O crates among the dependencies of a pure crate.

use super::Finding;
use super::pure_cores::{IMPURE_CRATES, PURE};
use crate::cargo_metadata::{Dependency, Package, Workspace};

pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &workspace.packages {
        let folder = package.folder(workspace);
        for dependency in package.dependencies.iter().filter(|dependency| dependency.kind.is_none()) {
            if let Some(message) = refusal(workspace, package, &folder, dependency) {
                let message = format!("{} depends on {}: {message}", package.name, dependency.name);
                findings.push(Finding::new(&format!("{folder}/Cargo.toml"), message));
            }
        }
    }
    findings
}

fn refusal(
    workspace: &Workspace,
    package: &Package,
    folder: &str,
    dependency: &Dependency,
) -> Option<&'static str> {
    let ours = workspace.packages.iter().find(|candidate| candidate.name == dependency.name);
    let Some(ours) = ours else {
        let impure = IMPURE_CRATES.contains(&dependency.name.replace('-', "_").as_str());
        return (is_pure(folder) && impure).then_some("a pure crate does no I/O");
    };
    let target = ours.folder(workspace);
    if package.name == "naming-contract" {
        Some("it is the bottom and depends on nothing of ours")
    } else if !target.starts_with("crates/") && !folder.starts_with("tests/") {
        Some("products depend on crates only")
    } else if is_pure(folder) && !is_pure(&target) {
        Some("a pure crate depends on pure ones only")
    } else {
        None
    }
}

/// Whether the whole crate is declared pure, not only modules of it.
fn is_pure(folder: &str) -> bool {
    PURE.iter().any(|(prefix, _)| prefix.trim_end_matches('/') == folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(packages: &[(&str, &[&str])]) -> Workspace {
        let package = |(folder, dependencies): &(&str, &[&str])| Package {
            name: folder.rsplit('/').next().unwrap().to_owned(),
            manifest_path: format!("/checkout/{folder}/Cargo.toml").into(),
            version: String::new(),
            targets: Vec::new(),
            dependencies: dependencies
                .iter()
                .map(|name| Dependency {
                    name: name.trim_start_matches("dev:").to_owned(),
                    kind: name.starts_with("dev:").then(|| "dev".to_owned()),
                })
                .collect(),
        };
        Workspace {
            packages: packages.iter().map(package).collect(),
            target_directory: "/checkout/target".into(),
            root: "/checkout".into(),
        }
    }

    #[test]
    fn the_right_way_passes() {
        let workspace = workspace(&[
            ("crates/naming-contract", &["serde", "dev:tokio"]),
            ("crates/kubeconfig", &["naming-contract", "serde_json"]),
            ("crates/supervision", &["naming-contract", "tokio"]),
            ("bin/pilothouse", &["supervision", "kubeconfig", "tokio"]),
        ]);
        assert_eq!(check(&workspace), []);
    }

    #[test]
    fn the_wrong_way_does_not() {
        for (packages, culprit) in [
            (
                &[("crates/naming-contract", &["kubeconfig"][..]), ("crates/kubeconfig", &[])][..],
                "naming-contract depends on kubeconfig",
            ),
            (
                &[("crates/kubeconfig", &["supervision"]), ("crates/supervision", &[])],
                "kubeconfig depends on supervision",
            ),
            (&[("crates/kubeconfig", &["etcd-client"])], "kubeconfig depends on etcd-client"),
            (
                &[("crates/supervision", &["pilothouse"]), ("bin/pilothouse", &[])],
                "supervision depends on pilothouse",
            ),
        ] {
            let findings = check(&workspace(packages));
            assert_eq!(findings.len(), 1, "{culprit}");
            assert!(findings[0].message.starts_with(culprit), "{}", findings[0].message);
        }
    }
}
