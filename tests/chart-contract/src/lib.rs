//! What the tests of the contract between chart and binaries need: a rendered chart, and the flags that a binary has.
//! It refuses clusters: nothing here is installed.

mod flags;
mod parent;
mod rendered;

pub use flags::{Flags, understood};
pub use parent::Copies;
pub use rendered::{Rendered, container, containers, in_chart, strings};
