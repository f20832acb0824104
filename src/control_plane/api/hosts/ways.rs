//! Where the fallbacks of hosts lead: those that could never work are refused when they are set.
//!
//! Only settings are judged, by those that there are at the moment. What another host sets later may still close a circle;
//! then that one is refused. Whether links lie on the way nobody asks: for the paths that have none, the way goes on.

use crate::engine::Tables;
use crate::link::{Host, HostSettings, Target};

/// Most hosts that are followed. A longer way is taken to end: browsers give up after some 20 redirects.
const STEPS: usize = 32;

/// Judges the fallback that a host is to have.
///
/// # Errors
/// Why it could not work.
pub(super) fn judge_fallback(tables: &Tables, host: &Host, settings: &HostSettings) -> Result<(), String> {
    let Some(mut at) = settings.fallback.as_ref().map(Target::requested_host) else { return Ok(()) };
    if at == host.as_str() {
        return Err(format!(
            "the fallback is on {host} itself, whatever the port: a request that was sent there would come back, so none \
             is. Give another host, or links and `not_found_target`"
        ));
    }
    let mut way = Vec::new();
    while way.len() < STEPS {
        let Some(next) = holding(tables, host, settings, &at).and_then(|settings| settings.fallback.as_ref()) else {
            return Ok(());
        };
        let next = next.requested_host();
        if next == at {
            // Not followed from there, as this one would not be: the way ends with 404.
            return Ok(());
        }
        way.push(at);
        if next == host.as_str() || way.contains(&next) {
            let hosts: Vec<&str> = way.iter().map(String::as_str).chain([next.as_str()]).collect();
            return Err(format!(
                "the fallback leads in a circle: {host}, {}. Give another host, or take the fallback of one of these away",
                hosts.join(", ")
            ));
        }
        at = next;
    }
    Ok(())
}

/// The settings that hold for requests to a host, once `host` has these.
fn holding<'a>(tables: &'a Tables, host: &Host, settings: &'a HostSettings, name: &str) -> Option<&'a HostSettings> {
    let get = |name: &str| match name == host.as_str() {
        true => Some(settings),
        false => tables.host(name.as_bytes()).map(|entry| &entry.record.settings),
    };
    get(name).or_else(|| get(Host::ANY))
}
