//! Clicks that are counted. None of this slows a redirect or stands in the log of changes (I7).
//!
//! - [`Clicks`]: counting as a whole.
//! - [`Recorder`]: what a worker records of the clicks that it answers; `sampler` says which it keeps with details, in
//!   `samples`; `names` are those of the links that it tells of.
//! - `visit`: who asks: program or person, device, language, referring host, country, visitor. `visiting` is what all
//!   workers share of it.
//! - `batch`: what a worker hands over: exact counts, details, visits. `intake` is where; `backlog` is what waits there.
//!   `text`: texts that lie together.
//! - `journal`: batches on disk, each once. `pipeline`: the threads before and behind it. `giving_way`: they let those who
//!   answer requests go first.
//! - [`Rollups`]: windows of clicks become rows by link, host, tag and day, in one store a month.
//! - [`Stats`]: what can be asked.
//! - [`Uses`]: how often each link that has a limit of clicks was used: exact, and kept over restarts.
//!   [`UsesSaver`] is the thread that writes it down.

mod backlog;
mod batch;
mod counting;
mod giving_way;
mod intake;
mod journal;
mod names;
mod pipeline;
mod recorder;
mod rollups;
mod sampler;
mod samples;
mod stats;
mod text;
mod uses;
mod visit;
mod visiting;

pub use batch::{
    Batch, Country, Counts, Detail, Device, Entry, Language, LinkCount, LinkName, VISIT_CLASSES, Visit, VisitClass,
    Visitor, Window, WindowId,
};
pub use counting::{Clicks, ClicksConfig, CountingError, OwnedClicks};
pub use intake::Source;
pub use journal::JournalError;
pub use pipeline::{ClicksError, ClicksStatus, PipelineConfig};
pub use recorder::{Guest, Recorder};
pub use rollups::{LinkTags, Rollups, RollupsConfig};
pub use stats::{
    Breakdown, Dimension, Event, ExportRow, Forget, Granularity, Point, Series, Share, Stats, StatsError, Subject,
    TimeRange, TopLink, Uniques,
};
pub use text::SharedText;
pub use uses::{Uses, UsesError, UsesNews, UsesSaver, UsesStatus};
pub use visit::{
    Agent, AgentCache, AgentEntry, AgentListError, AgentLists, Countries, CountriesError, DayKey, REFERRER_ADDRESS,
    REFERRER_BYTES, ReferrerBuffer, SharedAgents, TrustedProxies, TrustedProxiesError, USER_AGENT_BYTES,
    VisitorKeyError, VisitorKeys, language, referrer_host,
};
pub use visiting::{Keep, VisitConfig, VisitError};
