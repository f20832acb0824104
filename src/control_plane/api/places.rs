//! Places for what takes long: few in all, and fewer for one caller, so that nobody can take them all.

use parking_lot::Mutex;

use super::problem::Problem;
use crate::link::Actor;

/// The places of one kind.
pub(crate) struct Places {
    /// What they are for, in the plural.
    what: &'static str,
    /// How many there are.
    most: usize,
    /// How many of them one caller may have.
    most_of_one: usize,
    /// Who has one, once for each.
    taken: Mutex<Vec<Actor>>,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    places: &'static Places,
    actor: Actor,
}

impl Places {
    /// So many in all and for one caller, for `what`, in the plural.
    pub(crate) const fn new(what: &'static str, most: usize, most_of_one: usize) -> Self {
        Places { what, most, most_of_one, taken: Mutex::new(Vec::new()) }
    }

    /// Takes one.
    ///
    /// # Errors
    /// 503 if there is none, in all or for this caller.
    pub(crate) fn take(&'static self, actor: Actor) -> Result<Place, Problem> {
        let Places { what, most, most_of_one, taken } = self;
        let mut taken = taken.lock();
        if taken.len() >= *most {
            return Err(Problem::unavailable(format!("{most} {what} are under way; wait until one of them is done")));
        }
        if taken.iter().filter(|other| **other == actor).count() >= *most_of_one {
            return Err(Problem::unavailable(format!(
                "{most_of_one} {what} of {} are under way; wait until one of them is done",
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
        static PLACES: Places = Places::new("tests", 4, 2);
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
