//! The domain: what a redirect is made of, and its canonical forms.
//!
//! Parse, don't validate: a [`Target`] that exists is an absolute http(s) URL without control characters, a
//! [`Host`] that exists is lower-case ASCII, a [`LinkKey`] that exists is in canonical form. Raw text stays
//! with whoever read it.

mod codec;
mod command;
mod destination;
mod host;
mod key;
mod normalize;
mod operation;
mod request_key;
mod shown;
mod source;
mod target;

pub use codec::{DecodeError, StoredEntry, decode_payload, encode_payload};
pub(crate) use codec::{decode_checked, encode_checked};
pub use command::{Action, Command, Outcome, Payload, Precondition, Refusal, SetId};
pub use destination::{Destination, DestinationError, Link, LinkId, Status, StatusError};
pub use host::{Host, HostError};
pub use key::{KeyError, LinkKey};
pub use operation::Operation;
pub use request_key::RequestKey;
pub(crate) use shown::shown;
pub use source::SourceUrl;
pub(crate) use source::is_plainly_url_or_path;
pub use target::{Target, TargetError};
