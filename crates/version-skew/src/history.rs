//! Generated histories of upgrades, abandoned upgrades and rollbacks, with API servers and controllers that come and go.
//! Refuses two API servers more than one minor version apart, controllers newer than any of them when they start, and a
//! half-done upgrade that cannot be undone.

use component_flags::Release;
use proptest::prelude::*;

use crate::{Permission, Serving, api_server, controller, recorded};

const FIRST: u32 = 33;

/// What an operator or a bad day does.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A replica ends, and the next one in its place is of the version that is set now.
    Replace { replica: usize },
    /// A replica ends, and nobody is started in its place yet.
    End { replica: usize },
    /// Somebody sets another version.
    Set { minor: u32 },
    /// Long enough nothing else for all that serve one version to be recorded.
    Settle,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..3_usize).prop_map(|replica| Event::Replace { replica }),
        1 => (0..3_usize).prop_map(|replica| Event::End { replica }),
        2 => (FIRST..FIRST + 5).prop_map(|minor| Event::Set { minor }),
        2 => Just(Event::Settle),
    ]
}

fn release(minor: u32) -> Release {
    Release::parse(&format!("1.{minor}.0")).unwrap()
}

#[derive(Debug)]
struct ControlPlane {
    wanted: Release,
    record: Option<Release>,
    replicas: [Option<Release>; 3],
}

impl ControlPlane {
    fn serving(&self) -> Vec<Serving> {
        let named =
            |(index, version): (usize, &Option<Release>)| version.map(|it| (format!("server {index}"), it));
        self.replicas.iter().enumerate().filter_map(named).collect()
    }

    fn may_start(&self, version: Release) -> bool {
        api_server(version, self.record, &self.serving()) == Permission::Granted
    }

    fn happens(&mut self, event: Event) {
        match event {
            // As a Deployment does with maxUnavailable 0: the old one goes when the new one serves.
            Event::Replace { replica } => {
                if self.may_start(self.wanted) {
                    self.replicas[replica] = Some(self.wanted);
                }
            }
            Event::End { replica } => self.replicas[replica] = None,
            Event::Set { minor } => self.wanted = release(minor),
            Event::Settle => {
                let serving = self.serving();
                for (_, ours) in &serving {
                    if let Some(next) = recorded(self.record, *ours, &serving) {
                        self.record = Some(next);
                    }
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn api_servers_stay_together_and_what_is_half_done_can_be_undone(
        events in proptest::collection::vec(event(), 1..60),
    ) {
        let mut plane = ControlPlane { wanted: release(FIRST), record: None, replicas: [None; 3] };
        for event in events {
            let before = plane.record;
            plane.happens(event);
            prop_assert!(before <= plane.record, "the record only rises: {plane:?}");
            let serving = plane.serving();
            let minors = || serving.iter().map(|(_, version)| version.minor());
            let (lowest, highest) = (minors().min().unwrap_or(0), minors().max().unwrap_or(0));
            prop_assert!(highest - lowest <= 1, "further apart than one: {plane:?}");
            if let Some(record) = plane.record {
                prop_assert!(serving.is_empty() || (lowest >= record.minor() && highest <= record.minor() + 1), "{plane:?}");
                // Whatever was begun since: the version that all ran before may come back. A finished one may not.
                prop_assert!(plane.may_start(record), "cannot be undone: {plane:?}");
                prop_assert!(!plane.may_start(release(record.minor() - 1)), "went below what all ran: {plane:?}");
                prop_assert!(!plane.may_start(release(record.minor() + 2)), "skipped: {plane:?}");
            }
            for minor in FIRST..FIRST + 5 {
                if controller(release(minor), &serving) == Permission::Granted {
                    prop_assert!(minors().all(|theirs| theirs == minor || theirs == minor + 1), "{minor}: {plane:?}");
                }
            }
        }
    }
}
