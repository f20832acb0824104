//! What is set for hosts, as far as it says which rows are links and under which keys these are kept.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::cli::client::{Client, List, Problem, Request};
use crate::engine::Tables;
use crate::link::{Folding, Host, HostSettings, Target, TargetPatterns, TargetRefused};

/// The settings of all hosts.
pub(super) struct Rules {
    hosts: HashMap<String, HostSettings, ahash::RandomState>,
    /// What holds for hosts without settings is not known: a token that is restricted to hosts does not see it.
    is_any_hidden: bool,
}

/// As much as is needed of a host, as the API shows it.
#[derive(Deserialize)]
struct Shown {
    host: String,
    ignore_case: bool,
    ignore_trailing_slash: bool,
    allow_userinfo: bool,
    allowed_targets: Vec<String>,
    denied_targets: Vec<String>,
}

impl Rules {
    /// Those of an engine; without one nothing is set.
    pub(super) fn of(tables: Option<&Tables>) -> Self {
        let all = tables.map(|tables| tables.hosts_after(b"", usize::MAX, |_| true)).unwrap_or_default();
        let settings = |entry: &std::sync::Arc<crate::engine::HostEntry>| {
            (entry.record.host.as_str().to_owned(), entry.record.settings.clone())
        };
        Rules { hosts: all.into_iter().map(settings).collect(), is_any_hidden: false }
    }

    /// Those that a server shows.
    pub(super) fn ask(client: &mut Client) -> Result<Self> {
        let mut hosts = HashMap::default();
        let list = |_| Request::get(&["hosts"]);
        client.pages(&List::new("hosts"), list, None, |page| {
            for shown in page.read::<Shown>()? {
                let patterns = |list: &[String]| {
                    TargetPatterns::parse(list.iter().map(String::as_str))
                        .context("the server's answer can't be read; is it another version of carom?")
                };
                let settings = HostSettings {
                    ignore_case: shown.ignore_case,
                    ignore_trailing_slash: shown.ignore_trailing_slash,
                    allow_userinfo: shown.allow_userinfo,
                    allowed_targets: patterns(&shown.allowed_targets)?,
                    denied_targets: patterns(&shown.denied_targets)?,
                    ..HostSettings::default()
                };
                hosts.insert(shown.host, settings);
            }
            Ok(())
        })?;
        let is_any_hidden = !hosts.contains_key(Host::ANY) && Self::is_any_hidden(client)?;
        Ok(Rules { hosts, is_any_hidden })
    }

    /// Whether what is set for any host is not shown, rather than not there.
    fn is_any_hidden(client: &mut Client) -> Result<bool> {
        let Err(error) = client.ask(Request::get(&["hosts", Host::ANY])) else { return Ok(false) };
        match error.downcast_ref::<Problem>().map(|problem| problem.status) {
            Some(403) => Ok(true),
            Some(404) => Ok(false),
            _ => Err(error),
        }
    }

    /// How paths of links of this very host are compared. None if nothing is set for it.
    pub(super) fn folding(&self, host: &str) -> Option<Folding> {
        if self.hosts.is_empty() { None } else { self.hosts.get(host).map(HostSettings::folding) }
    }

    /// Judges a target by the settings of the host that would send there, and of any host.
    ///
    /// # Errors
    /// Why the host may not. What is not known is left to the server.
    pub(super) fn judge(&self, host: &str, target: &Target) -> Result<(), TargetRefused> {
        let any = self.hosts.get(Host::ANY);
        match self.hosts.get(host).or(any) {
            Some(settings) => settings.judge_target(target, any),
            None if self.is_any_hidden => Ok(()),
            // Without settings only a user name is refused, and most targets show at once that they have none.
            None if target.as_str().contains('@') => HostSettings::default().judge_target(target, None),
            None => Ok(()),
        }
    }
}
