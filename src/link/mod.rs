//! The domain: what a redirect is made of, and its canonical forms.
//!
//! Parse, don't validate: a [`Target`] that exists is an absolute http(s) URL without control characters, a
//! [`Host`] that exists is lower-case ASCII, a [`LinkKey`] that exists is in canonical form. Raw text stays
//! with whoever read it.

mod cache_control;
mod code;
mod codec;
mod command;
mod destination;
mod host;
mod host_settings;
mod key;
mod normalize;
mod operation;
mod options;
mod query_policy;
mod request_key;
mod shown;
mod source;
mod target;
mod terms;
mod text;
mod token;

pub use cache_control::{CacheControl, CacheControlError};
pub use code::{CodeAlphabet, CodeAlphabetError, CodeLength, CodeLengthError};
pub use codec::{
    DecodeError, PlainEntry, StoredEntry, decode_authored, decode_count, decode_host, decode_payload, decode_token,
    encode_count, encode_host, encode_payload, encode_token,
};
pub(crate) use codec::{decode_checked, encode_checked};
pub use command::{
    Action, Authored, Chains, Change, Command, HostCommand, Outcome, Payload, Precondition, Refusal, SetId, SetLink,
    Subject, TokenCommand,
};
pub use destination::{Destination, DestinationError, Link, LinkId, Status, StatusError};
pub use host::{Host, HostError};
pub use host_settings::{
    Folding, HostRecord, HostSettingError, HostSettings, Percent, ReferrerPolicy, RobotsTag, TargetPatterns,
    TargetRefused, UnknownHosts,
};
pub use key::{KeyError, LinkKey};
pub use operation::Operation;
pub use options::{Edit, LinkOptions, LinkPatch, LinkState, OptionsError, PatchError};
pub use query_policy::{QueryPolicy, QueryPolicyError};
pub use request_key::RequestKey;
pub(crate) use shown::shown;
pub use source::SourceUrl;
pub(crate) use source::is_plainly_url_or_path;
pub use target::{Target, TargetError};
pub use terms::Terms;
pub use text::{Note, Tag, Tags, TextError, Title};
pub use token::{Actor, Scope, TokenId, TokenRecord};
