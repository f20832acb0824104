//! Which links rows are, and where they lead, by what is stored and set at the place of the import.

use anyhow::Result;

use super::rules::Rules;
use crate::link::{Destination, Folding, Host, LinkKey, RequestKey, Target};
use crate::transfer::{ImportRow, KeyHash, Onward, Rows, is_same_server};

/// Where rows are imported into, as far as it is known.
pub(super) trait Ground {
    /// What is set for hosts.
    fn rules(&self) -> &Rules;

    /// The key under which a row's link is kept, and what is stored there, if that is known.
    fn find(&mut self, key: &LinkKey) -> Result<(LinkKey, Option<Destination>)>;

    /// Whether a host may have stored links that can be [asked for](Self::stored).
    fn has_links(&mut self, host: &str) -> Result<bool>;

    /// The link that is stored under exactly this key.
    fn stored(&mut self, key: &str) -> Result<Option<Destination>>;

    /// Takes note of the row of this number, from 0, which is a link, and of the key under which it is kept.
    fn take(&mut self, number: usize, key: &LinkKey, destination: &Destination);
}

/// The key under which a link is kept: as it was given if there is such a link, else without what its host ignores.
pub(super) fn kept_key(
    key: &LinkKey,
    folding: Option<Folding>,
    is_stored: impl FnOnce() -> Result<bool>,
) -> Result<LinkKey> {
    match folding.and_then(|folding| key.folded(folding)) {
        Some(folded) if !is_stored()? => Ok(folded),
        _ => Ok(key.clone()),
    }
}

/// Where targets lead: the keys of the links that answer them.
#[derive(Default)]
pub(super) struct Guide {
    asked: RequestKey,
}

impl Guide {
    /// Where the target of a row leads, of which the link is kept under `key`; and the key of the stored link that answers
    /// it, if that is another one. `rows` takes note of all stored links on the way.
    ///
    /// A target is taken to lead to links with its own host, and with any host if its host has settings: of other
    /// hosts nobody can tell whether they are served there.
    pub(super) fn lead(
        &mut self,
        ground: &mut impl Ground,
        rows: &mut Rows,
        row: &ImportRow,
        key: &LinkKey,
    ) -> Result<(Onward, Option<String>)> {
        let mut onward = Onward::default();
        let Some(target) = row.destination.target() else { return Ok((onward, None)) };
        onward.is_same_server = key.host() == Host::ANY || is_same_server(row.origin, target);
        let mut stored = self.step(ground, target, &mut onward.keys)?;
        let first = stored.as_ref().map(|(through, _)| through.clone());
        while let Some((through, destination)) = stored.take() {
            let through = KeyHash::of(through.as_bytes());
            if rows.has_stored(through) {
                break;
            }
            let mut keys = Vec::new();
            if let Some(target) = destination.target() {
                stored = self.step(ground, target, &mut keys)?;
            }
            rows.insert_stored(through, keys);
        }
        Ok((onward, first.filter(|first| first != key.as_str())))
    }

    /// Adds the keys that a request for the target is looked up by, in this order, up to the one of which a link is
    /// stored, and gives that.
    fn step(
        &mut self,
        ground: &mut impl Ground,
        target: &Target,
        keys: &mut Vec<KeyHash>,
    ) -> Result<Option<(String, Destination)>> {
        let (authority, path, query) = target.as_asked();
        self.asked.set(Some(authority.as_bytes()), path.as_bytes(), query.map(str::as_bytes));
        let host = String::from_utf8_lossy(self.asked.host()).into_owned();
        let own = ground.rules().folding(&host);
        let any = own.map(|_| ground.rules().folding(Host::ANY).unwrap_or_default());
        for (host, folding) in [(host.as_str(), Some(own.unwrap_or_default())), (Host::ANY, any)] {
            let Some(folding) = folding else { break };
            if host == Host::ANY {
                self.asked.turn_to_any_host();
            }
            let may_be_stored = ground.has_links(host)?;
            let mut is_folded = false;
            loop {
                for key in self.asked.query_key().into_iter().chain([self.asked.path_key()]) {
                    keys.push(KeyHash::of(key));
                    if !may_be_stored {
                        continue;
                    }
                    let Ok(key) = std::str::from_utf8(key) else { continue };
                    if let Some(destination) = ground.stored(key)? {
                        return Ok(Some((key.to_owned(), destination)));
                    }
                }
                if std::mem::replace(&mut is_folded, true) || !self.asked.fold(folding) {
                    break;
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_target_are_those_that_it_is_asked_for_by() {
        for text in [
            "https://u:p@A.example:8443/x/%7Eu?y=1#z?",
            "http://a.example",
            "http://a.example./?a=b@c:/",
            "http://[::1]:80/a?",
            "https://a.example/@x#/y",
        ] {
            let target = Target::parse_with_userinfo(text).unwrap();
            let (authority, path, query) = target.as_asked();
            let mut asked = RequestKey::default();
            asked.set(Some(authority.as_bytes()), path.as_bytes(), query.map(str::as_bytes));
            let found = asked.query_key().into_iter().chain([asked.path_key()]);
            let found: Vec<_> = found.map(|key| String::from_utf8(key.to_vec()).unwrap()).collect();
            let expected: Vec<_> = target.link_keys().iter().map(|key| key.as_str().to_owned()).collect();
            assert_eq!(found, expected, "{text}");
        }
    }
}
