//! Restarts in place that nobody forces: for a bundle, which etcd reads only at its start.

use std::time::Duration;

use health_endpoints::{State, StatusDocument};

use crate::harness::{Cluster, Writer};

const SOON: Duration = Duration::from_secs(60);
const HOLD_LIMIT: Duration = Duration::from_secs(2);

fn trusts_both(document: &StatusDocument) -> bool {
    document.authorities.len() == 3 && document.authorities.values().all(|in_use| in_use.trusted.len() == 2)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PILOTHOUSE_COMPONENTS"]
async fn restarts_for_new_authorities_wait_for_a_dead_member_and_then_go_one_by_one() {
    let mut cluster = Cluster::new(3, &["--hold-limit", &HOLD_LIMIT.as_secs().to_string()]);
    cluster.start_all();
    cluster.until_whole(SOON).await;
    let writer = Writer::start(&cluster).await;
    cluster.kill_supervisor(2);
    cluster.trust_the_next_authorities();
    // Changes are collected for 2 s; at the hold limit it would have gone on.
    let until = tokio::time::Instant::now() + Duration::from_secs(2) + 3 * HOLD_LIMIT;
    while tokio::time::Instant::now() < until {
        let statuses = cluster.statuses().await;
        assert!(statuses.iter().all(|it| it.restarts == 0), "{statuses:#?}\n{}", cluster.logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    for member in 0..2 {
        let log = cluster.log(member);
        assert!(log.contains("it cannot be spared: 1 of the 2 members needed would remain"), "{log}");
    }
    cluster.start(2);
    cluster
        .until("three that trust both", SOON, |all| {
            let survivors = all.iter().filter(|it| it.name != "etcd-2");
            assert!(survivors.filter(|it| it.state != State::Running).count() <= 1, "{all:#?}");
            all.iter().filter(|it| it.ready && trusts_both(it)).count() == 3
        })
        .await;
    let restarts: Vec<u32> = cluster.statuses().await.iter().map(|it| it.restarts).collect();
    assert_eq!(restarts, [1, 1, 0]);
    println!("{} writes", writer.check(&cluster).await);
}
