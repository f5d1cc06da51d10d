//! Where the binaries under test are. `cargo xtask test` sets the variables.

use std::path::PathBuf;

/// The directory with the upstream binaries.
#[must_use]
pub fn components() -> PathBuf {
    directory("PILOTHOUSE_COMPONENTS")
}

/// The same of the minor version before, from which an upgrade begins.
#[must_use]
pub fn components_before() -> PathBuf {
    directory("PILOTHOUSE_UPGRADE_FROM")
}

/// An upstream binary.
#[must_use]
pub fn component(name: &str) -> PathBuf {
    components().join(name)
}

/// A binary of ours.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    directory("PILOTHOUSE_BINARIES").join(name)
}

/// The library that shows a process another clock.
#[must_use]
pub fn fake_clock() -> PathBuf {
    path("PILOTHOUSE_FAKE_CLOCK")
}

fn path(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set; run these tests with `cargo xtask test --step end-to-end`")
    });
    PathBuf::from(value)
}

fn directory(variable: &str) -> PathBuf {
    let directory = path(variable);
    assert!(directory.is_dir(), "{variable} is {}, which is no directory", directory.display());
    directory
}

/// The binary of ours that runs a component.
#[must_use]
pub fn supervisor_of(component: &str) -> &'static str {
    let found = naming_contract::Component::ALL.into_iter().find(|known| known.name() == component);
    found.unwrap_or_else(|| panic!("no component is called {component}")).supervisor()
}
