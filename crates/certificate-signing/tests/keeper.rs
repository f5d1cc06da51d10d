//! The keeper against a real certificate-authority: obtains, reuses, renews, replaces what does not fit, says what it waits for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and spoils files"
)]

mod authority;

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use authority::{Place, on_one_thread, read, within};
use certificates::{
    Authority, CertificateKeeper, Change, Changed, KeeperConfiguration, KeysNeeded, Observed, Profile,
    RuntimeDirectory, SharedKeySet,
};
use conditions::{Progress, Silent};
use health_endpoints::{ReloadBehaviour, StatusBoard};
use naming_contract::Component;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const LIMIT: Duration = Duration::from_secs(20);
const LEAVES: [Profile; 2] = [Profile::ApiserverServing, Profile::ApiserverEtcdClient];

fn configuration(place: &Place, url: &str, instance: &str) -> KeeperConfiguration {
    KeeperConfiguration {
        instance: instance.to_owned(),
        authority_url: url.to_owned(),
        caller_token_file: place.token_file(instance),
        published_trust: place.trust(),
        runtime_directory: place.runtime(instance),
        leaves: LEAVES.map(|profile| (profile, ReloadBehaviour::Reloads)).to_vec(),
        shared_keys: vec![KeysNeeded::all_of(SharedKeySet::ServiceAccount, ReloadBehaviour::NeedsRestart)],
        bundles: vec![(Authority::FrontProxy, ReloadBehaviour::Reloads)],
    }
}

fn board() -> StatusBoard {
    StatusBoard::new("kube-apiserver-0", Component::KubeApiserver, "test")
}

fn keeper(place: &Place, url: &str) -> (CertificateKeeper, StatusBoard) {
    let board = board();
    (CertificateKeeper::new(configuration(place, url, "kube-apiserver-0"), board.clone()), board)
}

/// Keeps until a leaf of `profile` was replaced.
async fn replaced(keeper: &CertificateKeeper, wanted: Profile) -> Change {
    let (sender, mut changes) = mpsc::channel(16);
    let leaf_changed = async {
        loop {
            let change: Change = changes.recv().await.unwrap();
            if change.what == Changed::Leaf(wanted) {
                return change;
            }
        }
    };
    within(LIMIT, async {
        tokio::select! {
            change = leaf_changed => change,
            never = keeper.keep(sender) => match never {},
        }
    })
    .await
}

/// What is spoilt, and how.
type Spoil<'a> = (&'static str, Box<dyn Fn() + 'a>);

#[derive(Default)]
struct Recorder(RefCell<Vec<String>>);

impl Progress for Recorder {
    fn waiting(&self, awaits: &str, last_seen: Option<&str>) {
        self.0.borrow_mut().push(format!("{awaits}: {}", last_seen.unwrap_or("-")));
    }
}

impl Recorder {
    fn told(&self, words: &[&str]) -> bool {
        self.0.borrow().iter().any(|line| words.iter().all(|word| line.contains(word)))
    }
}

/// Obtains until the recorder was told all `words` in one line.
async fn waits_with(keeper: &CertificateKeeper, words: &[&str]) {
    let recorder = Recorder::default();
    let told = async {
        while !recorder.told(words) {
            tokio::task::yield_now().await;
        }
    };
    let waiting = async {
        tokio::select! {
            () = told => {}
            obtained = keeper.obtain(&recorder) => panic!("{obtained:?} without {words:?}: {:?}", recorder.0),
        }
    };
    let ended = tokio::time::timeout(LIMIT, waiting).await;
    assert!(ended.is_ok(), "never told {words:?}, but {:?}", recorder.0);
}

#[test]
fn a_start_obtains_everything_and_the_next_start_needs_no_authority() {
    on_one_thread(async {
        let place = Place::new();
        place.enrol(Component::KubeApiserver, 0);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (first, told) = keeper(&place, &url);
        // The supervisor comes first; the authority appears while it waits.
        let recorder = Recorder::default();
        let mut running = None;
        within(LIMIT, async {
            let authority_later = async {
                while !recorder.told(&["cluster.crt", "not published yet"]) {
                    tokio::task::yield_now().await;
                }
                running = Some(place.run_on(listener, place.settings(&[], &[])));
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = authority_later => {}
                obtained = first.obtain(&recorder) => obtained.unwrap(),
            }
        })
        .await;
        let directory = first.directory();
        for profile in LEAVES {
            let Observed::Leaf(facts) = directory.observe(profile) else { panic!("{profile}") };
            assert!(facts.issued_by.is_some() && facts.key_matches);
            let key = directory.leaf(profile).key;
            assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        }
        for authority in [Authority::Cluster, Authority::Etcd, Authority::FrontProxy] {
            assert_eq!(read(&directory.trust(authority)), read(&place.trust().join(authority.bundle())));
        }
        let key = read(&directory.shared_key(SharedKeySet::ServiceAccount, SharedKeySet::SIGNING));
        assert!(key.contains("PRIVATE KEY"));
        let document = told.document();
        assert_eq!(document.certificates.len(), 2);
        assert_eq!(directory.key_generation(SharedKeySet::ServiceAccount), Some(1));
        assert!(document.key_generations.is_empty(), "no child has them in use");

        running.unwrap().stop().await;
        let before = read(&directory.leaf(LEAVES[0]).certificate);
        let (second, told) = keeper(&place, &url);
        within(Duration::from_secs(1), second.obtain(&Silent)).await.unwrap();
        assert_eq!(read(&directory.leaf(LEAVES[0]).certificate), before);
        assert_eq!(told.document().certificates.len(), 2);
    });
}

#[test]
fn leaves_of_ten_seconds_are_renewed_while_they_are_good() {
    on_one_thread(async {
        let place = Place::new();
        place.enrol(Component::KubeApiserver, 0);
        let running = place
            .run(place.settings(&["apiserver-serving=10s", "certificate-authority-serving=10s"], &[]))
            .await;
        let (keeper, told) = keeper(&place, &running.url);
        within(LIMIT, keeper.obtain(&Silent)).await.unwrap();
        let files = keeper.directory().leaf(Profile::ApiserverServing);
        let (mut certificate, mut key) = (read(&files.certificate), read(&files.key));
        for _ in 0..2 {
            let before = told.document().certificates[0].clone();
            let change = replaced(&keeper, Profile::ApiserverServing).await;
            let now = time::OffsetDateTime::now_utc();
            assert!(now < before.not_after, "renewed at {now}, after {}", before.not_after);
            assert_eq!(change.reload, ReloadBehaviour::Reloads);
            let by = change.restart_by.unwrap();
            assert!(by < before.not_after && by > before.renew_at, "80 % of the old life");
            assert!(told.document().certificates[0].not_after > before.not_after);
            let Observed::Leaf(facts) = keeper.directory().observe(Profile::ApiserverServing) else {
                panic!()
            };
            assert!(facts.issued_by.is_some() && facts.key_matches);
            assert_ne!((read(&files.certificate), read(&files.key)), (certificate.clone(), key.clone()));
            assert_ne!(read(&files.key), key, "a new key each time");
            (certificate, key) = (read(&files.certificate), read(&files.key));
        }
        let own = &running.board.document().certificates[0];
        assert!(own.not_after > time::OffsetDateTime::now_utc(), "its own leaf was renewed too");
    });
}

#[test]
fn what_does_not_fit_is_asked_for_anew() {
    on_one_thread(async {
        let place = Place::new();
        place.enrol(Component::KubeApiserver, 0);
        place.enrol(Component::KubeApiserver, 1);
        let running = place.run(place.settings(&[], &[])).await;
        let (keeper, _) = keeper(&place, &running.url);
        let obtain = async || within(LIMIT, keeper.obtain(&Silent)).await.unwrap();
        obtain().await;
        let directory = keeper.directory();
        let files = directory.leaf(Profile::ApiserverServing);
        let spoil: [Spoil; 5] = [
            ("missing key", Box::new(|| fs::remove_file(&files.key).unwrap())),
            ("truncated certificate", Box::new(|| fs::write(&files.certificate, "-----BEGIN CERT").unwrap())),
            (
                "another key",
                Box::new(|| {
                    fs::copy(directory.leaf(Profile::ApiserverEtcdClient).key, &files.key).unwrap();
                }),
            ),
            (
                "open key",
                Box::new(|| {
                    fs::set_permissions(&files.key, fs::Permissions::from_mode(0o644)).unwrap();
                }),
            ),
            (
                "another profile's leaf",
                Box::new(|| {
                    let other = directory.leaf(Profile::ApiserverEtcdClient);
                    fs::copy(other.key, &files.key).unwrap();
                    fs::copy(other.certificate, &files.certificate).unwrap();
                }),
            ),
        ];
        for (what, spoil) in spoil {
            let before = read(&files.certificate);
            spoil();
            obtain().await;
            assert_ne!(read(&files.certificate), before, "{what}");
            let Observed::Leaf(facts) = directory.observe(Profile::ApiserverServing) else {
                panic!("{what}")
            };
            assert!(facts.issued_by.is_some() && facts.key_matches, "{what}");
        }

        // The directory of another instance.
        let mut other = configuration(&place, &running.url, "kube-apiserver-1");
        other.runtime_directory = place.runtime("kube-apiserver-0");
        let other = CertificateKeeper::new(other, board());
        within(LIMIT, other.obtain(&Silent)).await.unwrap();
        let Observed::Leaf(facts) = directory.observe(Profile::ApiserverServing) else { panic!() };
        assert_eq!(facts.contents.common_name, "kube-apiserver-1");
        obtain().await;

        // Another CA.
        running.stop().await;
        fs::remove_dir_all(place.authority()).unwrap();
        fs::remove_dir_all(place.trust()).unwrap();
        let running = place.run(place.settings(&[], &[])).await;
        running.published(&place).await;
        let keeper = CertificateKeeper::new(configuration(&place, &running.url, "kube-apiserver-0"), board());
        within(LIMIT, keeper.obtain(&Silent)).await.unwrap();
        let Observed::Leaf(facts) = keeper.directory().observe(Profile::ApiserverServing) else { panic!() };
        assert!(facts.issued_by.is_some());
    });
}

#[test]
fn a_new_name_reaches_a_running_api_server() {
    on_one_thread(async {
        let place = Place::new();
        place.enrol(Component::KubeApiserver, 0);
        let running = place.run(place.settings(&[], &[])).await;
        let (keeper, _) = keeper(&place, &running.url);
        within(LIMIT, keeper.obtain(&Silent)).await.unwrap();
        let address = running.url.trim_start_matches("https://").to_owned();
        running.stop().await;
        let listener = TcpListener::bind(&address).await.unwrap();
        let _running = place.run_on(listener, place.settings(&[], &["new.example.com"]));
        replaced(&keeper, Profile::ApiserverServing).await;
        let Observed::Leaf(facts) = keeper.directory().observe(Profile::ApiserverServing) else { panic!() };
        assert!(facts.contents.names.contains(&"new.example.com".parse().unwrap()));
    });
}

#[test]
fn a_wait_says_what_it_waits_for_and_what_is_wrong() {
    on_one_thread(async {
        let place = Place::new();
        let running = place.run(place.settings(&[], &[])).await;
        running.published(&place).await;
        let (keeper, _) = keeper(&place, &running.url);
        let token = place.token_file("kube-apiserver-0");
        waits_with(&keeper, &["apiserver-serving", &token.display().to_string()]).await;

        fs::create_dir_all(token.parent().unwrap()).unwrap();
        durable_files::write_private(&token, b"forged").unwrap();
        durable_files::create_private_directory(&place.path("callers")).unwrap();
        waits_with(&keeper, &["apiserver-serving", "401", "--caller-token-file"]).await;

        fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
        waits_with(&keeper, &["chmod 600"]).await;

        // Once it is known, the same wait ends: identities may appear later.
        place.enrol(Component::KubeApiserver, 0);
        within(LIMIT, keeper.obtain(&Silent)).await.unwrap();

        place.enrol(Component::KubeScheduler, 0);
        let mut wrong = configuration(&place, &running.url, "kube-scheduler-0");
        wrong.instance = "kube-apiserver-0".to_owned();
        waits_with(&CertificateKeeper::new(wrong, board()), &["403", "kube-scheduler may not have"]).await;
    });
}

#[test]
fn a_half_written_bundle_is_not_taken_over_and_a_new_one_is() {
    on_one_thread(async {
        let place = Place::new();
        place.enrol(Component::KubeApiserver, 0);
        let running = place.run(place.settings(&[], &[])).await;
        let (keeper, _) = keeper(&place, &running.url);
        within(LIMIT, keeper.obtain(&Silent)).await.unwrap();
        let copy = RuntimeDirectory::new(place.runtime("kube-apiserver-0")).trust(Authority::FrontProxy);
        let published = place.trust().join("front-proxy.crt");
        let good = read(&published);
        running.stop().await;
        fs::write(&published, &good[..40]).unwrap();
        within(LIMIT, keeper.obtain(&Silent)).await.unwrap();
        assert_eq!(read(&copy), good);
        let both = format!("{good}{}", read(&place.trust().join("cluster.crt")));
        fs::write(&published, &both).unwrap();
        let (sender, mut changes) = mpsc::channel(4);
        let change = within(LIMIT, async {
            tokio::select! {
                change = changes.recv() => change.unwrap(),
                never = keeper.keep(sender) => match never {},
            }
        })
        .await;
        assert_eq!(change.what, Changed::Bundle(Authority::FrontProxy));
        assert_eq!(read(&copy), both);
    });
}
