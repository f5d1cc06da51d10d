//! Rust text without its comments and the contents of its strings, so that rules about code do not
//! trip over prose. It knows tokens only as far as that needs; lines stay where they are.

/// The code alone: everything else becomes spaces.
pub(crate) fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let after_identifier = code.chars().next_back().is_some_and(is_identifier);
        let skipped = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => string(rest),
            'r' if !after_identifier => raw_string(rest),
            '\'' => character(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().map(|character| if character == '\n' { '\n' } else { ' ' }));
            rest = &rest[skipped..];
        }
    }
    code
}

pub(crate) fn is_identifier(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Block comments nest.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// `r"…"` and `r#"…"#`; nothing when it is an identifier that begins with r.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let opening = 1 + hashes;
    if !text[opening..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let content = &text[opening + 1..];
    content.find(&end).map_or(text.len(), |at| opening + 1 + at + end.len())
}

/// A character literal; nothing when it is a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((at, _))) => {
            // The escaped character may itself be a quote.
            let from = at + 1;
            text.get(from..).and_then(|rest| rest.find('\'')).map_or(0, |quote| from + quote + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        code(text).split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn comments_go_and_lines_stay() {
        let text = "a // tokio\n/* tokio /* nested */ kube */ b\nc";
        assert_eq!(words(text), ["a", "b", "c"]);
        assert_eq!(code(text).lines().count(), 3);
    }

    #[test]
    fn contents_of_strings_go() {
        assert_eq!(words(r#"x = "a \" tokio" ;"#), ["x", "=", ";"]);
        assert_eq!(words(r##"x = r#"a " tokio"# ;"##), ["x", "=", ";"]);
        assert_eq!(words("x = b\"tokio\" ;"), ["x", "=", "b", ";"]);
        assert_eq!(words("for r in row"), ["for", "r", "in", "row"]);
    }

    #[test]
    fn quotes_in_characters_open_no_string() {
        assert_eq!(
            words(r#"match c { '"' => tokio , '\'' => kube , '\u{7f}' => x }"#).join(" "),
            "match c { => tokio , => kube , => x }"
        );
        assert_eq!(words("fn f<'a>(x: &'a str) {}"), ["fn", "f<'a>(x:", "&'a", "str)", "{}"]);
    }
}
