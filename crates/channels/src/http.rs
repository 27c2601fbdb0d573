//! The one HTTP client: a deadline over everything, a limit on everything, and nothing done unasked.
//!
//! HTTP/1.1 over TLS, or over plain TCP where the operator opened it. No redirects, no proxies from the
//! environment, no cookies, no decompression, no hidden second try: one request is one attempt. Every
//! connection is dialled by [`crate::egress::Guard`]'s word.

mod answer;
mod client;
mod dial;
mod fault;
mod gate;
mod retry_after;
mod tls;
mod transport;

pub use answer::BODY_READ_BYTES_MAX;
pub(crate) use client::Unread;
pub use client::{Client, Clock};
pub use dial::Limits;
pub use retry_after::wait_in;
pub use tls::InvalidRoots;
