//! Keeps one instance's bundles, leaves and shared keys: obtains them at start, renews them while it runs, tells who
//! must take up what. Refuses to restart anything: it sends changes to whoever does.

mod kept;
mod looks;
mod outbox;

use std::path::PathBuf;
use std::time::Duration;

use conditions::{Pace, Progress, wait_for};
use durable_files::FileError;
use health_endpoints::{ReloadBehaviour, StatusBoard};
use time::OffsetDateTime;
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::kept::KeptLeaf;
use self::looks::{BundlePublished, KeysHandedOut, LeafIssued};
use self::outbox::Outbox;
use crate::store::FILE_LIMIT;
use crate::{
    Authority, AuthorityClient, FreshLeaf, KeysNeeded, LeafFacts, Observed, Profile, Reason,
    RuntimeDirectory, SharedKeySet, Verdict, verdict,
};

/// How often the clock and the published bundles are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the authority is asked whether names or shared keys changed.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// When it is asked first, and again after it did not answer.
const FIRST_ASK_AFTER: Duration = Duration::from_secs(2);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// A whole control plane waits for its certificates while it starts; an identity may be made known much later.
const PACE: Pace = Pace { longest: Duration::from_secs(5), ..Pace::EAGER };

/// What one instance needs, and where it lies.
#[derive(Debug, Clone)]
pub struct KeeperConfiguration {
    /// The instance's name: the CN of its serving leaves.
    pub instance: String,
    /// https URL of the certificate-authority.
    pub authority_url: String,
    /// File with the token by which the instance proves itself.
    pub caller_token_file: PathBuf,
    /// Directory in which the certificate-authority publishes trust bundles.
    pub published_trust: PathBuf,
    /// Where everything is kept.
    pub runtime_directory: PathBuf,
    /// The leaves, and who takes up renewed ones how.
    pub leaves: Vec<(Profile, ReloadBehaviour)>,
    /// The shared keys, and how they are taken up.
    pub shared_keys: Vec<KeysNeeded>,
    /// The trust bundles that the child reads, and how. Those needed for the leaves are kept anyway.
    pub bundles: Vec<(Authority, ReloadBehaviour)>,
}

/// Something on disk is another than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub what: Changed,
    /// How whoever uses it takes it up.
    pub reload: ReloadBehaviour,
    /// When 80 % of the life of what was replaced is over: a restart must not come later.
    pub restart_by: Option<OffsetDateTime>,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    /// A leaf was replaced.
    Leaf(Profile),
    /// A trust bundle was replaced.
    Bundle(Authority),
    /// A shared key set has a new generation, and a file that the child reads is another.
    Keys(SharedKeySet),
}

/// Why nothing can be kept, ever, with these settings.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The runtime directory cannot be used.
    #[error(transparent)]
    Store(#[from] FileError),
}

/// Keeps what one instance needs.
#[derive(Debug)]
pub struct CertificateKeeper {
    configuration: KeeperConfiguration,
    store: RuntimeDirectory,
    client: AuthorityClient,
    board: StatusBoard,
    /// Every CA whose bundle is needed: the child's, those of the leaves, and the one of the authority's own server.
    bundles: Vec<Authority>,
}

impl CertificateKeeper {
    /// A keeper that writes what it knows to `board`. Nothing is touched yet.
    #[must_use]
    pub fn new(configuration: KeeperConfiguration, board: StatusBoard) -> Self {
        let mut bundles: Vec<Authority> = [Authority::Cluster]
            .into_iter()
            .chain(configuration.bundles.iter().map(|(authority, _)| *authority))
            .chain(configuration.leaves.iter().map(|(profile, _)| profile.authority()))
            .collect();
        bundles.sort_unstable();
        bundles.dedup();
        let store = RuntimeDirectory::new(&configuration.runtime_directory);
        let client = AuthorityClient::new(
            &configuration.authority_url,
            &configuration.caller_token_file,
            store.trust(Authority::Cluster),
        );
        Self { configuration, store, client, board, bundles }
    }

    /// Where everything lies.
    #[must_use]
    pub fn directory(&self) -> &RuntimeDirectory {
        &self.store
    }

    /// Every CA whose bundle must be published before anything can be obtained.
    #[must_use]
    pub fn bundles(&self) -> &[Authority] {
        &self.bundles
    }

    /// Waits until every bundle, leaf and key set lies on disk and can be used. What an earlier life left is used
    /// again, so that the certificate-authority may be away. Dropping the future cancels the wait.
    pub async fn obtain(&self, progress: &dyn Progress) -> Result<(), KeeperError> {
        self.store.create()?;
        for authority in &self.bundles {
            let published = &self.configuration.published_trust;
            let mut condition = BundlePublished { authority: *authority, published, store: &self.store };
            wait_for(&mut condition, PACE, progress).await;
        }
        for (profile, reload) in &self.configuration.leaves {
            self.obtain_leaf(*profile, *reload, progress).await?;
        }
        let mut answered = true;
        for needed in &self.configuration.shared_keys {
            let set = needed.set;
            let known = self.store.key_generation(set);
            if known.is_none() {
                let keys = wait_for(&mut KeysHandedOut { set, client: &self.client }, PACE, progress).await;
                self.store.write_keys(set, &keys)?;
            } else if answered {
                // What an earlier life left may be from before a rotation. Asked once: the authority may be away.
                answered = self.renew_keys(needed, &mut None).await;
            }
            self.tell_keys(needed);
        }
        Ok(())
    }

    /// Others tell for themselves what they have taken up.
    fn tell_keys(&self, needed: &KeysNeeded) {
        if needed.reload == ReloadBehaviour::Reloads
            && let Some(generation) = self.store.key_generation(needed.set)
        {
            self.board.key_generation(needed.set.name(), generation);
        }
    }

    async fn obtain_leaf(
        &self,
        profile: Profile,
        reload: ReloadBehaviour,
        progress: &dyn Progress,
    ) -> Result<(), KeeperError> {
        let mut leaf = KeptLeaf::new(profile, reload, self.store.observe(profile));
        let expected = kept::expected(profile, &self.configuration.instance, None);
        if let Verdict::Unusable(reason) = verdict(&leaf.observed, &expected, OffsetDateTime::now_utc()) {
            let judge = |fresh: &FreshLeaf| self.judge(profile, fresh);
            let because = reason.to_string();
            let mut condition = LeafIssued { profile, client: &self.client, judge: &judge, because };
            let (fresh, facts) = wait_for(&mut condition, PACE, progress).await;
            self.store.write_leaf(profile, &fresh.certificate_pem, &fresh.key_pem)?;
            leaf.replaced(facts);
        }
        self.tell(&leaf);
        Ok(())
    }

    /// Keeps everything fresh and sends what changed, after it is on disk. Never returns; dropping the future ends it.
    /// A full channel holds nothing up: changes that need a restart wait for their place, others are dropped.
    pub async fn keep(&self, changes: mpsc::Sender<Change>) -> std::convert::Infallible {
        let mut changes = Outbox::new(changes);
        let mut leaves: Vec<KeptLeaf> = self
            .configuration
            .leaves
            .iter()
            .map(|(profile, reload)| KeptLeaf::new(*profile, *reload, self.store.observe(*profile)))
            .collect();
        // Not at once: a whole control plane starts now, and has better things to do.
        let mut next_ask = Instant::now() + FIRST_ASK_AFTER;
        let mut no_keys_before = Instant::now();
        loop {
            if self.follow_bundles(&mut changes) {
                for leaf in &mut leaves {
                    leaf.observed = self.store.observe(leaf.profile);
                }
            }
            if Instant::now() >= next_ask {
                let answered = self.ask(&mut leaves, &mut changes).await;
                next_ask = Instant::now() + if answered { ASK_EVERY } else { ASK_AGAIN_AFTER };
            }
            if Instant::now() >= no_keys_before && !self.take_published_keys(&mut changes).await {
                no_keys_before = Instant::now() + ASK_AGAIN_AFTER;
            }
            self.follow_signers(&mut leaves);
            for leaf in &mut leaves {
                if let Some(reason) = leaf.due(&self.configuration.instance, OffsetDateTime::now_utc()) {
                    self.renew(leaf, &reason, &mut changes).await;
                }
            }
            changes.deliver();
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes over bundles that were published anew; true if any was.
    fn follow_bundles(&self, changes: &mut Outbox) -> bool {
        let mut any = false;
        for authority in &self.bundles {
            match self.store.take_bundle(*authority, &self.configuration.published_trust) {
                Ok(false) => {}
                // The last copy is good until a better one is published.
                Err(error) => tracing::debug!(%authority, %error, "trust bundle not taken over"),
                Ok(true) => {
                    any = true;
                    tracing::info!(%authority, "a new trust bundle was published");
                    let read_by_child =
                        self.configuration.bundles.iter().find(|(known, _)| known == authority);
                    if let Some((_, reload)) = read_by_child {
                        changes.put(Changed::Bundle(*authority), *reload, None);
                    }
                }
            }
        }
        any
    }

    /// Learns who signs now.
    fn follow_signers(&self, leaves: &mut [KeptLeaf]) {
        let published = RuntimeDirectory::published_generations(&self.configuration.published_trust);
        for leaf in leaves {
            leaf.signer = published.signers.get(leaf.profile.authority().name()).cloned();
        }
    }

    /// Asks which names leaves should carry and which generation of keys is current; false if anything went unanswered.
    async fn ask(&self, leaves: &mut [KeptLeaf], changes: &mut Outbox) -> bool {
        let mut answered = true;
        for leaf in leaves {
            match self.client.preview(leaf.profile).await {
                Ok(preview) => leaf.names = Some(preview.contents.names),
                Err(error) => {
                    answered = false;
                    tracing::debug!(profile = %leaf.profile, error = error.explained(), "names not confirmed");
                }
            }
        }
        for needed in &self.configuration.shared_keys {
            answered &= self.renew_keys(needed, &mut Some(&mut *changes)).await;
        }
        answered
    }

    /// Asks for the sets of which a higher generation was published; false if that did not bring them.
    async fn take_published_keys(&self, changes: &mut Outbox) -> bool {
        let published = RuntimeDirectory::published_generations(&self.configuration.published_trust);
        let mut answered = true;
        for needed in &self.configuration.shared_keys {
            if published.has_news(needed.set, self.store.key_generation(needed.set)) {
                answered &= self.renew_keys(needed, &mut Some(&mut *changes)).await;
                // A replica that has not heard of it yet; or somebody wrote a number that nobody has.
                answered &= !published.has_news(needed.set, self.store.key_generation(needed.set));
            }
        }
        answered
    }

    /// Takes over the present generation of a set, if it is another than ours; false if that was not answered.
    async fn renew_keys(&self, needed: &KeysNeeded, changes: &mut Option<&mut Outbox>) -> bool {
        let set = needed.set;
        let keys = match self.client.shared_keys(set, self.store.key_generation(set)).await {
            Ok(None) => return true,
            Ok(Some(keys)) => keys,
            Err(error) => {
                tracing::debug!(%set, error = error.explained(), "shared keys not confirmed");
                return false;
            }
        };
        let concerns_child = self.store.would_change(set, needed.files, &keys);
        if let Err(error) = self.store.write_keys(set, &keys) {
            tracing::warn!(%set, %error, "shared keys not stored; tried again");
            return false;
        }
        tracing::info!(%set, generation = keys.generation, "shared keys replaced");
        self.tell_keys(needed);
        if let Some(changes) = changes.as_mut().filter(|_| concerns_child) {
            changes.put(Changed::Keys(set), needed.reload, None);
        }
        true
    }

    async fn renew(&self, leaf: &mut KeptLeaf, reason: &Reason, changes: &mut Outbox) {
        let profile = leaf.profile;
        let replaced = *reason == Reason::AuthorityReplaced;
        let signer = leaf.signer.as_deref().filter(|_| replaced);
        match self.issue_and_store(profile, signer).await {
            Ok(facts) => {
                tracing::info!(%profile, %reason, not_after = %facts.not_after, "certificate renewed");
                let restart_by = leaf.replaced(facts);
                self.tell(leaf);
                if replaced
                    && profile.is_of_an_api_servers_client()
                    && leaf.reload == ReloadBehaviour::ReloadsLate
                {
                    // The deadline would be that of the old leaf's life, which nobody may trust any more long before.
                    changes.put(Changed::Leaf(profile), ReloadBehaviour::NeedsRestart, None);
                } else {
                    changes.put(Changed::Leaf(profile), leaf.reload, restart_by);
                }
            }
            Err(why) => {
                if leaf.failed(why.clone()) {
                    tracing::warn!(%profile, %reason, why, "certificate not renewed; tried again");
                }
                self.tell(leaf);
            }
        }
    }

    /// `signer` is the one that it must be.
    async fn issue_and_store(&self, profile: Profile, signer: Option<&str>) -> Result<LeafFacts, String> {
        let fresh = self.client.issue(profile).await.map_err(|error| error.explained())?;
        let facts = self.judge(profile, &fresh)?;
        if signer.is_some() && signer != facts.issued_by.as_deref() {
            return Err(
                "a replica of the certificate-authority has not heard yet that another CA signs".to_owned()
            );
        }
        self.store
            .write_leaf(profile, &fresh.certificate_pem, &fresh.key_pem)
            .map_err(|error| error.to_string())?;
        Ok(facts)
    }

    /// Whether a leaf that was just issued can be used here and now.
    fn judge(&self, profile: Profile, fresh: &FreshLeaf) -> Result<LeafFacts, String> {
        let bundle = durable_files::read_limited(&self.store.trust(profile.authority()), FILE_LIMIT)
            .map_err(|error| error.to_string())?;
        let facts =
            LeafFacts::parse(fresh.certificate_pem.as_bytes(), Some(fresh.key_pem.as_bytes()), Some(&bundle))
                .map_err(|error| {
                    format!("the certificate-authority issued what is no certificate: {error}")
                })?;
        let expected = kept::expected(profile, &self.configuration.instance, None);
        match verdict(&Observed::Leaf(facts.clone()), &expected, OffsetDateTime::now_utc()) {
            Verdict::Unusable(reason) => Err(format!(
                "the certificate-authority issued a certificate that cannot be used here: {reason}"
            )),
            Verdict::Good { .. } | Verdict::Due(_) => Ok(facts),
        }
    }

    fn tell(&self, leaf: &KeptLeaf) {
        if let Some(status) = leaf.status() {
            self.board.certificate(status);
        }
    }
}
