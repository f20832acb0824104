//! Bodies and parameters as they are described. What reads them is in `said` and `filter`.
#![allow(dead_code, reason = "these only describe")]

use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::model::{QueryPolicyJson, StatusJson};
use super::texts::{CacheControlJson, NoteJson, TagJson, TitleJson};

/// A body with these fields, and all that a link can say: three requests take the same, and differ in what they make of
/// what is left out.
macro_rules! link_body {
    ($(#[$about:meta])* struct $name:ident { $($place:tt)* }) => {
        $(#[$about])*
        pub(crate) struct $name {
            $($place)*
            /// Where it redirects to: an absolute http(s) URL. Left out exactly if the status is 410.
            #[schema(format = "uri", pattern = "^[Hh][Tt][Tt][Pp][Ss]?:", max_length = 3072)]
            target: Option<String>,
            /// The status of its answer.
            status: Option<StatusJson>,
            /// What becomes of a request's query.
            query_policy: Option<QueryPolicyJson>,
            /// From when on it is answered.
            #[schema(format = DateTime)]
            not_before: Option<String>,
            /// From when on it is not answered any more; after `not_before`.
            #[schema(format = DateTime)]
            expires_at: Option<String>,
            /// How many clicks by people it is answered; programs and HEAD requests take none. A crash may forget the clicks of
            /// the last second: so many more are answered then.
            #[schema(minimum = 1, maximum = 9007199254740991u64)]
            max_clicks: Option<u64>,
            /// Where requests are sent once it has expired or its clicks are used up; only with one of both.
            #[schema(format = "uri", pattern = "^[Hh][Tt][Tt][Pp][Ss]?:", max_length = 3072)]
            expired_target: Option<String>,
            /// How long its answer may be kept: `no-store`, `no-cache`, or `public` or `private` and a `max-age` up to a year.
            cache_control: Option<CacheControlJson>,
            /// By which it is grouped; a tag has at most 64 bytes and no comma.
            #[schema(max_items = 16)]
            tags: Option<Vec<TagJson>>,
            /// What it is called: one line of at most 256 bytes.
            title: Option<TitleJson>,
            /// What there is to say about it: at most 2,048 bytes.
            note: Option<NoteJson>,
            /// Whether it is answered as if it were not there.
            disabled: Option<bool>,
            /// Whether its clicks are only counted, and neither details nor visitors are kept of them.
            untracked: Option<bool>,
            /// Ignored.
            id: Option<Value>,
            /// Ignored.
            state: Option<Value>,
            /// Ignored.
            used_clicks: Option<Value>,
            /// Ignored.
            generated: Option<Value>,
            /// Ignored.
            created_at: Option<Value>,
            /// Ignored.
            updated_at: Option<Value>,
            /// Ignored; a precondition is sent as `If-Match`.
            version: Option<Value>,
        }
    };
}

link_body! {
    /// All that a link is to say. What is left out or null is not said; the status is then the `default_status` of the
    /// host. What can only be read is taken and ignored, so that what was answered can be sent back.
    #[derive(ToSchema)]
    #[schema(as = LinkBody, example = json!({
        "target": "https://www.example.com/spring", "status": 302, "expires_at": "2030-06-01T00:00:00+02:00",
        "expired_target": "https://www.example.com/", "tags": ["spring"]
    }))]
    struct LinkBody {
        /// Its key, if it is said at all: that of the path.
        #[schema(min_length = 1, max_length = 8192)]
        key: Option<String>,
    }
}

link_body! {
    /// A new link: with a key, or with a host and a generated code.
    #[derive(ToSchema)]
    #[schema(as = NewLink, example = json!({
        "host": "go.example", "target": "https://www.example.com/spring", "tags": ["spring"]
    }))]
    struct NewLinkBody {
        /// What it is to be found by, in any spelling: `go.example/sale`, `https://go.example/sale`, `/sale` for any host.
        #[schema(min_length = 1, max_length = 8192, example = "go.example/sale")]
        key: Option<String>,
        /// On which host a code is generated for it; `*`, any host, if there is no `key` either.
        #[schema(min_length = 1, example = "go.example")]
        host: Option<String>,
    }
}

link_body! {
    /// Changes of parts of a link (RFC 7396): what is left out stays, what is null is not said any more; `status` is then
    /// the `default_status` of the host, and `tags` are none. With status 410 the target goes by itself.
    #[derive(ToSchema)]
    #[schema(as = LinkPatch, example = json!({"title": "Spring", "expires_at": null}))]
    struct LinkPatchBody {
        /// Its key, if it is said at all: that of the path.
        #[schema(min_length = 1, max_length = 8192)]
        key: Option<String>,
    }
}

/// What is done with a target that leads to another link.
#[derive(ToSchema)]
#[schema(as = Chains, rename_all = "lowercase")]
pub(crate) enum ChainsJson {
    /// It is refused.
    Refuse,
    /// It is replaced by the target at the end of the chain.
    Flatten,
    /// It stays. One that leads back to its own link is refused all the same.
    Allow,
}

/// A key in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct KeyPath {
    /// The key of a link as one segment, percent-encoded, in any spelling
    #[param(min_length = 1, max_length = 8192, example = "go.example/sale")]
    key: String,
}

/// What is done with a target that leads to another link.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChainsParameter {
    /// What is done with a target that leads to another link; `refuse` by default
    #[param(inline, required = false, nullable = false)]
    chains: ChainsJson,
}

/// Whether a link that is there is replaced.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Upsert {
    /// Whether a link that is there already is replaced. Only with `key`
    #[param(required = false, nullable = false)]
    upsert: bool,
}
