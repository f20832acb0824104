//! Connections take turns.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Lets a task wait until all others that can run have run.
///
/// Woken by itself, a task would be the next to run again: monoio puts it at the front. So a task of its own stands behind
/// all others, and whom it wakes behind it. There is one for all, since to start one each time would ask for memory.
pub(super) struct Turns {
    waiting: RefCell<Vec<Waker>>,
    /// The task that wakes those who wait, once it runs.
    task: RefCell<Option<Waker>>,
}

impl Turns {
    /// Starts the task. It ends with what is returned.
    pub(super) fn start() -> Rc<Self> {
        let turns = Rc::new(Turns { waiting: RefCell::default(), task: RefCell::default() });
        // Not a strong one: the task is kept by its waker, which is kept here.
        let task = Rc::downgrade(&turns);
        monoio::spawn(poll_fn(move |context| {
            let Some(turns) = task.upgrade() else { return Poll::Ready(()) };
            turns.task.borrow_mut().get_or_insert_with(|| context.waker().clone());
            turns.waiting.borrow_mut().drain(..).for_each(Waker::wake);
            Poll::Pending
        }));
        turns
    }

    /// Waits until all others have had their turn.
    pub(super) async fn next(&self) {
        let mut has_waited = false;
        poll_fn(|context| {
            if std::mem::replace(&mut has_waited, true) {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            // Before it has run for the first time, it is about to.
            if let Some(task) = &*self.task.borrow() {
                task.wake_by_ref();
            }
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_runs_behind_all_that_can_run() {
        let mut runtime = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().build().unwrap();
        let order = runtime.block_on(async {
            let turns = Turns::start();
            let order = Rc::new(RefCell::new(Vec::new()));
            let tasks = [("a", 2), ("b", 0), ("c", 1), ("d", 0)].map(|(name, waits)| {
                let (turns, order) = (Rc::clone(&turns), Rc::clone(&order));
                monoio::spawn(async move {
                    for _ in 0..waits {
                        turns.next().await;
                    }
                    order.borrow_mut().push(name);
                })
            });
            for task in tasks {
                task.await;
            }
            order.take()
        });
        assert_eq!(order, ["b", "d", "c", "a"]);
    }
}
