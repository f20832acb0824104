//! Places for what takes long: few in all, and fewer for one caller, so that nobody can take them all.

use parking_lot::Mutex;

use super::super::problem::Problem;
use crate::link::Actor;

/// Most of a kind at a time.
const PLACES: usize = 4;

/// Most of them for one caller.
const PLACES_OF_ONE: usize = 2;

/// The places of one kind.
pub(super) struct Places {
    /// What they are for, in the plural.
    what: &'static str,
    /// Who has one, once for each.
    taken: Mutex<Vec<Actor>>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    places: &'static Places,
    actor: Actor,
}

impl Places {
    /// For `what`, in the plural.
    pub(super) const fn new(what: &'static str) -> Self {
        Places { what, taken: Mutex::new(Vec::new()) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// 503 if there is none, in all or for this caller.
    pub(super) fn take(&'static self, actor: Actor) -> Result<Place, Problem> {
        let Places { what, taken } = self;
        let mut taken = taken.lock();
        if taken.len() >= PLACES {
            return Err(Problem::unavailable(format!("{PLACES} {what} are under way; wait until one of them is done")));
        }
        if taken.iter().filter(|other| **other == actor).count() >= PLACES_OF_ONE {
            return Err(Problem::unavailable(format!(
                "{PLACES_OF_ONE} {what} of {} are under way; wait until one of them is done",
                actor.as_str()
            )));
        }
        taken.push(actor.clone());
        Ok(Place { places: self, actor })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        if let Some(at) = taken.iter().position(|actor| *actor == self.actor) {
            taken.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::TokenId;

    #[test]
    fn one_caller_gets_some_of_the_places_and_gives_them_back() {
        static PLACES: Places = Places::new("tests");
        let [a, b, c] = [1, 2, 3].map(|id| Actor::token(TokenId([id; 8])));
        let first = PLACES.take(a.clone()).unwrap();
        let _second = PLACES.take(a.clone()).unwrap();
        assert_eq!(PLACES.take(a.clone()).err().unwrap().status(), 503);
        let _others = [PLACES.take(b.clone()).unwrap(), PLACES.take(b).unwrap()];
        assert_eq!(PLACES.take(c.clone()).err().unwrap().status(), 503);
        drop(first);
        let _third = PLACES.take(c).unwrap();
        assert_eq!(PLACES.take(a).err().unwrap().status(), 503);
    }
}
