//! The argv and configuration files of each upstream component, per Kubernetes version; pure, from typed inputs.
//! Owns which flag is ours and which is the user's; refuses I/O and refuses a user's flag that would break the supervisor.

mod apiserver;
mod argument;
mod authentication;
mod cloud_controller_manager;
mod controller_manager;
mod encryption;
mod etcd;
mod leader_elected;
mod scheduler;
mod version;

pub use apiserver::{ApiserverFlags, EtcdClientFiles, ServiceAccountFiles, kube_apiserver};
pub use argument::ArgumentError;
pub use authentication::{ANONYMOUS_PATHS, authentication_configuration};
pub use cloud_controller_manager::{CloudControllerManagerFlags, cloud_controller_manager};
pub use controller_manager::{ControllerManagerFlags, kube_controller_manager};
pub use encryption::{EncryptionKey, EncryptionKeyError, encryption_configuration, encryption_keys};
pub use etcd::{EtcdFlags, InitialClusterState, TlsServerFiles, etcd};
pub use leader_elected::{LeaderElectedFlags, RequestHeader};
pub use scheduler::{SchedulerFlags, kube_scheduler};
pub use version::{EtcdVersion, KubernetesVersion, Release, VersionError};
