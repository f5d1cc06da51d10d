//! What keeps an update of etcd waiting: a disruption budget, the management cluster's API away; and a member that is alone.
//! Refuses to be quick: each is waited for until it is told.

use end_to_end::eventually;
use hosted_control_plane::chart;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Patch, PatchParams};
use naming_contract::ports;
use serde_json::json;
use tokio::time::Instant;

use crate::{LIMIT, NOTED, Trial};

impl Trial<'_> {
    /// An update begins that no budget allows, then nobody can be asked, then it goes on.
    pub(crate) async fn waits_for_budgets_and_the_management_api(&self) {
        let before = self.members().await;
        let leader = self.leader().await.unwrap().name;
        let leader = before.iter().find(|pod| pod.name == leader).expect("the leader has a Pod");
        let load = self.load().await;
        let began = Instant::now();
        self.release.upgrade(&chart(), &[NOTED]).await;
        // Afterwards, since helm owns it; the first eviction is 15 s away.
        self.budget(0).await;
        let told = async |words: &str| {
            eventually(&format!("the leader says {words:?}"), LIMIT, async || {
                let document = self.scene(3).get(leader, ports::HEALTH, "/statusz").await?;
                let document: serde_json::Value = serde_json::from_str(&document).unwrap();
                let told = document["details"]["update"].as_str().unwrap_or_default().to_owned();
                if told.contains(words) { Ok(told) } else { Err(told) }
            })
            .await
        };
        println!("refused: {}", told("its eviction is refused: 429").await);
        self.scene.cluster.stop_api_server().await.unwrap();
        println!("away: {}", told("cannot be read").await);
        self.scene.cluster.start_api_server().await.unwrap();
        println!("back: {}", told("its eviction is refused: 429").await);
        let uids = |pods: Vec<_>| -> Vec<String> {
            pods.into_iter().map(|pod: hosted_control_plane::PodView| pod.uid).collect()
        };
        assert_eq!(uids(self.members().await), uids(before.clone()), "nothing happened");
        self.budget(1).await;
        eventually("every member is another", LIMIT, async || {
            let now = self.members().await;
            let old = now.iter().filter(|pod| before.iter().any(|before| before.uid == pod.uid)).count();
            if old == 0 && now.len() == 3 { Ok(()) } else { Err(now) }
        })
        .await;
        self.until_listed(3).await;
        let what = format!(
            "etcd rolled in {:.0?}, held by a budget and without the management API",
            began.elapsed()
        );
        let report = load.end(&what).await;
        self.judge(&report, 1);
    }

    async fn budget(&self, unavailable: u32) {
        let budgets = self.tenant.objects::<PodDisruptionBudget>();
        let patch = Patch::Merge(json!({"spec": {"maxUnavailable": unavailable}}));
        budgets.patch("demo-etcd", &PatchParams::default(), &patch).await.unwrap();
    }

    /// One member and other settings: it evicts itself at once.
    pub(crate) async fn is_rolled_alone(&self) {
        let before = self.members().await;
        let load = self.load().await;
        let began = Instant::now();
        self.release
            .upgrade(&chart(), &["--set=etcd.replicas=1", "--set=etcd.pod.annotations.noted=alone"])
            .await;
        eventually("it is another", LIMIT, async || {
            let now = self.members().await;
            if now.len() == 1 && now[0].uid != before[0].uid { Ok(()) } else { Err(now) }
        })
        .await;
        self.until_listed(1).await;
        load.end(&format!("a single member of etcd replaced in {:.0?}", began.elapsed())).await;
    }
}
