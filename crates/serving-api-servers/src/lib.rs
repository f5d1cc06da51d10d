//! The API servers that serve now: a list of URLs, or the addresses behind a name, looked up at each question, and the version
//! of each. Refuses to ask "the API server" where several are behind one address: they may differ.

mod serving;
mod versions;

pub use serving::{ApiServer, ServingApiServers};
pub use versions::AnsweredVersions;
