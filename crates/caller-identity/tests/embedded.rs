//! Embedded callers are known by their tokens while those are good, and by nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may panic and spoils files"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use caller_identity::{
    Caller, EmbeddedCallers, IdentifyCaller, RegistryError, Unidentified, enrol, forget, rotate_if_due,
};
use naming_contract::Component;
use time::OffsetDateTime;
use time::macros::datetime;

const NOW: OffsetDateTime = datetime!(2026-11-22 12:00 UTC);
const DAY: Duration = Duration::from_secs(24 * 3600);

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    fn registry(&self) -> PathBuf {
        self.root.path().join("callers")
    }

    fn token_file(&self, instance: &str) -> PathBuf {
        self.root.path().join("instances").join(instance).join("caller-token")
    }

    fn enrol(&self, caller: &Caller, now: OffsetDateTime) -> String {
        enrol(&self.registry(), caller, &self.token_file(&caller.instance), now, DAY).unwrap();
        fs::read_to_string(self.token_file(&caller.instance)).unwrap()
    }

    async fn identify(&self, token: &str, now: OffsetDateTime) -> Result<Caller, Unidentified> {
        EmbeddedCallers::new(self.registry()).identify(token, now).await
    }
}

fn caller(component: Component, ordinal: u32) -> Caller {
    Caller { component, instance: component.instance(ordinal), names: vec!["10.0.0.7".parse().unwrap()] }
}

#[tokio::test]
async fn a_caller_is_known_by_its_own_token() {
    let place = Place::new();
    let (etcd, scheduler) = (caller(Component::Etcd, 0), caller(Component::KubeScheduler, 1));
    let (etcd_token, scheduler_token) = (place.enrol(&etcd, NOW), place.enrol(&scheduler, NOW));
    assert_eq!(place.identify(&etcd_token, NOW).await.unwrap(), etcd);
    assert_eq!(place.identify(&format!("{scheduler_token}\n"), NOW).await.unwrap(), scheduler);
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(place.token_file("etcd-0")), 0o600);
    assert_eq!(mode(place.registry()), 0o700);
    let registry = fs::read_to_string(place.registry().join("etcd-0.json")).unwrap();
    assert!(!registry.contains(&etcd_token), "the registry knows hashes only");
}

#[tokio::test]
async fn forged_foreign_and_expired_tokens_prove_nothing() {
    let (place, other) = (Place::new(), Place::new());
    let token = place.enrol(&caller(Component::Etcd, 0), NOW);
    let foreign = other.enrol(&caller(Component::Etcd, 0), NOW);
    for wrong in [foreign.as_str(), "forged", "", &token[1..]] {
        let refused = place.identify(wrong, NOW).await.unwrap_err();
        assert!(matches!(&refused, Unidentified::Unknown { unusable } if unusable.is_empty()), "{refused:?}");
    }
    let refused = place.identify(&token, NOW + DAY).await.unwrap_err();
    assert!(
        matches!(&refused, Unidentified::Expired { instance, .. } if instance == "etcd-0"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_token_is_rotated_at_half_life_and_the_old_one_stays_good() {
    let place = Place::new();
    let etcd = caller(Component::Etcd, 0);
    let old = place.enrol(&etcd, NOW);
    let rotate =
        |now| rotate_if_due(&place.registry(), "etcd-0", &place.token_file("etcd-0"), now, DAY).unwrap();
    assert!(!rotate(NOW + DAY / 2 - Duration::from_secs(1)).fresh_token);
    let later = NOW + DAY / 2;
    let rotated = rotate(later);
    assert!(rotated.fresh_token && rotated.rotate_at == later + DAY / 2);
    let new = fs::read_to_string(place.token_file("etcd-0")).unwrap();
    assert_ne!(old, new);
    for token in [&old, &new] {
        assert_eq!(place.identify(token, later).await.unwrap(), etcd);
    }
    assert!(place.identify(&old, NOW + DAY).await.is_err());
    assert!(place.identify(&new, NOW + DAY).await.is_ok());
    rotate(later + DAY / 2);
    let registry = fs::read_to_string(place.registry().join("etcd-0.json")).unwrap();
    assert_eq!(registry.matches("sha256").count(), 2, "expired tokens are forgotten: {registry}");
}

#[tokio::test]
async fn enrolling_again_keeps_a_good_token_and_takes_over_new_names() {
    let place = Place::new();
    let mut etcd = caller(Component::Etcd, 0);
    let token = place.enrol(&etcd, NOW);
    etcd.names.push("etcd.example.com".parse().unwrap());
    assert_eq!(place.enrol(&etcd, NOW), token);
    assert_eq!(place.identify(&token, NOW).await.unwrap(), etcd);
    fs::remove_file(place.token_file("etcd-0")).unwrap();
    let anew = place.enrol(&etcd, NOW);
    assert_eq!(place.identify(&anew, NOW).await.unwrap(), etcd);
    let turned = Caller { component: Component::KubeApiserver, ..etcd };
    place.enrol(&turned, NOW);
    assert!(place.identify(&anew, NOW).await.is_err(), "what proved an etcd must not prove an API server");
}

#[tokio::test]
async fn open_and_damaged_registry_files_are_refused_one_by_one() {
    let place = Place::new();
    let etcd = place.enrol(&caller(Component::Etcd, 0), NOW);
    let scheduler = place.enrol(&caller(Component::KubeScheduler, 0), NOW);
    let file = place.registry().join("etcd-0.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let refused = place.identify(&etcd, NOW).await.unwrap_err().to_string();
    assert!(refused.contains("chmod 600") && refused.contains("etcd-0.json"), "{refused}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&file, "{\"component\":").unwrap();
    let refused = place.identify(&etcd, NOW).await.unwrap_err().to_string();
    assert!(refused.contains("is no registry file"), "{refused}");
    assert!(place.identify(&scheduler, NOW).await.is_ok());
    fs::set_permissions(place.registry(), fs::Permissions::from_mode(0o755)).unwrap();
    assert!(matches!(place.identify(&scheduler, NOW).await.unwrap_err(), Unidentified::Unavailable(_)));
}

#[tokio::test]
async fn whoever_is_forgotten_is_unknown_and_names_cannot_leave_the_directory() {
    let place = Place::new();
    let token = place.enrol(&caller(Component::Etcd, 0), NOW);
    forget(&place.registry(), "etcd-0").unwrap();
    forget(&place.registry(), "etcd-0").unwrap();
    assert!(place.identify(&token, NOW).await.is_err());
    let file = place.token_file("etcd-0");
    let missing = rotate_if_due(&place.registry(), "etcd-0", &file, NOW, DAY).unwrap_err();
    assert!(matches!(missing, RegistryError::NotEnrolled { .. }));
    for name in ["../etcd-0", "a/b", ".hidden", "", "UPPER"] {
        assert!(matches!(
            rotate_if_due(&place.registry(), name, &file, NOW, DAY),
            Err(RegistryError::Name { .. })
        ));
    }
}
