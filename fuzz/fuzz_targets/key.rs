//! Any text as the source of a link: a key reads back as itself, and is what a browser's request is looked up by.

#![no_main]

use carom::link::{LinkKey, RequestKey, SourceUrl};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(key) = LinkKey::parse(text) else { return };
    assert_eq!(LinkKey::parse(key.as_str()).as_ref(), Ok(&key));

    let source = SourceUrl::parse(text).expect("the source of a key is one");
    let url = source.url();
    let authority = &url[url::Position::BeforeHost..url::Position::AfterPort];
    let host = (!source.is_any_host()).then_some(authority.as_bytes());
    let mut request = RequestKey::default();
    request.set(host, url.path().as_bytes(), url.query().map(str::as_bytes));
    assert_eq!(request.query_key().unwrap_or(request.path_key()), key.as_str().as_bytes());
});
