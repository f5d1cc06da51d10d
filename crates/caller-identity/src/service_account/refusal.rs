//! Why a ServiceAccount token proves nothing, in words for its bearer and for the log.
//! Refuses to repeat what nobody has signed: header fields and broken tokens are not quoted.

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Not a token of a `ServiceAccount`.
    #[error("the token is no ServiceAccount token: {0}")]
    Malformed(&'static str),
    /// Signed by another method than Kubernetes' own.
    #[error("the token's signature is neither RS256 nor ES256 with a key id")]
    Algorithm,
    /// Signed by somebody else, or with a key that was withdrawn.
    #[error("the management cluster publishes no key of the token's key id")]
    KeyUnknown,
    /// Forged.
    #[error("the token's signature is wrong")]
    Signature,
    /// Of another cluster that has the same keys.
    #[error("the token's issuer is {found:?}, the management cluster's is {expected:?}")]
    Issuer {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// Meant for somebody else, or for others too.
    #[error(
        "the token's audience is not exactly {expected:?}; mount a projected token with that audience (and no other)"
    )]
    Audience {
        /// For whom it should be.
        expected: String,
    },
    /// From the future.
    #[error("the token is not valid yet; are the clocks right?")]
    NotYetValid,
    /// Over.
    #[error("the token has expired; kubelet renews the file, is it read anew?")]
    Expired,
    /// Of another namespace.
    #[error("the token is of namespace {found:?}, not of this release's")]
    Namespace {
        /// Of which.
        found: String,
    },
    /// Of a `ServiceAccount` that is none of ours.
    #[error("ServiceAccount {found:?} is none of release {release:?}")]
    ServiceAccount {
        /// Of which.
        found: String,
        /// Ours.
        release: String,
    },
    /// Made by hand, or with kubectl, without binding it to a Pod.
    #[error("the token is not bound to a Pod; only projected tokens of Pods prove anything")]
    NotOfPod,
    /// The Pod is gone.
    #[error("Pod {pod} does not exist (any more)")]
    PodGone {
        /// Which.
        pod: String,
    },
    /// Another Pod has its name now.
    #[error("Pod {pod} is another one than the token was made for")]
    PodReplaced {
        /// Which.
        pod: String,
    },
    /// The Pod does not run as that `ServiceAccount`.
    #[error("Pod {pod} does not run as the token's ServiceAccount")]
    PodOfAnother {
        /// Which.
        pod: String,
    },
    /// Its containers have ended for good.
    #[error("Pod {pod} has ended")]
    PodEnded {
        /// Which.
        pod: String,
    },
    /// It should be gone by now.
    #[error("Pod {pod} was deleted and its grace period is over")]
    PodDeleted {
        /// Which.
        pod: String,
    },
    /// The `ServiceAccount` is gone.
    #[error("ServiceAccount {name} does not exist (any more)")]
    ServiceAccountGone {
        /// Which.
        name: String,
    },
    /// Another one has its name now.
    #[error("ServiceAccount {name} is another one than the token was made for")]
    ServiceAccountReplaced {
        /// Which.
        name: String,
    },
}
