//! A clock of our processes that can be set while they run: libfaketime looks into a file each time that it is asked for the
//! date. Refuses to touch how fast time goes, and the clock of the machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use durable_files::{FileError, write_private};
use end_to_end::fake_clock;

pub(crate) struct Clock {
    file: PathBuf,
}

/// It is right again when this is dropped.
pub(crate) struct Ahead(PathBuf);

impl Clock {
    /// A right one, whose file lies beside the state directory.
    pub(crate) fn beside(state: &Path) -> Self {
        let file = state.with_extension("clock");
        set(&file, Duration::ZERO).expect("a file can be written");
        Self { file }
    }

    /// What processes are started with that go by it.
    pub(crate) fn environment(&self) -> [(String, String); 4] {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&fake_clock())),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.file)),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
    }

    pub(crate) fn ahead(&self, by: Duration) -> Ahead {
        set(&self.file, by).expect("a file can be written");
        Ahead(self.file.clone())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // It is gone when the run has failed meanwhile; a second panic would end it before anything is cleaned up.
        let _right = set(&self.0, Duration::ZERO);
    }
}

fn set(file: &Path, ahead: Duration) -> Result<(), FileError> {
    write_private(file, format!("+{}\n", ahead.as_secs()).as_bytes())
}
