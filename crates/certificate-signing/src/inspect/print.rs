//! A table for people and JSON for programs. Pure.
//! Refuses colours and widths of terminals: the table is as wide as its contents.

use std::fmt::Write as _;

use certificates::Usage;

use super::InspectedCertificate;

const HEADINGS: [&str; 9] =
    ["FILE", "WHAT", "SUBJECT", "ISSUER", "NAMES", "USAGES", "EXPIRES", "REMAINING", "TAKEN UP BY"];

/// One line a certificate, columns aligned.
#[must_use]
pub fn table(certificates: &[InspectedCertificate]) -> String {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(certificates.iter().map(row));
    let widths: Vec<usize> = (0..HEADINGS.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a String cannot fail.
            let _infallible = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A list of objects.
#[must_use]
pub fn json(certificates: &[InspectedCertificate]) -> String {
    // Strings, numbers and lists of them cannot fail to serialize.
    let mut text = serde_json::to_string_pretty(certificates).unwrap_or_default();
    text.push('\n');
    text
}

fn row(certificate: &InspectedCertificate) -> [String; 9] {
    let file = certificate.file.display().to_string();
    if let Some(problem) = &certificate.problem {
        let mut row = [const { String::new() }; 9];
        row[0] = file;
        row[1] = format!("unreadable: {problem}");
        return row;
    }
    let names: Vec<String> = certificate.names.iter().map(ToString::to_string).collect();
    let usages: Vec<&str> = certificate
        .usages
        .iter()
        .map(|usage| match usage {
            Usage::Server => "server",
            Usage::Client => "client",
        })
        .collect();
    [
        file,
        certificate.what.clone().unwrap_or_else(|| "unknown".to_owned()),
        certificate.subject.clone(),
        certificate.issuer.clone(),
        or_dash(names.join(",")),
        or_dash(usages.join(",")),
        day_and_time(certificate),
        remaining(certificate.remaining_seconds),
        certificate.taken_up_by.clone(),
    ]
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn day_and_time(certificate: &InspectedCertificate) -> String {
    let at = certificate.not_after;
    format!("{} {:02}:{:02}:{:02}Z", at.date(), at.hour(), at.minute(), at.second())
}

/// The two largest units: "2d 23h", "11m 59s".
fn remaining(seconds: i64) -> String {
    if seconds <= 0 {
        return "expired".to_owned();
    }
    let units = [(365 * 86400, "y"), (86400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = seconds;
    let mut parts = Vec::new();
    for (length, name) in units {
        if rest >= length {
            parts.push(format!("{}{name}", rest / length));
            rest %= length;
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_remains_is_told_in_two_units() {
        for (seconds, expected) in [
            (-5, "expired"),
            (0, "expired"),
            (7, "7s"),
            (719, "11m 59s"),
            (3600, "1h"),
            (72 * 3600 - 1, "2d 23h"),
            (10 * 365 * 86400, "10y"),
        ] {
            assert_eq!(remaining(seconds), expected);
        }
    }
}
