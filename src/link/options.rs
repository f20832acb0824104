//! What a link says beside its destination.

use std::num::NonZeroU64;

use super::cache_control::CacheControl;
use super::destination::{Destination, DestinationError, Link, Status};
use super::query_policy::QueryPolicy;
use super::target::Target;
use super::text::{Note, Tags, Title};

/// What a link says beside its destination; by default, nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LinkOptions {
    /// What becomes of a request's query; None is what its host says.
    pub query_policy: Option<QueryPolicy>,
    /// From when on it is answered, in milliseconds since the Unix epoch.
    pub not_before_ms: Option<u64>,
    /// From when on it is not answered any more, in milliseconds since the Unix epoch.
    pub expires_at_ms: Option<u64>,
    /// How many clicks it is answered.
    pub max_clicks: Option<NonZeroU64>,
    /// Where requests are sent once it has expired or its clicks are used up; None is 410.
    pub expired_target: Option<Target>,
    /// How long its answer may be kept; None is what its host says.
    pub cache_control: Option<CacheControl>,
    /// By which it is grouped.
    pub tags: Tags,
    /// What it is called.
    pub title: Option<Title>,
    /// What there is to say about it.
    pub note: Option<Note>,
    /// Whether it is answered as if it were not there.
    pub is_disabled: bool,
    /// Whether its clicks are only counted, and neither details nor visitors are kept of them.
    pub is_untracked: bool,
}

/// How a link stands at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LinkState {
    /// It is answered.
    Active,
    /// Its time has not come.
    Scheduled,
    /// Its time is over.
    Expired,
    /// Its clicks are used up.
    UsedUp,
    /// It was switched off.
    Disabled,
}

impl LinkState {
    /// All of them.
    pub const ALL: [LinkState; 5] =
        [LinkState::Active, LinkState::Scheduled, LinkState::Expired, LinkState::UsedUp, LinkState::Disabled];

    /// Its name, as arguments and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            LinkState::Active => "active",
            LinkState::Scheduled => "scheduled",
            LinkState::Expired => "expired",
            LinkState::UsedUp => "used_up",
            LinkState::Disabled => "disabled",
        }
    }

    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Options that do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// It would be over before it begins.
    #[error("expires_at must lie after not_before; else the link would never be answered")]
    ExpiresBeforeItBegins,
    /// Somewhere to go after an end that never comes.
    #[error(
        "expired_target is where requests go when the link has ended; give expires_at or max_clicks, too, or leave it out"
    )]
    NeverExpires,
}

/// Why a patch does not go with the link.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// Status and target would not.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// What else it says would not.
    #[error(transparent)]
    Options(#[from] OptionsError),
}

impl LinkOptions {
    /// Looks whether they go together.
    ///
    /// # Errors
    /// If they do not.
    pub fn check(&self) -> Result<(), OptionsError> {
        if self.not_before_ms.zip(self.expires_at_ms).is_some_and(|(begin, end)| end <= begin) {
            return Err(OptionsError::ExpiresBeforeItBegins);
        }
        let ends = self.expires_at_ms.is_some() || self.max_clicks.is_some();
        if self.expired_target.is_some() && !ends { Err(OptionsError::NeverExpires) } else { Ok(()) }
    }

    /// How a link with these options stands at a time, if so many of its clicks were used.
    ///
    /// What was switched off is disabled, whatever else is true of it; what is over is over, also if its time has not
    /// come.
    pub fn state(&self, now_ms: u64, used_clicks: u64) -> LinkState {
        if self.is_disabled {
            LinkState::Disabled
        } else if self.expires_at_ms.is_some_and(|end| now_ms >= end) {
            LinkState::Expired
        } else if self.not_before_ms.is_some_and(|begin| now_ms < begin) {
            LinkState::Scheduled
        } else if self.max_clicks.is_some_and(|max| used_clicks >= max.get()) {
            LinkState::UsedUp
        } else {
            LinkState::Active
        }
    }
}

/// What is done to one thing that a link says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Edit<T> {
    /// It stays.
    #[default]
    Keep,
    /// It is not said any more.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T: Clone> Edit<T> {
    /// Does it.
    pub fn apply(&self, to: &mut Option<T>) {
        match self {
            Edit::Keep => {}
            Edit::Clear => *to = None,
            Edit::Set(value) => *to = Some(value.clone()),
        }
    }

    /// Whether something is done.
    pub fn is_keep(&self) -> bool {
        matches!(self, Edit::Keep)
    }
}

/// A change of parts of a link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LinkPatch {
    /// Its status.
    pub status: Option<Status>,
    /// Its target.
    pub target: Edit<Target>,
    /// See [`LinkOptions`].
    pub query_policy: Edit<QueryPolicy>,
    /// See [`LinkOptions`].
    pub not_before_ms: Edit<u64>,
    /// See [`LinkOptions`].
    pub expires_at_ms: Edit<u64>,
    /// See [`LinkOptions`].
    pub max_clicks: Edit<NonZeroU64>,
    /// See [`LinkOptions`].
    pub expired_target: Edit<Target>,
    /// See [`LinkOptions`].
    pub cache_control: Edit<CacheControl>,
    /// All tags that it is to have.
    pub tags: Option<Tags>,
    /// See [`LinkOptions`].
    pub title: Edit<Title>,
    /// See [`LinkOptions`].
    pub note: Edit<Note>,
    /// See [`LinkOptions`].
    pub is_disabled: Option<bool>,
    /// See [`LinkOptions`].
    pub is_untracked: Option<bool>,
}

impl LinkPatch {
    /// What the link would say after this change.
    ///
    /// # Errors
    /// If that would not go together.
    pub fn apply(&self, link: &Link) -> Result<(Destination, LinkOptions), PatchError> {
        let status = self.status.unwrap_or(link.destination.status());
        let mut target = link.destination.target().cloned();
        self.target.apply(&mut target);
        if status == Status::Gone && self.target.is_keep() {
            // What is gone has no target; who says the one means the other.
            target = None;
        }
        let mut options = link.options.clone();
        self.query_policy.apply(&mut options.query_policy);
        self.not_before_ms.apply(&mut options.not_before_ms);
        self.expires_at_ms.apply(&mut options.expires_at_ms);
        self.max_clicks.apply(&mut options.max_clicks);
        self.expired_target.apply(&mut options.expired_target);
        self.cache_control.apply(&mut options.cache_control);
        self.title.apply(&mut options.title);
        self.note.apply(&mut options.note);
        options.tags = self.tags.clone().unwrap_or(options.tags);
        options.is_disabled = self.is_disabled.unwrap_or(options.is_disabled);
        options.is_untracked = self.is_untracked.unwrap_or(options.is_untracked);
        let destination = Destination::new(status, target)?;
        options.check()?;
        Ok((destination, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_follow_the_time_and_the_clicks() {
        let options = LinkOptions {
            not_before_ms: Some(10),
            expires_at_ms: Some(20),
            max_clicks: NonZeroU64::new(3),
            ..LinkOptions::default()
        };
        for (now_ms, used, state) in [
            (9, 0, LinkState::Scheduled),
            (10, 0, LinkState::Active),
            (19, 2, LinkState::Active),
            (19, 3, LinkState::UsedUp),
            (20, 0, LinkState::Expired),
            (20, 3, LinkState::Expired),
        ] {
            assert_eq!(options.state(now_ms, used), state, "{now_ms} {used}");
            let disabled = LinkOptions { is_disabled: true, ..options.clone() };
            assert_eq!(disabled.state(now_ms, used), LinkState::Disabled);
        }
        assert_eq!(LinkOptions::default().state(u64::MAX, u64::MAX), LinkState::Active);
        for state in LinkState::ALL {
            assert_eq!(LinkState::from_name(state.name()), Some(state));
        }
    }

    #[test]
    fn a_link_ends_after_it_begins_and_goes_nowhere_without_an_end() {
        let times = |begin, end| LinkOptions { not_before_ms: begin, expires_at_ms: end, ..LinkOptions::default() };
        assert_eq!(times(Some(1), Some(2)).check(), Ok(()));
        assert_eq!(times(None, Some(0)).check(), Ok(()));
        for end in [1, 2] {
            assert_eq!(times(Some(2), Some(end)).check(), Err(OptionsError::ExpiresBeforeItBegins));
        }
        let target = Target::parse("https://a.example/").unwrap();
        let over = LinkOptions { expired_target: Some(target), ..LinkOptions::default() };
        assert_eq!(over.check(), Err(OptionsError::NeverExpires));
        assert_eq!(LinkOptions { expires_at_ms: Some(1), ..over.clone() }.check(), Ok(()));
        assert_eq!(LinkOptions { max_clicks: NonZeroU64::new(1), ..over }.check(), Ok(()));
    }
}
