//! The table of `pilothouse status`. Pure: the present time is an argument.
//! Refuses to cut what is long: the reason comes last and may be any length.

use std::fmt::Write as _;

use time::OffsetDateTime;

use crate::row::InstanceStatus;

/// NODE is left out where nothing runs in Pods.
const HEADINGS: [&str; 9] =
    ["NAME", "STATE", "READY", "LEADER", "RESTARTS", "SINCE", "CERTIFICATE EXPIRES", "NODE", "REASON"];
const NODE: usize = 7;

/// All instances, one line each, columns aligned.
#[must_use]
pub fn table(statuses: &[InstanceStatus], now: OffsetDateTime) -> String {
    let has_nodes = statuses.iter().any(|status| status.node.is_some());
    let rows: Vec<[String; 9]> = std::iter::once(HEADINGS.map(str::to_owned))
        .chain(statuses.iter().map(|status| cells(status, now)))
        .collect();
    let mut widths = [0; 9];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, (width, cell)) in widths.iter().zip(row).enumerate() {
            if column != NODE || has_nodes {
                // Writing to a String cannot fail.
                let _infallible = write!(line, "{cell:width$}  ");
            }
        }
        let _infallible = writeln!(text, "{}", line.trim_end());
    }
    text
}

fn cells(status: &InstanceStatus, now: OffsetDateTime) -> [String; 9] {
    let leader = status.leader.map_or("", |leads| if leads { "yes" } else { "no" });
    let since = status.since.map_or(String::new(), |since| rounded(now - since));
    let expires = status.certificates.iter().map(|certificate| certificate.not_after).min().map_or(
        String::new(),
        |end| {
            if end <= now { "EXPIRED".into() } else { format!("in {}", rounded(end - now)) }
        },
    );
    [
        status.name.clone(),
        status.state.clone(),
        if status.ready { "yes" } else { "no" }.to_owned(),
        leader.to_owned(),
        restarts(status),
        since,
        expires,
        status.node.clone().unwrap_or_default(),
        reason(status).replace(['\n', '\r'], " "),
    ]
}

fn reason(status: &InstanceStatus) -> String {
    let mut reason = match &status.last_observation {
        Some(seen) if !status.ready && *seen != status.reason => format!("{} (saw: {seen})", status.reason),
        _ => status.reason.clone(),
    };
    if let Some(off) = status.details.get(LEASE_CLEARING).filter(|clearing| clearing.starts_with("off")) {
        // Writing to a String cannot fail.
        let _infallible = write!(reason, "; clearing of leases is {off}");
    }
    reason
}

/// The detail by which a controller's supervisor tells that it leaves leases alone, and why.
const LEASE_CLEARING: &str = "leaseClearing";

/// The child's restarts, and the supervisor's if there were any.
fn restarts(status: &InstanceStatus) -> String {
    match status.supervisor_restarts {
        0 => status.restarts.to_string(),
        supervisor => format!("{} (+{supervisor} supervisor)", status.restarts),
    }
}

/// A duration in its two largest units, as kubectl shows ages.
fn rounded(duration: time::Duration) -> String {
    let seconds = duration.whole_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{minutes}m"),
        (days, hours, _) => format!("{days}d{hours}h"),
    }
}

#[cfg(test)]
mod tests;
