//! Who asks: what a request says, turned into what is counted. `docs/clicks/visits.md` tells it to those who run this.
//!
//! - `agents`: the lists of programs, and what a User-Agent says: [`AgentLists`], [`SharedAgents`]. [`AgentCache`]: the
//!   same for a worker, at the price of a comparison.
//! - `referrer`: the host of the referring page. `language`: the first of Accept-Language.
//! - `client`: whose address it is behind proxies: [`TrustedProxies`]. `country`: where that is: [`Countries`].
//! - `visitor`: a number for who asks, of a key that is thrown away at the end of the day: [`VisitorKeys`].
//!
//! No address is kept: nothing here holds one longer than a call, or says one in an error.

mod agent_cache;
mod agents;
mod client;
mod country;
mod language;
mod referrer;
mod visitor;

pub use agent_cache::{AgentCache, AgentEntry};
pub use agents::{Agent, AgentListError, AgentLists, SharedAgents, USER_AGENT_BYTES};
pub use client::{TrustedProxies, TrustedProxiesError};
pub use country::{Countries, CountriesError};
pub use language::language;
pub use referrer::{REFERRER_ADDRESS, REFERRER_BYTES, ReferrerBuffer, referrer_host};
pub use visitor::{DayKey, VisitorKeyError, VisitorKeys};
