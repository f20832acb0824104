//! Long work that lets others have the core.

/// After so many things others have their turn: that is some tens of microseconds.
const THINGS: usize = 256;

/// These things, one after the other, with a turn for others now and then.
///
/// A thread that has a core keeps it for some milliseconds (`base_slice_ns` of Linux's scheduler), even if one that answers
/// requests is woken there meanwhile. To give way is one system call.
pub(super) fn giving_way<I: IntoIterator>(things: I) -> impl Iterator<Item = I::Item> {
    things.into_iter().zip(1_usize..).map(|(thing, number)| {
        if number.is_multiple_of(THINGS) {
            std::thread::yield_now();
        }
        thing
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_things_come_in_their_order() {
        let things: Vec<usize> = giving_way(0..3 * THINGS + 1).collect();
        assert_eq!(things, (0..3 * THINGS + 1).collect::<Vec<_>>());
    }
}
