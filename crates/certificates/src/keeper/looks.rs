//! What a start waits for, as conditions: a published bundle, an issued leaf, shared keys.
//! Refuses to store; a look only finds.

use std::path::Path;

use conditions::{Condition, Sighting};

use crate::store::BundleError;
use crate::{
    Authority, AuthorityClient, FreshLeaf, LeafFacts, Profile, RuntimeDirectory, SharedKeySet, SharedKeys,
};

/// A CA's bundle lies in the published directory and was copied.
pub(super) struct BundlePublished<'a> {
    pub(super) authority: Authority,
    pub(super) published: &'a Path,
    pub(super) store: &'a RuntimeDirectory,
}

impl Condition for BundlePublished<'_> {
    type Output = ();

    fn awaits(&self) -> String {
        format!(
            "the trust bundle {} from the certificate-authority",
            self.published.join(self.authority.bundle()).display()
        )
    }

    async fn look(&mut self) -> Sighting<()> {
        match self.store.take_bundle(self.authority, self.published) {
            Ok(_new) => Sighting::Holds(()),
            // A start may use the copy of an earlier life: the authority may be away.
            Err(_) if self.store.has_bundle(self.authority) => Sighting::Holds(()),
            Err(BundleError::File(error)) if error.is_not_found() => {
                Sighting::NotYet("it is not published yet".into())
            }
            Err(error) => Sighting::NotYet(error.to_string()),
        }
    }
}

/// A usable leaf was issued.
pub(super) struct LeafIssued<'a> {
    pub(super) profile: Profile,
    pub(super) client: &'a AuthorityClient,
    pub(super) judge: &'a dyn Fn(&FreshLeaf) -> Result<LeafFacts, String>,
    pub(super) because: String,
}

impl Condition for LeafIssued<'_> {
    type Output = (FreshLeaf, LeafFacts);

    fn awaits(&self) -> String {
        format!("the certificate {} from the certificate-authority ({})", self.profile, self.because)
    }

    async fn look(&mut self) -> Sighting<(FreshLeaf, LeafFacts)> {
        match self.client.issue(self.profile).await {
            Ok(fresh) => match (self.judge)(&fresh) {
                Ok(facts) => Sighting::Holds((fresh, facts)),
                Err(why) => Sighting::NotYet(why),
            },
            Err(error) => Sighting::NotYet(error.explained()),
        }
    }
}

/// A shared key set was handed out.
pub(super) struct KeysHandedOut<'a> {
    pub(super) set: SharedKeySet,
    pub(super) client: &'a AuthorityClient,
}

impl Condition for KeysHandedOut<'_> {
    type Output = SharedKeys;

    fn awaits(&self) -> String {
        format!("the {} keys from the certificate-authority", self.set)
    }

    async fn look(&mut self) -> Sighting<SharedKeys> {
        match self.client.shared_keys(self.set, None).await {
            Ok(Some(keys)) => Sighting::Holds(keys),
            Ok(None) => Sighting::NotYet("it says that nothing changed".to_owned()),
            Err(error) => Sighting::NotYet(error.explained()),
        }
    }
}
