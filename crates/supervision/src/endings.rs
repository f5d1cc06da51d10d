//! What an ending means: good after a stop that was asked for, and the exit code it gives the supervisor.
//! Refuses to call an unasked exit good, whatever its code.

use process_control::ChildEnding;

/// Exit code when a child will not be started with these settings: `EX_CONFIG` of sysexits.h.
pub const EXIT_CODE_REFUSED: u8 = 78;

/// Which endings are good once a stop was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoodEndings {
    /// Exit codes.
    pub codes: &'static [i32],
    /// Signals that end the child.
    pub signals: &'static [i32],
}

impl GoodEndings {
    /// Exit code 0 only.
    pub const EXIT_ZERO: Self = Self { codes: &[0], signals: &[] };
    /// Exit code 0 or death by SIGTERM: etcd, which kills itself with it after a clean shutdown (as PID 1 it exits
    /// 0), the controller managers, which do not handle it, and kube-apiserver and kube-scheduler, which do not yet
    /// handle it in their first moments.
    pub const EXIT_ZERO_OR_SIGTERM: Self = Self { codes: &[0], signals: &[15] };

    /// Whether this ending is good after a stop that was asked for.
    #[must_use]
    pub fn contain(&self, ending: ChildEnding) -> bool {
        match ending {
            ChildEnding::Exited(code) => self.codes.contains(&code),
            ChildEnding::Signalled(signal) => self.signals.contains(&signal),
        }
    }
}

/// The supervisor's exit code for an ending that is not good: the child's own, 128+n after signal n, never 0.
#[must_use]
pub fn exit_code(ending: ChildEnding) -> u8 {
    let code = match ending {
        ChildEnding::Exited(code) => code & 0xff,
        ChildEnding::Signalled(signal) => (128 + signal) & 0xff,
    };
    u8::try_from(code).unwrap_or(1).max(1)
}

/// An ending for people: "exit code 3", "signal 9".
#[must_use]
pub fn describe(ending: ChildEnding) -> String {
    match ending {
        ChildEnding::Exited(code) => format!("exit code {code}"),
        ChildEnding::Signalled(signal) => format!("signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_ending_gives_exit_code_zero() {
        for code in -1..=256 {
            assert_ne!(exit_code(ChildEnding::Exited(code)), 0, "exit code {code}");
        }
        for signal in 1..=64 {
            assert_eq!(i32::from(exit_code(ChildEnding::Signalled(signal))), 128 + signal);
        }
        assert_eq!(exit_code(ChildEnding::Exited(3)), 3);
        assert_eq!(exit_code(ChildEnding::Exited(0)), 1);
    }

    #[test]
    fn death_by_sigterm_is_good_only_where_it_is_listed() {
        assert!(GoodEndings::EXIT_ZERO_OR_SIGTERM.contain(ChildEnding::Signalled(15)));
        assert!(!GoodEndings::EXIT_ZERO.contain(ChildEnding::Signalled(15)));
        assert!(!GoodEndings::EXIT_ZERO_OR_SIGTERM.contain(ChildEnding::Signalled(9)));
    }
}
