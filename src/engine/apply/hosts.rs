//! Changes of the settings of hosts.

use super::{Origin, State, judge};
use crate::link::{HostCommand, HostRecord, Outcome, Refusal, Subject, encode_host};
use crate::store::{StoreError, keyspace};

pub(super) fn apply(
    state: &mut impl State,
    command: &HostCommand,
    origin: Origin,
) -> Result<Result<Outcome, Refusal>, StoreError> {
    let HostCommand { host, settings, precondition } = command;
    let found = state.host(host.as_str())?;
    let version = found.as_ref().map(|record| record.version);
    if let Err(refusal) = judge(*precondition, version, || Subject::Host(host.clone())) {
        return Ok(Err(refusal));
    }
    let typed = keyspace::host_key(host.as_str());
    Ok(Ok(match (settings, found) {
        (None, None) => Outcome::Unchanged,
        (None, Some(_)) => {
            state.set_value(typed, None);
            Outcome::Deleted
        }
        (Some(settings), Some(found)) if found.settings == **settings => Outcome::Unchanged,
        (Some(settings), found) => {
            let record = HostRecord {
                host: host.clone(),
                settings: (**settings).clone(),
                created_at_ms: found.as_ref().map_or(origin.time_ms, |found| found.created_at_ms),
                updated_at_ms: origin.time_ms,
                version: origin.version(found.as_ref().map(|found| found.version)),
            };
            state.set_value(typed, Some(encode_host(&record)));
            match found {
                None => Outcome::Created(origin.link_id()),
                Some(_) => Outcome::Replaced { version: record.version },
            }
        }
    }))
}
