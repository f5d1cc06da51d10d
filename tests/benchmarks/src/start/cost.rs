//! What our own processes cost: resident memory that is theirs alone, processor time while idle, size on disk.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use end_to_end::{Instance, binary};

use crate::memory;

/// The kernel's clock tick for /proc/PID/stat on every Linux that Rust supports, per second.
const TICKS_PER_SECOND: f64 = 100.0;

/// What was found.
#[derive(Debug)]
pub(crate) struct Cost {
    /// By component: the largest resident memory (anonymous and shared) of its processes of ours, in MiB.
    pub(crate) memory: BTreeMap<String, f64>,
    /// The same with the resident pages of program files, which instances share and the kernel may drop.
    pub(crate) with_program: BTreeMap<String, f64>,
    /// By component: the largest share of one core, in percent.
    pub(crate) processor: BTreeMap<String, f64>,
    /// Resident memory of all children together, in MiB.
    pub(crate) children_memory: f64,
    /// How long idleness was watched.
    pub(crate) watched: Duration,
    /// By binary: MiB on disk.
    pub(crate) size: BTreeMap<String, f64>,
}

/// Watches a ready control plane that nobody uses.
pub(crate) async fn measure(instances: &[Instance], watched: Duration) -> Result<Cost> {
    let before = instances.iter().map(processor_seconds).collect::<Result<Vec<_>>>()?;
    tokio::time::sleep(watched).await;
    let mut largest: BTreeMap<String, f64> = BTreeMap::new();
    let mut with_program: BTreeMap<String, f64> = BTreeMap::new();
    let mut processor: BTreeMap<String, f64> = BTreeMap::new();
    let mut children_memory = 0.0;
    for (instance, before) in instances.iter().zip(before) {
        let used = (processor_seconds(instance)? - before) / watched.as_secs_f64() * 100.0;
        let supervisor = supervisor(instance)?;
        let most = |map: &mut BTreeMap<String, f64>, value: f64| {
            let known = map.entry(instance.component.clone()).or_default();
            *known = known.max(value);
        };
        most(&mut largest, memory::resident(supervisor, &memory::OWN)?);
        most(&mut with_program, memory::resident(supervisor, &memory::ALL)?);
        most(&mut processor, used);
        if let Some(child) = instance.pid {
            children_memory += memory::resident(child, &memory::ALL)?;
        }
    }
    let mut size = BTreeMap::new();
    for component in largest.keys() {
        let name = end_to_end::supervisor_of(component);
        let bytes = std::fs::metadata(binary(name)).with_context(|| format!("no binary {name}"))?.len();
        size.insert(name.to_owned(), bytes as f64 / f64::from(1 << 20));
    }
    Ok(Cost { memory: largest, with_program, processor, children_memory, watched, size })
}

fn supervisor(instance: &Instance) -> Result<u32> {
    instance.supervisor_pid.with_context(|| format!("{} has no supervisor", instance.name))
}

/// Processor time that the supervisor has used so far.
fn processor_seconds(instance: &Instance) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", supervisor(instance)?))?;
    // The name in parentheses may hold spaces; utime and stime are fields 14 and 15 of proc(5).
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or_default();
    Ok((ticks(14) + ticks(15)) / TICKS_PER_SECOND)
}
