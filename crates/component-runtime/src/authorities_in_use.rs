//! Which CAs the child trusts and who signed the leaves that it shows: those that it was started with, and what it takes up
//! by itself, as late as it may. Refuses to believe that a file on disk is in use.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use certificates::{Authority, LeafFacts, Profile, bundle_fingerprints};
use durable_files::read_limited;
use health_endpoints::{AuthorityInUse, ReloadBehaviour, StatusBoard};
use tokio::time::Instant;

use crate::{Needs, Paths};

/// Components that watch a file look at it once a minute besides (k8s.io/apiserver `dynamiccertificates`): our files are
/// replaced with their directory, which may end the watch.
const RELOADED_WITHIN: Duration = Duration::from_secs(70);
/// No certificate or bundle of ours is longer, in bytes.
const FILE_LIMIT: u64 = 256 * 1024;

/// What is in use of the CAs.
#[derive(Debug)]
pub(crate) struct AuthoritiesInUse {
    leaves: Vec<(Profile, ReloadBehaviour)>,
    bundles: Vec<(Authority, ReloadBehaviour)>,
    paths: Paths,
    board: StatusBoard,
    trusted: RefCell<BTreeMap<Authority, Vec<String>>>,
    shown: RefCell<BTreeMap<Profile, Shown>>,
}

/// What is known of one leaf.
#[derive(Debug, Default)]
struct Shown {
    /// The files from which the signer on disk was last learnt.
    read: (Vec<u8>, Vec<u8>),
    on_disk: Option<(String, Instant)>,
    in_use: BTreeSet<String>,
}

impl AuthoritiesInUse {
    /// Of a supervisor with a child.
    pub(crate) fn new(needs: &Needs, paths: Paths, board: StatusBoard) -> Self {
        let mut bundles = needs.bundles.to_vec();
        // Those that only the supervisor reads, anew whenever they change: to judge leaves, and to ask for them.
        let own = needs.leaves.iter().map(|(profile, _)| profile.authority()).chain([Authority::Cluster]);
        for authority in own {
            if !bundles.iter().any(|(known, _)| *known == authority) {
                bundles.push((authority, ReloadBehaviour::OwnClient));
            }
        }
        let leaves = needs.leaves.to_vec();
        Self { leaves, bundles, paths, board, trusted: RefCell::default(), shown: RefCell::default() }
    }

    /// Of a service without a child: whatever it has is its own client's.
    pub(crate) fn of_a_service(needs: &Needs, paths: Paths, board: StatusBoard) -> Self {
        let mut all = Self::new(needs, paths, board);
        all.bundles.iter_mut().for_each(|(_, reload)| *reload = ReloadBehaviour::OwnClient);
        all.leaves.iter_mut().for_each(|(_, reload)| *reload = ReloadBehaviour::OwnClient);
        all
    }

    /// A child is started next, and none runs: what lies on disk now, or something later, is what it will use.
    pub(crate) fn child_starts(&self) {
        for (authority, _) in &self.bundles {
            self.trust(*authority);
        }
        for (profile, _) in &self.leaves {
            self.see(*profile, Some(Duration::ZERO));
        }
        self.tell();
    }

    pub(crate) fn look(&self) {
        for (authority, reload) in &self.bundles {
            if *reload == ReloadBehaviour::OwnClient {
                self.trust(*authority);
            }
        }
        for (profile, reload) in &self.leaves {
            self.see(*profile, taken_up_within(*profile, *reload));
        }
        self.tell();
    }

    fn trust(&self, authority: Authority) {
        if let Some(trusted) = bundle_on_disk(&self.paths, authority) {
            self.trusted.borrow_mut().insert(authority, trusted);
        }
    }

    /// Learns who signed the leaf on disk; it counts as in use after `within`, and until then both do.
    fn see(&self, profile: Profile, within: Option<Duration>) {
        let files = self.paths.leaf(profile, profile.authority());
        let read = |path| read_limited(path, FILE_LIMIT).unwrap_or_default();
        let read = (read(&files.certificate), read(&files.authority));
        let mut shown = self.shown.borrow_mut();
        let shown = shown.entry(profile).or_default();
        if shown.read != read {
            let facts = LeafFacts::parse(&read.0, None, Some(&read.1));
            // A leaf that nobody signed who is trusted has an unknown signer, which agrees with nothing.
            let signer = facts.map(|facts| facts.issued_by.unwrap_or_default()).unwrap_or_default();
            if shown.on_disk.as_ref().is_none_or(|(known, _)| *known != signer) {
                shown.in_use.insert(signer.clone());
                shown.on_disk = Some((signer, Instant::now()));
            }
            shown.read = read;
        }
        if let Some((signer, since)) = &shown.on_disk
            && within.is_some_and(|within| since.elapsed() >= within)
        {
            shown.in_use = BTreeSet::from([signer.clone()]);
        }
    }

    fn tell(&self) {
        let shown = self.shown.borrow();
        for (authority, _) in &self.bundles {
            let leaves = shown.iter().filter(|(profile, _)| profile.authority() == *authority);
            let signers: BTreeSet<&String> = leaves.flat_map(|(_, shown)| &shown.in_use).collect();
            let in_use = AuthorityInUse {
                trusted: self.trusted.borrow().get(authority).cloned().unwrap_or_default(),
                signed_by: signers.into_iter().cloned().collect(),
            };
            self.board.authority(authority.name(), in_use);
        }
    }
}

/// The fingerprints of a bundle; none while there is no readable one.
pub(crate) fn bundle_on_disk(paths: &Paths, authority: Authority) -> Option<Vec<String>> {
    let bundle = read_limited(&paths.trust(authority), FILE_LIMIT).ok()?;
    bundle_fingerprints(&bundle).ok()
}

/// How long a child may go on with the leaf before; none: until it is started anew.
fn taken_up_within(profile: Profile, reload: ReloadBehaviour) -> Option<Duration> {
    match reload {
        ReloadBehaviour::Reloads => Some(RELOADED_WITHIN),
        ReloadBehaviour::NeedsRestart => None,
        // Restarted for a new CA: five minutes are long for those who wait.
        ReloadBehaviour::ReloadsLate if profile.is_of_an_api_servers_client() => None,
        // kube-apiserver's as a client of kubelets, which trust what an operator tells them for as long as he likes.
        ReloadBehaviour::ReloadsLate | ReloadBehaviour::OwnClient => Some(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use certificates::RuntimeDirectory;
    use naming_contract::Component;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    struct Ca {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
        fingerprint: String,
    }

    fn ca(name: &str) -> Ca {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, name);
        let pem = parameters.self_signed(&key).unwrap().pem();
        let fingerprint = bundle_fingerprints(pem.as_bytes()).unwrap().concat();
        Ca { issuer: Issuer::from_ca_cert_pem(&pem, key).unwrap(), pem, fingerprint }
    }

    const NEEDS: Needs = Needs {
        leaves: &[
            (Profile::SchedulerClient, ReloadBehaviour::ReloadsLate),
            (Profile::SchedulerServing, ReloadBehaviour::Reloads),
        ],
        shared_keys: &[],
        bundles: &[(Authority::FrontProxy, ReloadBehaviour::NeedsRestart)],
    };

    #[tokio::test(start_paused = true)]
    async fn what_lies_on_disk_is_in_use_after_a_start_or_when_it_must_have_been_taken_up() {
        let root = tempfile::tempdir().unwrap();
        let store = RuntimeDirectory::new(root.path());
        store.create().unwrap();
        let (one, two) = (ca("one"), ca("two"));
        let publish = |authority, cas: &[&Ca]| {
            let bundle: String = cas.iter().map(|ca| ca.pem.as_str()).collect();
            durable_files::write_public(&store.trust(authority), bundle.as_bytes()).unwrap();
        };
        let issue = |profile, ca: &Ca| {
            let key = KeyPair::generate().unwrap();
            let leaf = CertificateParams::default().signed_by(&key, &ca.issuer).unwrap();
            store.write_leaf(profile, &leaf.pem(), &key.serialize_pem()).unwrap();
        };
        let board = StatusBoard::new("scheduler-0", Component::KubeScheduler, "1");
        let tracked = AuthoritiesInUse::new(&NEEDS, Paths::new(root.path().to_owned()), board.clone());
        let told = |name: &str| board.document().authorities.remove(name).unwrap();
        let of = |cas: &[&Ca]| cas.iter().map(|ca| ca.fingerprint.clone()).collect::<Vec<_>>();

        for authority in [Authority::Cluster, Authority::FrontProxy] {
            publish(authority, &[&one]);
        }
        for (profile, _) in NEEDS.leaves {
            issue(*profile, &one);
        }
        tracked.child_starts();
        assert_eq!((told("cluster").trusted, told("cluster").signed_by), (of(&[&one]), of(&[&one])));
        assert_eq!(told("front-proxy").trusted, of(&[&one]));

        for authority in [Authority::Cluster, Authority::FrontProxy] {
            publish(authority, &[&one, &two]);
        }
        tracked.look();
        assert_eq!(told("cluster").trusted, of(&[&one, &two]), "the supervisor alone reads it");
        assert_eq!(told("front-proxy").trusted, of(&[&one]), "the child reads it when it starts");

        for (profile, _) in NEEDS.leaves {
            issue(*profile, &two);
        }
        tracked.look();
        let mut both = of(&[&one, &two]);
        both.sort_unstable();
        assert_eq!(told("cluster").signed_by, both);
        tokio::time::advance(RELOADED_WITHIN).await;
        tracked.look();
        assert_eq!(told("cluster").signed_by, both, "the client's is read late");
        tracked.child_starts();
        assert_eq!(told("cluster").signed_by, of(&[&two]));
        assert_eq!(told("front-proxy").trusted, of(&[&one, &two]));

        publish(Authority::Cluster, &[&one]);
        tracked.child_starts();
        assert_eq!(told("cluster").signed_by, [String::new()], "nobody who is trusted signed it");
    }
}
