//! The table of values in the chart's README, made from the annotated values. Pure.
//! It refuses to touch anything outside its two marks.

use anyhow::{Context, Result};
use serde_json::Value;

use super::annotated::Annotated;

const BEGIN: &str = "<!-- values: written by `cargo xtask chart generate` -->\n";
const END: &str = "<!-- end of values -->";

/// The README with its table made anew.
pub(crate) fn in_readme(readme: &str, annotated: &Annotated) -> Result<String> {
    let (before, rest) =
        readme.split_once(BEGIN).with_context(|| format!("README.md has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("README.md has no line {END}"))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", table(annotated)))
}

fn table(annotated: &Annotated) -> String {
    let described = annotated.keys.iter().filter(|(_, of)| !of.description.is_empty());
    let rows = described.map(|(path, annotation)| {
        let default = annotated.default(path).map_or_else(String::new, rendered);
        let description = annotation.description.replace('|', "\\|");
        format!("| `{path}` | {default} | {description} |\n")
    });
    std::iter::once("| value | default | what it is |\n|---|---|---|\n".to_owned()).chain(rows).collect()
}

fn rendered(value: &Value) -> String {
    if value.is_null() { String::new() } else { format!("`{value}`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let annotated = Annotated::parse("# -- One | two.\na: 1\n").unwrap();
        let readme = format!("before\n{BEGIN}old\n{END}\nafter\n");
        let once = in_readme(&readme, &annotated).unwrap();
        assert!(once.contains("| `a` | `1` | One \\| two. |\n"), "{once}");
        assert!(once.starts_with("before\n") && once.ends_with("\nafter\n"));
        assert_eq!(in_readme(&once, &annotated).unwrap(), once);
        assert!(in_readme("nothing", &annotated).is_err());
    }
}
