//! A start under Pilothouse from an empty state directory, measured; and the look that both kinds of start share.
//! Certificates, CAs and keys are made within the measured time.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use end_to_end::{ControlPlane, assert_nothing_left, client, lease_holder};
use tokio::time::Instant;

use crate::sample::Start;

const LIMIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(25);

pub(crate) async fn start() -> Result<Start> {
    let began = Instant::now();
    let mut plane = ControlPlane::starting(&[]);
    let state = plane.state_directory();
    let url = format!("https://127.0.0.1:{}", plane.port());
    let api_ready = until_ready(began, &[url], &state.join("trust/cluster.crt")).await?;
    while !plane.kubeconfig().exists() {
        if began.elapsed() > LIMIT {
            bail!("no kubeconfig after {LIMIT:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let leases_held = until_leases_held(began, &client(&plane.kubeconfig()).await).await?;
    plane.stop().await;
    assert_nothing_left(&state, Duration::from_secs(5)).await;
    Ok(Start { api_ready, leases_held })
}

/// Seconds since `began` until one of the servers answers /readyz with 200.
pub(crate) async fn until_ready(began: Instant, servers: &[String], authority: &Path) -> Result<f64> {
    let mut http = None;
    loop {
        if http.is_none() && authority.exists() {
            // Published whole by rename, so a file that exists can be used.
            http = Some(mutual_tls::http_client(authority, None, Duration::from_secs(2))?);
        }
        if let Some(http) = &http {
            for server in servers {
                let answer = http.get(format!("{server}/readyz")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return Ok(began.elapsed().as_secs_f64());
                }
            }
        }
        if began.elapsed() > LIMIT {
            bail!("no API server is ready after {LIMIT:?}");
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Seconds since `began` until both leases are held.
pub(crate) async fn until_leases_held(began: Instant, client: &kube::Client) -> Result<f64> {
    for lease in ["kube-controller-manager", "kube-scheduler"] {
        while !matches!(lease_holder(client, lease).await, Ok(Some(_))) {
            if began.elapsed() > LIMIT {
                bail!("the lease {lease} is not held after {LIMIT:?}");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
    Some(began.elapsed().as_secs_f64()).context("the clock stands still")
}
