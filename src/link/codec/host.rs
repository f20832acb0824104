//! Settings of hosts, and commands to them.

use prost::Message;

use super::command::{PreconditionMessage, precondition_from_message, precondition_to_message};
use super::{DecodeError, decode_checked, encode_checked, optional, required, valid};
use crate::link::cache_control::CacheControl;
use crate::link::code::{CodeAlphabet, CodeLength};
use crate::link::command::HostCommand;
use crate::link::destination::Status;
use crate::link::host::Host;
use crate::link::host_settings::{
    HostRecord, HostSettings, Percent, ReferrerPolicy, RobotsTag, TargetPatterns, UnknownHosts,
};
use crate::link::query_policy::QueryPolicy;
use crate::link::target::Target;

#[derive(Message)]
pub(super) struct HostCommandMessage {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(message, optional, tag = "2")]
    settings: Option<SettingsMessage>,
    #[prost(oneof = "PreconditionMessage", tags = "4, 5, 8")]
    precondition: Option<PreconditionMessage>,
}

#[derive(Message)]
struct SettingsMessage {
    #[prost(uint32, tag = "1")]
    default_status: u32,
    #[prost(string, tag = "2")]
    query_policy: String,
    #[prost(bool, tag = "3")]
    ignore_case: bool,
    #[prost(bool, tag = "4")]
    ignore_trailing_slash: bool,
    #[prost(string, tag = "5")]
    permanent_cache_control: String,
    #[prost(string, tag = "6")]
    temporary_cache_control: String,
    #[prost(uint32, tag = "7")]
    cache_jitter: u32,
    #[prost(string, tag = "8")]
    fallback: String,
    #[prost(string, tag = "9")]
    not_found_target: String,
    #[prost(uint32, tag = "10")]
    code_length: u32,
    #[prost(string, tag = "11")]
    code_alphabet: String,
    #[prost(string, tag = "12")]
    referrer_policy: String,
    #[prost(string, tag = "13")]
    robots_tag: String,
    #[prost(bool, tag = "14")]
    allow_userinfo: bool,
    #[prost(string, repeated, tag = "15")]
    allowed_targets: Vec<String>,
    #[prost(string, repeated, tag = "16")]
    denied_targets: Vec<String>,
    #[prost(string, tag = "17")]
    unknown_hosts: String,
}

#[derive(Message)]
struct HostMessage {
    #[prost(message, optional, tag = "1")]
    settings: Option<SettingsMessage>,
    #[prost(uint64, tag = "2")]
    created_at_ms: u64,
    #[prost(uint64, tag = "3")]
    updated_at_ms: u64,
    #[prost(uint64, tag = "4")]
    version: u64,
}

fn text(value: Option<impl ToString>) -> String {
    value.map_or(String::new(), |value| value.to_string())
}

impl From<&HostSettings> for SettingsMessage {
    fn from(settings: &HostSettings) -> Self {
        let texts = |patterns: &TargetPatterns| patterns.iter().map(str::to_owned).collect();
        SettingsMessage {
            default_status: u32::from(settings.default_status.code()),
            query_policy: settings.query_policy.name().to_owned(),
            ignore_case: settings.ignore_case,
            ignore_trailing_slash: settings.ignore_trailing_slash,
            permanent_cache_control: text(settings.permanent_cache_control),
            temporary_cache_control: text(settings.temporary_cache_control),
            cache_jitter: u32::from(settings.cache_jitter.get()),
            fallback: text(settings.fallback.as_ref()),
            not_found_target: text(settings.not_found_target.as_ref()),
            code_length: u32::from(settings.code_length.get()),
            code_alphabet: settings.code_alphabet.as_str().to_owned(),
            referrer_policy: text(settings.referrer_policy.map(ReferrerPolicy::as_str)),
            robots_tag: text(settings.robots_tag.as_ref().map(RobotsTag::as_str)),
            allow_userinfo: settings.allow_userinfo,
            allowed_targets: texts(&settings.allowed_targets),
            denied_targets: texts(&settings.denied_targets),
            unknown_hosts: settings.unknown_hosts.name().to_owned(),
        }
    }
}

impl TryFrom<SettingsMessage> for HostSettings {
    type Error = DecodeError;

    fn try_from(message: SettingsMessage) -> Result<Self, DecodeError> {
        let status = u16::try_from(message.default_status).ok().and_then(Status::from_code);
        let policy = &message.query_policy;
        let unknown = &message.unknown_hosts;
        let target = |field, text: &str| optional(field, text, |text| Target::from_stored(text).ok_or(()));
        let cache = |field, text: &str| optional(field, text, CacheControl::parse);
        let patterns = |field, texts: &[String]| {
            valid(field, texts.join(" "), TargetPatterns::parse(texts.iter().map(String::as_str)))
        };
        Ok(HostSettings {
            default_status: valid("default_status", message.default_status, status.ok_or(()))?,
            query_policy: valid("query_policy", policy, QueryPolicy::parse(policy))?,
            ignore_case: message.ignore_case,
            ignore_trailing_slash: message.ignore_trailing_slash,
            permanent_cache_control: cache("permanent_cache_control", &message.permanent_cache_control)?,
            temporary_cache_control: cache("temporary_cache_control", &message.temporary_cache_control)?,
            cache_jitter: valid("cache_jitter", message.cache_jitter, Percent::new(message.cache_jitter.into()))?,
            fallback: target("fallback", &message.fallback)?,
            not_found_target: target("not_found_target", &message.not_found_target)?,
            code_length: valid("code_length", message.code_length, CodeLength::new(message.code_length.into()))?,
            code_alphabet: valid("code_alphabet", &message.code_alphabet, CodeAlphabet::parse(&message.code_alphabet))?,
            referrer_policy: optional("referrer_policy", &message.referrer_policy, ReferrerPolicy::parse)?,
            robots_tag: optional("robots_tag", &message.robots_tag, RobotsTag::parse)?,
            allow_userinfo: message.allow_userinfo,
            allowed_targets: patterns("allowed_targets", &message.allowed_targets)?,
            denied_targets: patterns("denied_targets", &message.denied_targets)?,
            unknown_hosts: valid("unknown_hosts", unknown, UnknownHosts::from_name(unknown).ok_or(()))?,
        })
    }
}

impl From<&HostCommand> for HostCommandMessage {
    fn from(command: &HostCommand) -> Self {
        HostCommandMessage {
            host: command.host.as_str().to_owned(),
            settings: command.settings.as_deref().map(SettingsMessage::from),
            precondition: precondition_to_message(command.precondition),
        }
    }
}

impl TryFrom<HostCommandMessage> for HostCommand {
    type Error = DecodeError;

    fn try_from(message: HostCommandMessage) -> Result<Self, DecodeError> {
        let settings = message.settings.map(HostSettings::try_from).transpose()?;
        Ok(HostCommand {
            host: valid("host", &message.host, Host::parse(&message.host))?,
            settings: settings.map(Box::new),
            precondition: precondition_from_message(message.precondition)?,
        })
    }
}

/// Encodes the settings of a host for the store, under its name.
pub fn encode_host(record: &HostRecord) -> Vec<u8> {
    let message = HostMessage {
        settings: Some((&record.settings).into()),
        created_at_ms: record.created_at_ms,
        updated_at_ms: record.updated_at_ms,
        version: record.version,
    };
    encode_checked(record.host.as_str().as_bytes(), &message)
}

/// Decodes what [`encode_host`] wrote under the name of the host.
///
/// # Errors
/// If the bytes are damaged, or of another host.
pub fn decode_host(name: &[u8], bytes: &[u8]) -> Result<HostRecord, DecodeError> {
    let message: HostMessage = decode_checked(name, bytes)?;
    let name = String::from_utf8_lossy(name);
    Ok(HostRecord {
        host: valid("host", &name, Host::parse(&name))?,
        settings: required(message.settings, "settings")?.try_into()?,
        created_at_ms: message.created_at_ms,
        updated_at_ms: message.updated_at_ms,
        version: message.version,
    })
}
