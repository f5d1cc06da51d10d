//! The one HTTP/1.1 server loop of the project: plain or TLS, bounded in connections, time and body size.
//! Refuses routing and authentication; a handler gets a whole request and gives a whole response.

mod serve;

pub use serve::{Limits, Request, Response, TlsSource, respond, serve};
