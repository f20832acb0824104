//! What becomes of a request's query.

use super::shown::shown;

/// What becomes of the query of a request whose link is keyed without one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum QueryPolicy {
    /// It is not sent on.
    #[default]
    Drop,
    /// It takes the place of the target's.
    Forward,
    /// Those of its parameters are added to the target's that the target does not name itself.
    Merge,
}

/// Not the name of a query policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query policy `{}` is not one of drop, forward and merge", shown(.0))]
pub struct QueryPolicyError(pub String);

impl QueryPolicy {
    /// All of them.
    pub const ALL: [QueryPolicy; 3] = [QueryPolicy::Drop, QueryPolicy::Forward, QueryPolicy::Merge];

    /// Its name, as arguments and answers have it.
    pub fn name(self) -> &'static str {
        match self {
            QueryPolicy::Drop => "drop",
            QueryPolicy::Forward => "forward",
            QueryPolicy::Merge => "merge",
        }
    }

    /// Reads a name.
    ///
    /// # Errors
    /// If it is not one.
    pub fn parse(text: &str) -> Result<Self, QueryPolicyError> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or_else(|| QueryPolicyError(text.to_owned()))
    }
}
