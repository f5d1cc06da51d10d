//! The table of what differs between the leader-elected components.
//! Refuses code: a difference that is not a value here is none.

use certificates::{Authority, KeysNeeded, Profile, SharedKeySet};
use component_runtime::Needs;
use health_endpoints::ReloadBehaviour::{self, NeedsRestart, Reloads, ReloadsLate};
use naming_contract::Component;
use supervision::{Configuration, GoodEndings};

/// Which leader-elected component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// kube-controller-manager.
    ControllerManager,
    /// kube-scheduler.
    Scheduler,
    /// Any cloud-controller-manager built on k8s.io/cloud-provider.
    CloudControllerManager,
}

/// Where all their leases are.
pub(crate) const LEASE_NAMESPACE: &str = "kube-system";

/// kube-controller-manager reads its root CA only at start, and all of them the CA in their kubeconfig: client-go reloads that
/// since 1.36, and then within five minutes. All CAs are replaced in step: one restart takes up both bundles.
const BUNDLES: &[(Authority, ReloadBehaviour)] =
    &[(Authority::Cluster, NeedsRestart), (Authority::FrontProxy, NeedsRestart)];
/// It reads its service-account key only at start, and only signs with it.
const CONTROLLER_MANAGER_KEYS: &[KeysNeeded] = &[
    KeysNeeded { set: SharedKeySet::ServiceAccount, reload: NeedsRestart, files: &[SharedKeySet::SIGNING] },
    KeysNeeded::all_of(SharedKeySet::ClusterSigning, Reloads),
];

impl Kind {
    /// Which component it is elsewhere.
    #[must_use]
    pub const fn component(self) -> Component {
        match self {
            Self::ControllerManager => Component::KubeControllerManager,
            Self::Scheduler => Component::KubeScheduler,
            Self::CloudControllerManager => Component::CloudControllerManager,
        }
    }

    /// The certificates and keys it needs.
    #[must_use]
    pub const fn needs(self) -> Needs {
        match self {
            Self::ControllerManager => Needs {
                leaves: &[
                    (Profile::ControllerManagerClient, ReloadsLate),
                    (Profile::ControllerManagerServing, Reloads),
                ],
                shared_keys: CONTROLLER_MANAGER_KEYS,
                bundles: BUNDLES,
            },
            Self::Scheduler => Needs {
                leaves: &[(Profile::SchedulerClient, ReloadsLate), (Profile::SchedulerServing, Reloads)],
                shared_keys: &[],
                bundles: BUNDLES,
            },
            Self::CloudControllerManager => Needs {
                leaves: &[
                    (Profile::CloudControllerManagerClient, ReloadsLate),
                    (Profile::CloudControllerManagerServing, Reloads),
                ],
                shared_keys: &[],
                bundles: BUNDLES,
            },
        }
    }

    /// How it is supervised. The controller managers do not handle SIGTERM; the scheduler does, but not in its first
    /// milliseconds.
    #[must_use]
    pub fn policy(self) -> Configuration {
        Configuration::new(GoodEndings::EXIT_ZERO_OR_SIGTERM)
    }

    /// The identity with which it, and we, speak to the API server.
    pub(crate) const fn client(self) -> Profile {
        match self {
            Self::ControllerManager => Profile::ControllerManagerClient,
            Self::Scheduler => Profile::SchedulerClient,
            Self::CloudControllerManager => Profile::CloudControllerManagerClient,
        }
    }

    /// The identity with which it serves.
    pub(crate) const fn serving(self) -> Profile {
        match self {
            Self::ControllerManager => Profile::ControllerManagerServing,
            Self::Scheduler => Profile::SchedulerServing,
            Self::CloudControllerManager => Profile::CloudControllerManagerServing,
        }
    }

    /// Where it says that it lives. The controller managers know no other path (/livez and /readyz are 404).
    pub(crate) const fn liveness_path(self) -> &'static str {
        match self {
            Self::Scheduler => "/livez",
            Self::ControllerManager | Self::CloudControllerManager => "/healthz",
        }
    }

    /// Where it says that it serves its purpose.
    pub(crate) const fn readiness_path(self) -> &'static str {
        match self {
            Self::Scheduler => "/readyz",
            Self::ControllerManager | Self::CloudControllerManager => "/healthz",
        }
    }

    /// Its lease's name, which `component-flags` does not let anybody change.
    pub(crate) const fn lease(self) -> &'static str {
        self.component().name()
    }
}
