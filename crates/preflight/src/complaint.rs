//! Finds, in all that a Go binary prints when it refuses its flags, the one line that says which and why. Pure.

/// How the flag packages of Go and Kubernetes begin or mark the line that matters.
const MARKS: [&str; 8] = [
    "unknown flag",
    "unknown shorthand flag",
    "flag provided but not defined",
    "invalid argument",
    "invalid value",
    "flag needs an argument",
    "unrecognized feature gate",
    "does not take any arguments",
];

/// The complaint without decoration, at most 300 characters.
pub(crate) fn complaint(stderr: &str) -> String {
    let marked = stderr.lines().find(|line| MARKS.iter().any(|mark| line.contains(mark)));
    let line =
        marked.or_else(|| stderr.lines().rfind(|line| !line.trim().is_empty())).unwrap_or("no message");
    // klog: E1122 19:30:11.101268   19717 run.go:72] "command failed" err="unrecognized feature gate: Bla"
    let told = match line.split_once("err=\"") {
        Some((_, quoted)) => quoted.trim_end().trim_end_matches('"'),
        None => line.trim().trim_start_matches("Error: "),
    };
    told.replace("\\\"", "\"").chars().take(300).collect()
}

/// Which of `argv` the complaint is about: the flag whose name it contains, the longest name first.
pub(crate) fn accused<'a>(complaint: &str, argv: &'a [String]) -> Option<&'a str> {
    let words: Vec<&str> = complaint
        .split(|separator: char| !(separator.is_ascii_alphanumeric() || "-_".contains(separator)))
        .collect();
    argv.iter()
        .filter_map(|argument| {
            let name = argument.split('=').next()?;
            let bare = name.trim_start_matches('-');
            words.iter().any(|word| word.trim_start_matches('-') == bare).then_some(name)
        })
        .max_by_key(|name| name.len())
        .or_else(|| {
            let gate = complaint.split_once("feature gate: ")?.1;
            argv.iter()
                .find(|argument| argument.starts_with("--feature-gates") && argument.contains(gate))
                .map(|_| "--feature-gates")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_that_matters_is_found_in_what_the_binaries_print() {
        for (stderr, told) in [
            ("Error: unknown flag: --no-such\n", "unknown flag: --no-such"),
            (
                "E1122 19:30:11.101268   19717 run.go:72] \"command failed\" err=\"unrecognized feature gate: Bla\"\n",
                "unrecognized feature gate: Bla",
            ),
            ("Usage:\n  kube-scheduler [flags]\n\nunknown flag: --no-such\n", "unknown flag: --no-such"),
            (
                "flag provided but not defined: -no-such\nUsage:\n  etcd [flags]\n",
                "flag provided but not defined: -no-such",
            ),
            ("", "no message"),
            ("exec format error", "exec format error"),
        ] {
            assert_eq!(complaint(stderr), told);
        }
    }

    #[test]
    fn the_accused_flag_is_named() {
        let argv =
            ["--v=2".to_owned(), "--no-such=1".to_owned(), "--feature-gates=A=true,Bla=true".to_owned()];
        assert_eq!(accused("unknown flag: --no-such", &argv), Some("--no-such"));
        assert_eq!(accused("flag provided but not defined: -no-such", &argv), Some("--no-such"));
        assert_eq!(accused("unrecognized feature gate: Bla", &argv), Some("--feature-gates"));
        assert_eq!(accused("something else", &argv), None);
    }
}
