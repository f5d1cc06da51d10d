//! Reads the annotated values.yaml: which key has which description and which refinements of its schema. Pure.
//! It refuses annotations that describe nothing; the values themselves are read by a YAML parser.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// What is written above a key.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Annotation {
    /// The text after `# -- `, its lines joined.
    pub(crate) description: String,
    /// The object after `# @schema `, which ends with its last brace.
    pub(crate) schema: BTreeMap<String, Value>,
}

/// The values of a chart with what is said about each.
#[derive(Debug)]
pub(crate) struct Annotated {
    pub(crate) values: Value,
    /// Paths such as `etcd.image.tag` in the file's order, with their annotations.
    pub(crate) keys: Vec<(String, Annotation)>,
}

impl Annotated {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let values = serde_saphyr::from_str(text).context("values.yaml is no YAML")?;
        let mut reader = Reader::default();
        for (number, line) in text.lines().enumerate() {
            reader.line(line).with_context(|| format!("values.yaml, line {}", number + 1))?;
        }
        reader.closed().context("values.yaml, at its end")?;
        Ok(Self { values, keys: reader.keys })
    }

    pub(crate) fn annotation(&self, path: &str) -> Option<&Annotation> {
        self.keys.iter().find(|(key, _)| key == path).map(|(_, annotation)| annotation)
    }

    /// The default of a key.
    pub(crate) fn default(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(&self.values, |value, key| value.get(key))
    }
}

#[derive(Default)]
struct Reader {
    keys: Vec<(String, Annotation)>,
    /// The keys that the current line is below, with their indentation.
    above: Vec<(usize, String)>,
    pending: Option<Annotation>,
    /// What stands after `@schema` so far, until its last brace is closed.
    schema: Option<String>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<()> {
        let content = line.trim_start();
        let indentation = line.len() - content.len();
        if let Some(comment) = content.strip_prefix('#') {
            return self.comment(comment.trim_start());
        }
        self.closed()?;
        let Some((key, _)) = content.split_once(':').filter(|(key, _)| is_key(key)) else {
            if self.pending.is_some() {
                bail!("the comment above describes no value: put it directly above one");
            }
            return Ok(());
        };
        self.above.retain(|(outer, _)| *outer < indentation);
        self.above.push((indentation, key.to_owned()));
        let path = self.above.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
        self.keys.push((path, self.pending.take().unwrap_or_default()));
        Ok(())
    }

    fn comment(&mut self, comment: &str) -> Result<()> {
        if let Some(begun) = self.schema.take() {
            return self.schema(format!("{begun} {comment}"));
        }
        if let Some(description) = comment.strip_prefix("-- ") {
            let description = description.to_owned();
            self.pending = Some(Annotation { description, ..Annotation::default() });
        } else if let Some(schema) = comment.strip_prefix("@schema ") {
            return self.schema(schema.to_owned());
        } else if let Some(pending) = &mut self.pending {
            pending.description = format!("{} {comment}", pending.description);
        }
        Ok(())
    }

    /// Goes on with the next line while a brace is open.
    fn schema(&mut self, text: String) -> Result<()> {
        if text.matches('{').count() > text.matches('}').count() {
            self.schema = Some(text);
            return Ok(());
        }
        let schema = serde_saphyr::from_str(&text).context("@schema is not followed by a YAML object")?;
        self.pending.get_or_insert_default().schema = schema;
        Ok(())
    }

    fn closed(&self) -> Result<()> {
        if self.schema.is_some() {
            bail!("the object after @schema is not closed");
        }
        Ok(())
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|character| character.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_and_refinements_are_those_of_the_next_key() {
        let read = Annotated::parse(
            "# A title.\n\n# -- How many,\n# at most.\n# @schema {enum: [1, 3]}\nsize: 3\nouter:\n  # -- Inner.\n  inner: {a: 1}\nlast: x\n",
        )
        .unwrap();
        let size = read.annotation("size").unwrap();
        assert_eq!(size.description, "How many, at most.");
        assert_eq!(size.schema["enum"], serde_json::json!([1, 3]));
        assert_eq!(read.annotation("outer.inner").unwrap().description, "Inner.");
        assert_eq!(read.annotation("last"), Some(&Annotation::default()));
        assert_eq!(read.default("outer.inner.a"), Some(&serde_json::json!(1)));
    }

    #[test]
    fn a_refinement_may_have_several_lines() {
        let read =
            Annotated::parse("# -- A.\n# @schema {enum: [\n#   left,\n#   right],\n#   like: b}\na: x\n")
                .unwrap();
        let annotation = read.annotation("a").unwrap();
        assert_eq!(annotation.schema["enum"], serde_json::json!(["left", "right"]));
        assert_eq!(annotation.description, "A.");
        for open in ["# -- A.\n# @schema {enum: [x]\na: x\n", "# -- A.\n# @schema {enum: [x]\n"] {
            let error = format!("{:#}", Annotated::parse(open).unwrap_err());
            assert!(error.contains("not closed"), "{error}");
        }
    }

    #[test]
    fn an_annotation_without_a_key_is_refused() {
        let error = format!("{:#}", Annotated::parse("# -- Nothing.\n\nsize: 3\n").unwrap_err());
        assert!(error.contains("line 2"), "{error}");
    }
}
