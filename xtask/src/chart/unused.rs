//! Values that no template looks at. Pure. A name is looked for, not a path: a linter, no proof.

use super::annotated::Annotated;

/// Set by Helm for parent charts; nothing here may depend on it.
const FOR_OTHERS: &str = "global";

/// The values whose names stand in none of the templates.
pub(crate) fn unused(annotated: &Annotated, templates: &str) -> Vec<String> {
    // Sections have no description, and what is below an open value is Kubernetes' to read.
    let described = annotated.keys.iter().filter(|(_, annotation)| !annotation.description.is_empty());
    let keys = described.map(|(path, _)| path);
    keys.filter(|path| *path != FOR_OTHERS && !is_named(path, templates)).cloned().collect()
}

fn is_named(path: &str, templates: &str) -> bool {
    let name = path.rsplit('.').next().unwrap_or(path);
    templates.match_indices(name).any(|(start, _)| {
        let after = templates[start + name.len()..].chars().next();
        templates[..start].ends_with('.') && !after.is_some_and(|character| character.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_template_names_is_found() {
        let annotated = Annotated::parse(
            "# -- G.\nglobal: {}\na:\n  # -- 1.\n  one: 1\n  # -- 2.\n  two: 2\n  # -- 3.\n  twofold: 3\n",
        )
        .unwrap();
        let unused = unused(&annotated, "{{ .Values.a.one }} {{ .Values.a.twofold }}");
        assert_eq!(unused, ["a.two"]);
    }
}
