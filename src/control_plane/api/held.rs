//! How many bytes of bodies, or of answers, are held at a time, in all and for one caller, so that nobody can take all the
//! room.

use parking_lot::Mutex;

use super::problem::Problem;
use crate::link::Actor;

/// The room for bodies, or for answers.
pub(super) struct Held {
    /// Bytes for all that come with a token.
    most: usize,
    /// Bytes for one caller. Who is on the machine itself has as many, beside the others.
    most_of_one: usize,
    taken: Mutex<Taken>,
}

struct Taken {
    /// By all that come with a token.
    bytes: usize,
    /// By whom; only those that hold something.
    of: Vec<(Actor, usize)>,
}

/// What one body or answer takes, until it is dropped.
pub(super) struct Share {
    held: &'static Held,
    actor: Actor,
    bytes: usize,
}

impl Held {
    /// So many bytes in all, and for one caller.
    pub(super) const fn new(most: usize, most_of_one: usize) -> Self {
        Held { most, most_of_one, taken: Mutex::new(Taken { bytes: 0, of: Vec::new() }) }
    }

    /// A share for a body or an answer of this caller, of no bytes yet.
    pub(super) fn share(&'static self, actor: Actor) -> Share {
        Share { held: self, actor, bytes: 0 }
    }
}

impl Share {
    /// How much it is.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes more, up to so many bytes. Not waited for: those that hold something could wait for each other.
    ///
    /// # Errors
    /// 503 if others, or this caller, hold too much.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Problem> {
        let Some(more) = bytes.checked_sub(self.bytes).filter(|more| *more > 0) else { return Ok(()) };
        let mut taken = self.held.taken.lock();
        let Taken { bytes: all, of } = &mut *taken;
        let is_local = self.actor == Actor::local();
        if !is_local && *all + more > self.held.most {
            return Err(Problem::unavailable(
                "other requests hold as many bytes as are held at a time; send it again later",
            ));
        }
        let at = of.iter().position(|(actor, _)| *actor == self.actor);
        let own = at.map_or(0, |at| of[at].1);
        if own + more > self.held.most_of_one {
            return Err(Problem::unavailable(format!(
                "other requests of {} hold as many bytes as are held at a time for one, in bodies or in answers that were \
                 not taken yet; send it again when they are done",
                self.actor.as_str()
            )));
        }
        match at {
            Some(at) => of[at].1 += more,
            None => of.push((self.actor.clone(), more)),
        }
        *all += if is_local { 0 } else { more };
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut taken = self.held.taken.lock();
        if self.actor != Actor::local() {
            taken.bytes -= self.bytes;
        }
        if let Some(at) = taken.of.iter().position(|(actor, _)| *actor == self.actor) {
            taken.of[at].1 -= self.bytes;
            if taken.of[at].1 == 0 {
                taken.of.swap_remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::TokenId;

    #[test]
    fn one_caller_gets_a_part_and_who_is_on_the_machine_is_never_shut_out() {
        static HELD: Held = Held::new(100, 40);
        let share = |id: u8| HELD.share(Actor::token(TokenId([id; 8])));
        let (mut first, mut second) = (share(1), share(1));
        first.grow_to(10).unwrap();
        first.grow_to(30).unwrap();
        assert_eq!(second.grow_to(11).unwrap_err().status(), 503);
        second.grow_to(10).unwrap();
        let mut others = [share(2), share(3)];
        others[0].grow_to(40).unwrap();
        others[1].grow_to(20).unwrap();
        assert_eq!(others[1].grow_to(21).unwrap_err().status(), 503);
        let mut local = HELD.share(Actor::local());
        local.grow_to(40).unwrap();
        assert_eq!(HELD.share(Actor::local()).grow_to(1).unwrap_err().status(), 503);
        drop(first);
        others[1].grow_to(40).unwrap();
        drop((second, others, local));
        let taken = HELD.taken.lock();
        assert!(taken.bytes == 0 && taken.of.is_empty());
    }
}
