//! What machine the numbers are from, and how busy it is with other things.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// One line about processor, memory, kernel and versions.
pub(crate) fn describe() -> String {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let model = field(&read("/proc/cpuinfo"), "model name");
    let memory: f64 = field(&read("/proc/meminfo"), "MemTotal")
        .split(' ')
        .next()
        .and_then(|it| it.parse().ok())
        .unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!(
        "{processors} cores ({}), {:.0} GiB of memory, Linux {}",
        if model.is_empty() { "unnamed" } else { &model },
        memory / f64::from(1 << 20),
        kernel.trim()
    )
}

/// How busy all processors are, in percent, watched for a while.
pub(crate) async fn busy(watched: Duration) -> Result<f64> {
    let (idle_before, all_before) = ticks()?;
    tokio::time::sleep(watched).await;
    let (idle, all) = ticks()?;
    Ok(100.0 * (1.0 - (idle - idle_before) / (all - all_before)))
}

/// Idle and all ticks of all processors so far.
fn ticks() -> Result<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user already.
    let ticks: Vec<f64> = line.split_whitespace().skip(1).take(8).flat_map(str::parse).collect();
    Ok((ticks.get(3..5).unwrap_or_default().iter().sum(), ticks.iter().sum()))
}
