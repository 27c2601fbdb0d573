//! Where we may connect to: everything between a customer's URL and a socket address.
//!
//! [`Endpoint`] judges the text, [`AddressPolicy`] judges addresses, [`Guard`] resolves names and lets
//! only vetted addresses through. The connector of [`crate::http`] asks the guard at every connection and
//! dials nothing else, so a name that moves to an inner address after registration gains nothing.

mod allow_rule;
mod endpoint;
mod guard;
mod policy;
mod resolve;
mod special_purpose;
mod spelling;

pub use allow_rule::{AllowRule, InvalidAllowRule, PortRange};
pub use endpoint::{Endpoint, Host};
pub use guard::{Denied, Guard};
pub use policy::AddressPolicy;
pub use resolve::{ADDRESSES_MAX, ALIASES_MAX, LookUp, NoResolver, Resolve, ResolveError, SystemResolver};
pub use special_purpose::special_purpose;
pub use spelling::URL_BYTES_MAX;
