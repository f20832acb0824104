//! Which targets a host may send to.

use crate::engine::Tables;
use crate::link::{Host, HostSettings, Target, TargetError, TargetRefused};

/// Reads a target, and judges it by the settings of the host that would send there, and of any host.
///
/// # Errors
/// Why it can't be taken.
pub(crate) fn read(tables: &Tables, host: &str, text: &str) -> Result<Target, String> {
    let settings = tables.host_or_any(host.as_bytes()).map(|entry| &entry.record.settings);
    read_by(tables, settings.unwrap_or(&HostSettings::default()), text)
}

/// The same with settings that the host is to have.
///
/// # Errors
/// Why it can't be taken.
pub(crate) fn read_by(tables: &Tables, settings: &HostSettings, text: &str) -> Result<Target, String> {
    let target = match settings.allow_userinfo {
        true => Target::parse_with_userinfo(text),
        false => Target::parse(text),
    };
    let target = target.map_err(|error: TargetError| error.to_string())?;
    judge(tables, settings, &target).map_err(|error| error.to_string())?;
    Ok(target)
}

/// Judges a target by settings, and by what is denied for any host.
///
/// # Errors
/// Why the host may not send there.
pub(crate) fn judge(tables: &Tables, settings: &HostSettings, target: &Target) -> Result<(), TargetRefused> {
    settings.judge_target(target, tables.host(Host::ANY.as_bytes()).map(|any| &any.record.settings))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::TargetPatterns;

    #[test]
    fn a_dot_at_the_end_makes_no_other_host() {
        let settings =
            HostSettings { denied_targets: TargetPatterns::parse(["bad.example"]).unwrap(), ..HostSettings::default() };
        let tables = Tables::default();
        assert!(read_by(&tables, &settings, "https://good.example/").is_ok());
        for target in ["https://bad.example/", "https://BAD.example./", "https://u:p@good.example/"] {
            assert!(read_by(&tables, &settings, target).is_err(), "{target}");
        }
        let settings = HostSettings { allowed_targets: TargetPatterns::parse(["*.good.example"]).unwrap(), ..settings };
        assert!(read_by(&tables, &settings, "https://a.good.example./").is_ok());
        assert!(read_by(&tables, &settings, "https://good.example/").is_err());
    }
}
