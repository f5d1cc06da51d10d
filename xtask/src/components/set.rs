//! What is built together: the control plane of a release, or the tools of a purpose. It says which Go modules a set
//! consists of and where they keep their version. It builds nothing.

use anyhow::Result;

use super::go_module::GoModule;
use super::recipe::{Recipe, Source};
use super::release::{Release, pins};
use crate::machine::compare_versions;

/// Binaries that are wanted together in one directory.
pub(crate) struct ComponentSet {
    /// For people.
    pub(crate) title: String,
    /// The beginning of its directory's name.
    pub(crate) name: String,
    pub(crate) recipes: Vec<Recipe>,
    pub(crate) minimum_go: String,
}

/// Tools that a release of a control plane does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Tools {
    /// What a node runs: kubelet, kube-proxy, containerd, CNI plugins; and the cluster DNS.
    Node,
    /// What checks and installs the chart: helm-3, helm-4, helm-unittest, kubeconform.
    Chart,
    /// What enforces network policies on a node: Cilium's agent and CNI plugin, and its programs for the kernel as source.
    Policies,
}

const PAUSE_VERSION: &str = "1.0.0";
const KUBERNETES_TAGS: &str = "selinux,notest,grpcnotrace";

/// Quick ones first.
const NODE: [Source; 4] = [
    Source {
        module: "github.com/containernetworking/plugins",
        version_variable: "github.com/containernetworking/plugins/pkg/utils/buildversion.BuildVersion",
        ..Source::folder("cni-plugins")
    },
    Source {
        module: "github.com/containerd/containerd/v2",
        version_variable: "github.com/containerd/containerd/v2/version.Version",
        ..Source::folder("containerd")
    },
    Source {
        module: "k8s.io/kubernetes",
        is_kubernetes: true,
        tags: KUBERNETES_TAGS,
        ..Source::folder("kubernetes-node-1.37")
    },
    Source { module: "github.com/coredns/coredns", ..Source::folder("coredns") },
];

const PAUSE: Source =
    Source { own_version: PAUSE_VERSION, version_variable: "main.version", ..Source::folder("pause") };

const CHART: [Source; 4] = [
    Source {
        module: "github.com/yannh/kubeconform",
        version_variable: "main.version",
        ..Source::folder("kubeconform")
    },
    Source {
        module: "helm.sh/helm/v4",
        version_variable: "helm.sh/helm/v4/internal/version.version",
        binary: "helm-4",
        ..Source::folder("helm-4")
    },
    Source {
        module: "helm.sh/helm/v3",
        version_variable: "helm.sh/helm/v3/internal/version.version",
        // Otherwise it takes itself for one of Kubernetes 1.20 and refuses charts that need a newer one.
        kubernetes_variables: &["helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/lint/rules"],
        binary: "helm-3",
        ..Source::folder("helm-3")
    },
    Source {
        module: "github.com/helm-unittest/helm-unittest",
        version_variable: "github.com/helm-unittest/helm-unittest/internal/build.version",
        kubernetes_variables: &["helm.sh/helm/v3/pkg/chartutil"],
        ..Source::folder("helm-unittest")
    },
];

const POLICIES: [Source; 1] = [Source {
    module: "github.com/cilium/cilium",
    version_variable: "github.com/cilium/cilium/pkg/version.ciliumVersion",
    data: "bpf",
    ..Source::folder("cilium")
}];

impl ComponentSet {
    /// All that a control plane of this release consists of.
    pub(crate) fn of_release(release: &Release) -> Result<Self> {
        Ok(Self {
            title: release.to_string(),
            name: release.kubernetes_version.clone(),
            recipes: Recipe::all(release)?,
            minimum_go: release.minimum_go(),
        })
    }

    /// The tools of a purpose.
    pub(crate) fn of_tools(tools: Tools) -> Result<Self> {
        let (title, name, sources): (_, _, Vec<&Source>) = match tools {
            Tools::Node => ("a node", "node", [&PAUSE].into_iter().chain(&NODE).collect()),
            Tools::Chart => ("the chart's tools", "chart", CHART.iter().collect()),
            Tools::Policies => ("what enforces policies", "policies", POLICIES.iter().collect()),
        };
        let mut recipes = Vec::new();
        let mut minimum_go = String::new();
        for source in sources {
            let module = GoModule::read(&pins().join(source.folder))?;
            recipes.extend(Recipe::of_source(source, &module)?);
            if compare_versions(&minimum_go, &module.go).is_lt() {
                minimum_go = module.go;
            }
        }
        Ok(Self { title: title.to_owned(), name: name.to_owned(), recipes, minimum_go })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tools: Tools) -> Vec<String> {
        ComponentSet::of_tools(tools).unwrap().recipes.into_iter().map(|recipe| recipe.name).collect()
    }

    #[test]
    fn sets_hold_what_they_promise() {
        assert_eq!(names(Tools::Chart), ["kubeconform", "helm-4", "helm-3", "helm-unittest"]);
        assert_eq!(names(Tools::Policies), ["bpf", "cilium-agent", "cilium-cni"]);
        let node = names(Tools::Node);
        for name in
            ["kubelet", "kube-proxy", "containerd", "containerd-shim-runc-v2", "ctr", "coredns", "pause"]
        {
            assert!(node.iter().any(|known| known == name), "{name} is missing in {node:?}");
        }
        for plugin in ["ptp", "host-local", "loopback", "portmap"] {
            assert!(node.iter().any(|known| known == plugin), "{plugin} is missing in {node:?}");
        }
    }

    #[test]
    fn the_node_is_of_the_default_control_plane_version() {
        let release = Release::pinned(super::super::DEFAULT_KUBERNETES).unwrap();
        let set = ComponentSet::of_tools(Tools::Node).unwrap();
        let kubelet = set.recipes.iter().find(|recipe| recipe.name == "kubelet").unwrap();
        assert_eq!(kubelet.version, release.kubernetes_version);
    }
}
