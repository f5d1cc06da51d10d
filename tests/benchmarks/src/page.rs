//! A page and its pictures, on their way to the documentation.

use std::path::Path;

use anyhow::Result;

use crate::sample::Sample;

/// What is written.
pub(crate) struct Page {
    /// Its file name.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) markdown: String,
    /// Pictures by their file names.
    pub(crate) pictures: Vec<(&'static str, String)>,
}

impl Page {
    /// Writes page and pictures below `directory`.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let pictures = directory.join("pictures");
        std::fs::create_dir_all(&pictures)?;
        durable_files::write_public(&directory.join(self.name), self.markdown.as_bytes())?;
        for (name, picture) in &self.pictures {
            durable_files::write_public(&pictures.join(name), picture.as_bytes())?;
        }
        Ok(())
    }
}

/// `median unit (least to most)`.
pub(crate) fn range(sample: &Sample, decimals: usize, unit: &str) -> String {
    let (median, least, most) = (sample.median(), sample.least(), sample.most());
    format!("{median:.decimals$} {unit} ({least:.decimals$} to {most:.decimals$})")
}
