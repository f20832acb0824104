//! What all workers share to tell who clicks.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::batch::Country;
use super::visit::{
    AgentListError, Countries, CountriesError, SharedAgents, TrustedProxies, VisitorKeyError, VisitorKeys,
};
use crate::clock::unix_time_ms;

/// What is kept of clicks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Keep {
    /// Exact counts, details and visitors.
    #[default]
    Details,
    /// Exact counts only.
    Counts,
    /// Nothing: clicks are not counted.
    Nothing,
    /// Nothing, and what is there is left as it is: for those who only ask.
    Untouched,
}

impl Keep {
    /// Its name on the command line and in what is said of a server.
    pub fn name(self) -> &'static str {
        match self {
            Keep::Details => "details",
            Keep::Counts => "counts",
            Keep::Nothing | Keep::Untouched => "none",
        }
    }
}

/// How clicks are told apart.
#[derive(Debug, Clone, Default)]
pub struct VisitConfig {
    /// What is kept.
    pub keep: Keep,
    /// A file with lists of programs by their User-Agent; without one there are those that carom brings.
    pub user_agents: Option<PathBuf>,
    /// A database of countries by address, in MaxMind's format.
    pub countries: Option<PathBuf>,
    /// Who may say for whom a request is.
    pub proxies: TrustedProxies,
    /// Whether only counts are kept of who asks not to be tracked, by `DNT` or `Sec-GPC`.
    pub honors_opt_out: bool,
}

/// Why it can't be told who clicks.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// The lists of programs can't be read.
    #[error(transparent)]
    Agents(#[from] AgentListError),
    /// The database of countries can't be read.
    #[error(transparent)]
    Countries(#[from] CountriesError),
    /// There is no key for visitors.
    #[error(transparent)]
    Key(#[from] VisitorKeyError),
}

/// What all workers share to tell who clicks.
pub(super) struct Visiting {
    pub(super) agents: SharedAgents,
    /// None where neither details nor visitors are kept.
    pub(super) keys: Option<VisitorKeys>,
    pub(super) proxies: TrustedProxies,
    pub(super) honors_opt_out: bool,
    countries: Countries,
}

impl Visiting {
    /// Reads what the configuration names; the key for visitors lies in `dir`. With it what is to be told of that key,
    /// and hinders nothing.
    ///
    /// # Errors
    /// If a file can't be read.
    pub(super) fn open(config: &VisitConfig, dir: &Path) -> Result<(Self, Vec<String>), VisitError> {
        let (keys, notes) = match config.keep {
            Keep::Details => {
                let (keys, notes) = VisitorKeys::open(dir, unix_time_ms() / 1_000)?;
                (Some(keys), notes.iter().map(ToString::to_string).collect())
            }
            // Who wants no visitors any more wants their key gone, too.
            Keep::Counts | Keep::Nothing => {
                (None, VisitorKeys::remove(dir).err().iter().map(ToString::to_string).collect())
            }
            Keep::Untouched => (None, Vec::new()),
        };
        let visiting = Visiting {
            agents: SharedAgents::open(config.user_agents.clone())?,
            keys,
            proxies: config.proxies.clone(),
            honors_opt_out: config.honors_opt_out,
            countries: config.countries.as_deref().map_or_else(|| Ok(Countries::none()), Countries::open)?,
        };
        Ok((visiting, notes))
    }

    /// What there is where clicks are not counted.
    pub(super) fn not_counting() -> Self {
        Visiting {
            agents: SharedAgents::built_in(),
            keys: None,
            proxies: TrustedProxies::default(),
            honors_opt_out: false,
            countries: Countries::none(),
        }
    }

    /// Where an address is.
    pub(super) fn country(&self, address: IpAddr) -> Country {
        self.countries.country(address)
    }

    /// Reads the lists of programs again if they have changed, and saves a new key; what is to be told of that. It waits
    /// for the disk.
    pub(super) fn look_after(&self) -> Vec<String> {
        let mut notes = Vec::new();
        match self.agents.reload_if_changed() {
            Some(Ok(())) => notes.push("the lists of programs by their User-Agent were read again".to_owned()),
            Some(Err(error)) => notes.push(format!("{error}. The lists of before go on to hold")),
            None => {}
        }
        let saved = self.keys.as_ref().and_then(|keys| keys.save_if_changed(unix_time_ms() / 1_000));
        notes.extend(saved.and_then(Result::err).map(|error| error.to_string()));
        notes
    }
}
