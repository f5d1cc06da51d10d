//! Which rows a terminal has lines for: all of them, or those that are not ready, and the others counted in one line.
//! Pure. Refuses to know how a line looks.

use super::Row;

/// What is drawn of some rows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded<'a> {
    /// One line each.
    pub(super) rows: Vec<&'a Row>,
    /// What is said of all others in one line; none if there are no others.
    pub(super) others: Option<Others>,
}

/// Rows without a line of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Others {
    /// How many of them are ready.
    pub(super) ready: usize,
    /// How many are not.
    pub(super) not_ready: usize,
}

/// Fits `rows` into a terminal of `height` lines. Those that somebody waits for come before those that are at rest.
pub(super) fn fold(rows: &[Row], height: usize) -> Folded<'_> {
    // The cursor stands in the line after the last one.
    let room = height.saturating_sub(1).max(1);
    if rows.len() <= room {
        return Folded { rows: rows.iter().collect(), others: None };
    }
    let (ready, mut shown): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.ready);
    shown.sort_by_key(|row| row.is_at_rest());
    let not_ready = shown.len().saturating_sub(room - 1);
    shown.truncate(room - 1);
    Folded { rows: shown, others: Some(Others { ready: ready.len(), not_ready }) }
}

impl Folded<'_> {
    pub(super) fn lines(&self) -> usize {
        self.rows.len() + usize::from(self.others.is_some())
    }
}

impl std::fmt::Display for Others {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.not_ready, self.ready) {
            (0, ready) => write!(formatter, "{ready} ready"),
            (not_ready, 0) => write!(formatter, "{not_ready} more not ready"),
            (not_ready, ready) => write!(formatter, "{not_ready} more not ready, {ready} ready"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(states: &[&str]) -> Vec<Row> {
        let row = |(place, state): (usize, &&str)| Row {
            name: format!("instance-{place}"),
            state: (*state).to_owned(),
            ready: *state == "Running",
            detail: String::new(),
        };
        states.iter().enumerate().map(row).collect()
    }

    fn folded(states: &[&str], height: usize) -> (Vec<String>, String) {
        let rows = rows(states);
        let folded = fold(&rows, height);
        let names = folded.rows.iter().map(|row| row.name.replace("instance-", "")).collect();
        (names, folded.others.map_or(String::new(), |others| others.to_string()))
    }

    #[test]
    fn what_is_not_ready_keeps_its_lines_and_the_others_are_counted() {
        let states = ["Running", "Planned", "Running", "Waiting", "Starting"];
        let told = |names: &[&str], others: &str| {
            (names.iter().map(ToString::to_string).collect::<Vec<_>>(), others.to_owned())
        };
        assert_eq!(folded(&states, 6), told(&["0", "1", "2", "3", "4"], ""));
        assert_eq!(folded(&states, 5), told(&["3", "4", "1"], "2 ready"));
        assert_eq!(folded(&states, 4), told(&["3", "4"], "1 more not ready, 2 ready"));
        assert_eq!(folded(&states, 2), told(&[], "3 more not ready, 2 ready"));
        assert_eq!(folded(&states[3..], 2), told(&[], "2 more not ready"));
    }

    proptest! {
        #[test]
        fn everything_is_shown_or_counted_and_leaves_a_line_for_the_cursor(
            states in prop::collection::vec(prop::sample::select(vec!["Running", "Planned", "Waiting"]), 0..20),
            height in 0_usize..25,
        ) {
            let rows = rows(&states);
            let folded = fold(&rows, height);
            let counted = folded.others.map_or(0, |others| others.ready + others.not_ready);
            prop_assert_eq!(folded.rows.len() + counted, rows.len());
            prop_assert!(folded.lines() <= height.saturating_sub(1).max(1));
            // Not more is hidden than must be.
            prop_assert!(folded.others.is_none() || rows.len() >= height);
            let one_ready_shown = folded.rows.iter().any(|row| row.ready);
            prop_assert!(folded.others.is_none() || !one_ready_shown);
        }
    }
}
