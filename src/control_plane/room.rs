//! Which connections there may be: so many, and for whoever comes when there are as many, the one that has been idle for
//! longest is closed. Without that, who opens connections and asks nothing keeps everybody else out.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::Notify;

use super::refusals::Refusals;

/// How often it is looked whether a connection has become idle, while none is and there is no place.
const LOOK: Duration = Duration::from_millis(50);

/// How long a client must have taken nothing of an answer to be closed though a request of it is under way, for somebody
/// else who comes.
const STUCK: Duration = Duration::from_secs(5);

/// The places for connections.
pub(super) struct Room {
    /// How many there are.
    most: usize,
    /// How many of them the connections from one address may have, unless it is this machine.
    most_of_one: usize,
    open: Mutex<Vec<Arc<Visit>>>,
    /// Told when a connection has gone.
    gone: Notify,
    refusals: Arc<Refusals>,
}

/// A connection.
struct Visit {
    /// Where it comes from, as it is counted.
    from: IpAddr,
    /// Since when it has nothing to do, unless requests are under way.
    idle: Mutex<Instant>,
    /// Requests that are not answered yet, to the last byte of the body.
    under_way: AtomicUsize,
    /// Since when the client takes nothing of what is to be written, if it does not.
    stuck: Mutex<Option<Instant>>,
    /// Told to close it.
    close: Notify,
    is_closing: Mutex<bool>,
}

/// A place, until it is dropped.
pub(super) struct Place {
    room: Arc<Room>,
    visit: Arc<Visit>,
}

/// A request is under way on a connection, until this is dropped.
pub(super) struct Busy(Arc<Visit>);

/// A way to say what is under way on a connection.
#[derive(Clone)]
pub(super) struct Activity(Arc<Visit>);

impl Room {
    /// So many places, and for one address.
    pub(super) fn new(most: usize, most_of_one: usize, refusals: Arc<Refusals>) -> Arc<Self> {
        Arc::new(Room { most, most_of_one, open: Mutex::default(), gone: Notify::new(), refusals })
    }

    /// Takes a place for a connection that was accepted. If there is none, it is that of the connection which has been idle
    /// for longest, or the first that becomes free. None if the address has its share, and all of that is busy.
    pub(super) async fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let from = counted_as(peer);
        if !peer.to_canonical().is_loopback()
            && self.count(Some(from)) >= self.most_of_one
            && !self.close_idle(Some(from))
        {
            self.refusals.refused();
            return None;
        }
        while self.count(None) >= self.most && !self.close_idle(None) {
            let _ = tokio::time::timeout(LOOK, self.gone.notified()).await;
        }
        let visit = Arc::new(Visit {
            from,
            idle: Mutex::new(Instant::now()),
            under_way: AtomicUsize::new(0),
            stuck: Mutex::default(),
            close: Notify::new(),
            is_closing: Mutex::new(false),
        });
        self.open.lock().push(Arc::clone(&visit));
        Some(Place { room: Arc::clone(self), visit })
    }

    /// How many connections there are that are not told to close, of all or of one address.
    fn count(&self, from: Option<IpAddr>) -> usize {
        let open = self.open.lock();
        open.iter().filter(|visit| from.is_none_or(|from| visit.from == from) && !*visit.is_closing.lock()).count()
    }

    /// Closes the connection that has been idle for longest, of all or of one address; whether there was one. If none is,
    /// it is one that takes nothing of an answer, be there requests under way behind that or not: who asks for the
    /// description, which needs no token, and reads nothing would keep others out as well.
    fn close_idle(&self, from: Option<IpAddr>) -> bool {
        let open = self.open.lock();
        let visits =
            || open.iter().filter(|visit| from.is_none_or(|from| visit.from == from) && !*visit.is_closing.lock());
        let idle = visits()
            .filter(|visit| visit.under_way.load(Ordering::Relaxed) == 0)
            .min_by_key(|visit| (visit.stuck.lock().is_some(), *visit.idle.lock()));
        let stuck = || {
            let stuck = visits().filter_map(|visit| Some(((*visit.stuck.lock())?, visit)));
            let longest = stuck.min_by_key(|(since, _)| *since);
            longest.filter(|(since, _)| since.elapsed() >= STUCK).map(|(_, visit)| visit)
        };
        let Some(visit) = idle.or_else(stuck) else { return false };
        *visit.is_closing.lock() = true;
        visit.close.notify_one();
        self.refusals.closed();
        true
    }
}

/// Addresses of IPv6 come by the network: a machine has as many as it likes of its own.
fn counted_as(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address => address,
    }
}

impl Place {
    /// Waits until the connection is to be closed for another one.
    pub(super) async fn closed(&self) {
        self.visit.close.notified().await;
    }

    /// To say what is under way.
    pub(super) fn activity(&self) -> Activity {
        Activity(Arc::clone(&self.visit))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.open.lock().retain(|visit| !Arc::ptr_eq(visit, &self.visit));
        self.room.gone.notify_one();
    }
}

impl Activity {
    /// A request is under way from now on.
    pub(super) fn begin(&self) -> Busy {
        self.0.under_way.fetch_add(1, Ordering::Relaxed);
        Busy(Arc::clone(&self.0))
    }

    /// Whether the client takes nothing of what is to be written.
    pub(super) fn is_stuck(&self, is_stuck: bool) {
        *self.0.stuck.lock() = is_stuck.then(Instant::now);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        *self.0.idle.lock() = Instant::now();
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request is under way until its answer is given away, with all of its body.
pub(super) async fn mark_busy(activity: Activity, request: Request, next: Next) -> Response {
    let busy = activity.begin();
    next.run(request).await.map(|body| Body::new(BusyBody { body, _busy: busy }))
}

/// A body as long as which something is under way.
struct BusyBody {
    body: Body,
    _busy: Busy,
}

impl hyper::body::Body for BusyBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    async fn is_closed(place: &Place) -> bool {
        tokio::time::timeout(Duration::ZERO, place.closed()).await.is_ok()
    }

    #[tokio::test]
    async fn who_was_idle_for_longest_makes_room() {
        let refusals = Arc::new(Refusals::default());
        let room = Room::new(3, 3, Arc::clone(&refusals));
        let local = address("127.0.0.1");
        let busy = room.enter(local).await.unwrap();
        let request = busy.activity().begin();
        let [first, second] = [room.enter(local).await.unwrap(), room.enter(local).await.unwrap()];
        // It was idle later.
        drop(first.activity().begin());
        let third = room.enter(local).await.unwrap();
        assert!(!is_closed(&busy).await && !is_closed(&first).await && is_closed(&second).await);
        drop(second);
        // With nothing idle it is waited.
        let requests = [first.activity().begin(), third.activity().begin()];
        let waiting = tokio::spawn({
            let room = Arc::clone(&room);
            async move { room.enter(local).await }
        });
        tokio::time::sleep(LOOK * 2).await;
        assert!(!waiting.is_finished());
        drop((request, busy));
        assert!(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap().is_some());
        drop(requests);
        assert_eq!((refusals.get().closed, refusals.get().refused), (1, 0));
    }

    #[tokio::test]
    async fn who_takes_nothing_is_the_last_to_go() {
        let room = Room::new(2, 2, Arc::default());
        let local = address("127.0.0.1");
        let stuck = room.enter(local).await.unwrap();
        stuck.activity().is_stuck(true);
        let idle = room.enter(local).await.unwrap();
        let third = room.enter(local).await.unwrap();
        assert!(!is_closed(&stuck).await && is_closed(&idle).await);
        drop(idle);
        let _request = third.activity().begin();
        let _fourth = room.enter(local).await.unwrap();
        assert!(is_closed(&stuck).await && !is_closed(&third).await);
    }

    #[tokio::test]
    async fn who_takes_nothing_for_long_goes_though_requests_are_under_way() {
        let room = Room::new(2, 2, Arc::default());
        let stranger = address("192.0.2.1");
        let since = |place: &Place, ago: Duration| {
            let since = Instant::now().checked_sub(ago).expect("the machine runs for longer");
            *place.visit.stuck.lock() = Some(since);
        };
        let [first, second] = [room.enter(stranger).await.unwrap(), room.enter(stranger).await.unwrap()];
        let _requests = [first.activity().begin(), second.activity().begin()];
        first.activity().is_stuck(true);
        assert!(room.enter(stranger).await.is_none());
        since(&first, STUCK);
        since(&second, STUCK * 2);
        // For one of the same address, and for others.
        let third = room.enter(stranger).await.unwrap();
        assert!(is_closed(&second).await && !is_closed(&first).await);
        let _request = third.activity().begin();
        let entered = tokio::time::timeout(PATIENCE, room.enter(address("198.51.100.1"))).await;
        assert!(entered.unwrap().is_some());
        assert!(is_closed(&first).await && !is_closed(&third).await);
    }

    #[tokio::test]
    async fn an_address_has_its_share() {
        let refusals = Arc::new(Refusals::default());
        let room = Room::new(10, 2, Arc::clone(&refusals));
        // Of one network, and of one address in two spellings.
        for [one, same] in [["2001:db8::1", "2001:db8::2:3"], ["192.0.2.1", "::ffff:192.0.2.1"]] {
            let first = room.enter(address(one)).await.unwrap();
            let second = room.enter(address(same)).await.unwrap();
            let busy = second.activity().begin();
            let third = room.enter(address(one)).await.unwrap();
            assert!(is_closed(&first).await && !is_closed(&second).await);
            let also_busy = third.activity().begin();
            assert!(room.enter(address(same)).await.is_none());
            drop((busy, also_busy));
        }
        let mut local = Vec::new();
        for _ in 0..4 {
            let place = room.enter(address("::1")).await.unwrap();
            let busy = place.activity().begin();
            local.push((place, busy));
        }
        assert_eq!((refusals.get().closed, refusals.get().refused), (2, 2));
    }
}
