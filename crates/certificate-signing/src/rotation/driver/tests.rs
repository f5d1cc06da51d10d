//! A rotation driven by one life after the other, in time that passes for everybody but the machine's clock. The place is a
//! fake: everybody confirms at once.

use std::cell::Cell;

use naming_contract::Component;
use tokio::time::timeout;

use super::*;
use crate::founding::found_shared_keys;

const KEPT: Kept = Kept::Shared(SharedKeySet::ServiceAccount);
const OVERLAP: Duration = Duration::from_secs(3000);

struct Fake {
    keys: Rc<AuthorityKeys>,
    writes: Rc<Cell<usize>>,
}

impl RotationPlace for Fake {
    const SETTLE: Duration = Duration::from_secs(30);

    fn wanted(&self) -> Result<WantedKeys, String> {
        Ok(WantedKeys::default())
    }

    async fn instances(&self, _what: Rotated) -> Result<Vec<Sighted>, String> {
        let (name, component) = ("kube-apiserver-0", Component::KubeApiserver);
        let board = StatusBoard::new(name, component, "0");
        let generation = self.keys.shared(SharedKeySet::ServiceAccount).map_or(0, |keys| keys.generation);
        board.key_generation(SharedKeySet::ServiceAccount.name(), generation);
        Ok(vec![Sighted { name: name.to_owned(), component, document: Some(board.document()) }])
    }

    async fn store(&self, _kept: Kept, _before: &StoredKeys, _after: &StoredKeys) -> Result<(), String> {
        self.writes.set(self.writes.get() + 1);
        Ok(())
    }

    fn publish(&self, _keys: &AuthorityKeys, _generations: &PublishedGenerations) {}
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_by_time_that_passed_and_another_life_goes_on_with_it() {
    let founded = StoredKeys::founded(found_shared_keys(SharedKeySet::ServiceAccount).unwrap());
    let keys = Rc::new(AuthorityKeys::assemble(BTreeMap::from([(KEPT, founded)]), String::new()).unwrap());
    let writes = Rc::new(Cell::new(0));
    let life = || {
        let place = Fake { keys: Rc::clone(&keys), writes: Rc::clone(&writes) };
        let settings = RotationSettings {
            wanted: WantedKeys { service_account_key: 2, ..WantedKeys::default() },
            token_overlap: OVERLAP,
            authority_overlap: OVERLAP,
        };
        let board = StatusBoard::new("certificate-authority-0", Component::CertificateAuthority, "0");
        Rotations::new(Rc::clone(&keys), place, settings, board, String::new())
    };
    let stage = || keys.stored(KEPT).unwrap().position().stage;
    let seconds = Duration::from_secs;

    let first = life();
    timeout(seconds(50), first.carry_out()).await.unwrap_err();
    assert_eq!(stage(), Stage::Used, "each stage is left alone for 30 s");
    timeout(seconds(1400), first.carry_out()).await.unwrap_err();
    assert_eq!(
        (stage(), writes.get()),
        (Stage::Retiring, 3 + 11),
        "three stages, eleven parts of two minutes"
    );
    drop(first);

    // 1390 s have passed since the last stage, 1320 are stored.
    let second = life();
    timeout(seconds(1600), second.carry_out()).await.unwrap_err();
    assert_eq!(stage(), Stage::Retiring, "no second counts that has not passed");
    timeout(seconds(100), second.carry_out()).await.unwrap_err();
    assert_eq!(stage(), Stage::Settled, "no more than one part is lost");
}
