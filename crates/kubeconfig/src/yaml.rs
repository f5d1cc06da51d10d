//! Quoting of YAML scalars.
//! Refuses plain scalars that a YAML reader could take for something else than the text.

use std::fmt::Write as _;

/// `text` as a YAML scalar on one line: plain where that is safe for every reader, else in double quotes.
pub(crate) fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Plain are URLs, host names and base64: letters first, nothing that YAML gives a meaning, no word like `true`.
fn is_plain(text: &str) -> bool {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let harmless = |character: char| character.is_ascii_alphanumeric() || "-_./@+=[]:".contains(character);
    let bracketed = text.contains(['[', ']']) && !text.starts_with("https://");
    let reserved = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "inf", "nan"];
    starts_well
        && text.chars().all(harmless)
        && !text.ends_with(':')
        && !bracketed
        && !reserved.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            control if control.is_control() || matches!(control, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                // Writing to a String cannot fail.
                let _infallible = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_yaml_would_misread_is_quoted() {
        for plain in ["https://127.0.0.1:6443", "https://[::1]:6443", "pilothouse", "a@b", "LS0tLS1CRUdJTg=="]
        {
            assert_eq!(scalar(plain), plain);
        }
        for (text, expected) in [
            ("true", "\"true\""),
            ("NO", "\"NO\""),
            ("123", "\"123\""),
            ("", "\"\""),
            ("a: b", "\"a: b\""),
            ("a:", "\"a:\""),
            ("- a", "\"- a\""),
            ("a #b", "\"a #b\""),
            ("say \"hi\"\n", "\"say \\\"hi\\\"\\u000a\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    proptest! {
        // Double-quoted YAML and JSON agree on these escapes.
        #[test]
        fn a_quoted_scalar_reads_back_as_the_text(text: String) {
            let read: String = serde_json::from_str(&quoted(&text)).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
