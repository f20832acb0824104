//! What links with terms and hosts with settings answer on the wire, and that a change of either is seen at once.

mod support;

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use carom::clock::unix_time_ms;
use carom::config::{DriverChoice, Durability, ServeConfig};
use carom::data_plane;
use carom::engine::{Engine, EngineConfig, OwnedEngine, Submission};
use carom::link::{
    Action, Actor, CacheControl, Chains, Change, Command, Destination, Host, HostCommand, HostSettings, LinkKey,
    LinkOptions, Percent, Precondition, QueryPolicy, ReferrerPolicy, RobotsTag, SetLink, Status, Target, UnknownHosts,
};
use support::{Answer, BROWSER, Client, PATIENCE, Server, has_driver};

const WORKERS: usize = 4;

/// A server in this process, which ends with it.
struct Place {
    engine: Arc<Engine>,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

/// Runs a test on every driver that this machine has.
fn on_each_driver(test: impl Fn(&Place)) {
    for (name, driver) in [("uring", DriverChoice::Uring), ("epoll", DriverChoice::Epoll)] {
        if has_driver(name) {
            test(&Place::open(driver));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The directory goes now, and with nothing left to save nobody misses it.
        self.engine.uses().save().unwrap();
    }
}

fn target(text: &str) -> Target {
    Target::parse(text).unwrap()
}

fn redirect(status: Status, to: &str) -> Destination {
    Destination::new(status, Some(target(to))).unwrap()
}

fn set(source: &str, destination: Destination, options: LinkOptions) -> Change {
    let set = SetLink { destination, options, chains: Chains::Allow, is_generated: false };
    let key = LinkKey::parse(source).unwrap();
    Change::Links(vec![Command { key, action: Action::Set(Box::new(set)), precondition: Precondition::None }])
}

fn make(engine: &Engine, change: Change) {
    engine.change(Submission { actor: Actor::local(), operation: None, change }).unwrap();
}

impl Place {
    fn open(driver: DriverChoice) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EngineConfig {
            cache_bytes: 1 << 20,
            durability: Durability::Os,
            disk_reserve_bytes: 0,
            ..EngineConfig::new(dir.path().join("data"))
        };
        let (owned, _) = OwnedEngine::open(&config).unwrap();
        let engine = Arc::clone(owned.engine());
        let config = ServeConfig {
            listen: "127.0.0.1:0".parse().unwrap(),
            workers: WORKERS,
            driver,
            max_connections: 1_024,
            idle_timeout: PATIENCE,
            header_timeout: PATIENCE,
            write_timeout: PATIENCE,
            drain_timeout: Duration::from_secs(1),
        };
        let (listening, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            data_plane::serve(owned.engine(), &config, |address, _| listening.send(address).unwrap()).unwrap();
        });
        Place { engine, address: address.recv().unwrap(), _dir: dir }
    }

    fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    fn link(&self, source: &str, destination: Destination, options: LinkOptions) {
        make(&self.engine, set(source, destination, options));
    }

    /// A 302 to `https://to.example/`.
    fn found(&self, source: &str, options: LinkOptions) {
        self.link(source, redirect(Status::Found, "https://to.example/"), options);
    }

    fn host(&self, host: &str, change: impl FnOnce(&mut HostSettings)) {
        let mut settings = HostSettings::default();
        change(&mut settings);
        let host = Host::parse(host).unwrap();
        let settings = Some(Box::new(settings));
        make(&self.engine, Change::Host(HostCommand { host, settings, precondition: Precondition::None }));
    }
}

/// Status, location and caching of an answer.
fn told(answer: &Answer) -> String {
    let field = |name| answer.field(name).unwrap_or("-");
    format!("{} {} {}", answer.status, field("location"), field("cache-control"))
}

fn ask(client: &mut Client, host: &str, path: &str) -> String {
    told(&client.get(host, path))
}

/// The `max-age` of an answer.
fn max_age(answer: &Answer) -> u32 {
    answer.field("cache-control").unwrap().rsplit_once("max-age=").unwrap().1.parse().unwrap()
}

fn in_the(past_or_future_ms: i64) -> Option<u64> {
    Some(unix_time_ms().checked_add_signed(past_or_future_ms).unwrap())
}

const HOUR_MS: i64 = 3_600_000;

#[test]
fn every_state_has_its_answer() {
    on_each_driver(|place| {
        let over = Some(target("https://to.example/over"));
        let none = LinkOptions::default;
        place.found("/active", LinkOptions { not_before_ms: in_the(-1), expires_at_ms: in_the(HOUR_MS), ..none() });
        place.found("/scheduled", LinkOptions { not_before_ms: in_the(HOUR_MS), ..none() });
        place.found("/disabled", LinkOptions { is_disabled: true, ..none() });
        place.found("/expired", LinkOptions { expires_at_ms: in_the(-1), ..none() });
        place.found("/over", LinkOptions { expires_at_ms: in_the(-1), expired_target: over.clone(), ..none() });
        place.found("/once", LinkOptions { max_clicks: NonZeroU64::new(1), ..none() });
        place.found("/once-over", LinkOptions { max_clicks: NonZeroU64::new(1), expired_target: over, ..none() });
        let gone = Destination::new(Status::Gone, None).unwrap();
        place.link("/gone-soon", gone, LinkOptions { not_before_ms: in_the(HOUR_MS), ..none() });
        place.host("nf.example", |settings| {
            settings.not_found_target = Some(target("https://nf.example/lost"));
            settings.fallback = Some(target("https://back.example/base/"));
        });
        for host in ["plain.example", "nf.example"] {
            let mut client = place.connect();
            let missing = match host {
                "plain.example" => "404 - no-store",
                _ => "302 https://nf.example/lost no-store",
            };
            for (path, answer) in [
                ("/active", "302 https://to.example/ private, max-age=90"),
                ("/scheduled", missing),
                ("/gone-soon", missing),
                ("/disabled?q=1", missing),
                ("/expired", "410 - no-store"),
                ("/over?q=1", "302 https://to.example/over no-store"),
            ] {
                assert_eq!(ask(&mut client, host, path), answer, "{host}{path}");
                let head = client.send(format!("HEAD {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).answer(true);
                assert_eq!(told(&head), answer, "HEAD {host}{path}");
            }
        }
        let mut client = place.connect();
        for (path, after) in [("/once", "410 - no-store"), ("/once-over", "302 https://to.example/over no-store")] {
            let head = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n");
            for _ in 0..3 {
                // Who only looks takes no click.
                assert_eq!(told(&client.send(&head).answer(true)), "302 https://to.example/ no-store");
            }
            assert_eq!(ask(&mut client, "a", path), "302 https://to.example/ no-store");
            assert_eq!(ask(&mut client, "a", path), after);
            assert_eq!(told(&client.send(&head).answer(true)), after);
        }
    });
}

#[test]
fn answers_are_these_bytes() {
    on_each_driver(|place| {
        place.found("/expired", LinkOptions { expires_at_ms: in_the(-1), ..LinkOptions::default() });
        place.host("h.example", |settings| {
            settings.referrer_policy = Some(ReferrerPolicy::parse("no-referrer").unwrap());
            settings.robots_tag = Some(RobotsTag::parse("noindex").unwrap());
            settings.temporary_cache_control = Some(CacheControl::parse("no-cache").unwrap());
        });
        place.found("/x", LinkOptions::default());
        for (path, before_date, behind_date) in [
            (
                "/x",
                "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nCache-Control: no-cache\r\nDate: ",
                "\r\nLocation: https://to.example/\r\nReferrer-Policy: no-referrer\r\nX-Robots-Tag: noindex\r\n\r\n",
            ),
            (
                "/expired",
                "HTTP/1.1 410 Gone\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 9\r\n\
                 Cache-Control: no-store\r\nDate: ",
                "\r\n\r\n410 Gone\n",
            ),
            (
                "/none",
                "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 14\r\n\
                 Cache-Control: no-store\r\nDate: ",
                "\r\n\r\n404 Not Found\n",
            ),
        ] {
            let mut client = place.connect();
            client.send(format!("GET {path} HTTP/1.1\r\nHost: h.example\r\n\r\n"));
            let mut bytes = vec![0; before_date.len() + 29 + behind_date.len()];
            std::io::Read::read_exact(client.stream(), &mut bytes).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(&text[..before_date.len()], before_date);
            assert_eq!(&text[before_date.len() + 29..], behind_date);
        }
    });
}

#[test]
fn a_link_comes_and_goes_at_its_very_moment() {
    on_each_driver(|place| {
        let (begin, end) = (unix_time_ms() + 700, unix_time_ms() + 1_700);
        let times = LinkOptions { not_before_ms: Some(begin), expires_at_ms: Some(end), ..LinkOptions::default() };
        place.found("/window", times);
        let mut clients: Vec<Client> = (0..8).map(|_| place.connect()).collect();
        let mut seen = [0; 3];
        for turn in 0.. {
            let client = &mut clients[turn % 8];
            let before = unix_time_ms();
            let answer = client.get("a", "/window");
            let after = unix_time_ms();
            let state = [404, 302, 410].iter().position(|status| *status == answer.status).unwrap();
            let possible = |ms: u64| usize::from(ms >= begin) + usize::from(ms >= end);
            assert!(
                (possible(before)..=possible(after)).contains(&state),
                "{state} at {before}..={after}, {begin}, {end}"
            );
            if state == 1 {
                // Nobody keeps it past its end.
                assert!(u64::from(max_age(&answer)) * 1_000 <= end - before, "{answer:?}");
            }
            seen[state] += 1;
            if before > end + 200 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(seen.iter().all(|&times| times > 10), "{seen:?}");
    });
}

#[test]
fn a_limit_of_clicks_is_kept_to_the_click_by_all_workers() {
    const CLICKS: u64 = 3_000;
    on_each_driver(|place| {
        let limit = LinkOptions { max_clicks: NonZeroU64::new(CLICKS), ..LinkOptions::default() };
        place.found("/limited", limit.clone());
        let over = Some(target("https://to.example/over"));
        place.found("/limited-over", LinkOptions { expired_target: over, ..limit });
        for (path, status_after) in [("/limited", 410), ("/limited-over", 302)] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nUser-Agent: {BROWSER}\r\n\r\n").repeat(20);
            let clicks: u64 = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..16)
                    .map(|_| {
                        scope.spawn(|| {
                            let mut client = place.connect();
                            let mut clicks = 0;
                            for _ in 0..20 {
                                client.send(&request);
                                for _ in 0..20 {
                                    let answer = client.answer(false);
                                    let is_click = answer.field("location") == Some("https://to.example/");
                                    assert!(is_click || answer.status == status_after);
                                    clicks += u64::from(is_click);
                                }
                            }
                            clicks
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!(clicks, CLICKS, "{path}");
        }
    });
}

#[test]
fn programs_take_no_clicks() {
    on_each_driver(|place| {
        place.found("/two", LinkOptions { max_clicks: NonZeroU64::new(2), ..LinkOptions::default() });
        let mut client = place.connect();
        let mut ask = |method: &str, agent: &str| {
            let request = format!("{method} /two HTTP/1.1\r\nHost: a\r\n{agent}\r\n");
            client.send(request).answer(method == "HEAD").status
        };
        let browser = format!("User-Agent: {BROWSER}\r\n");
        let programs = ["", "User-Agent: Googlebot/2.1\r\n", "User-Agent: WhatsApp/2.23.20.0\r\n"];
        for left in [2, 1, 0] {
            let status = if left > 0 { 302 } else { 410 };
            assert_eq!(programs.map(|program| ask("GET", program)), [status; 3], "{left} left");
            assert_eq!(ask("HEAD", &browser), status, "{left} left");
            assert_eq!(ask("GET", &browser), status, "{left} left");
        }
    });
}

#[test]
fn clicks_stay_used_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let config = EngineConfig { cache_bytes: 1 << 20, ..EngineConfig::new(dir.path().join("data")) };
    let (owned, _) = OwnedEngine::open(&config).unwrap();
    let limit = LinkOptions { max_clicks: NonZeroU64::new(5), ..LinkOptions::default() };
    make(owned.engine(), set("/limited", redirect(Status::Found, "https://to.example/"), limit));
    owned.close().unwrap();
    let statuses = |server: &Server, times| -> Vec<u16> {
        let mut client = server.connect();
        (0..times).map(|_| client.get("a", "/limited").status).collect()
    };
    let server = Server::start_on(dir, &[]);
    assert_eq!(statuses(&server, 3), [302; 3]);
    let server = Server::start_on(server.stop(), &[]);
    assert_eq!(statuses(&server, 3), [302, 302, 410]);
    let server = Server::start_on(server.stop(), &[]);
    assert_eq!(statuses(&server, 1), [410]);
}

#[test]
fn queries_are_dropped_forwarded_or_merged() {
    on_each_driver(|place| {
        let to = || redirect(Status::Found, "https://to.example/p?a=1#end");
        for (source, query_policy) in [
            ("/usual", None),
            ("/drop", Some(QueryPolicy::Drop)),
            ("/forward", Some(QueryPolicy::Forward)),
            ("/merge", Some(QueryPolicy::Merge)),
            ("/merge?keyed=1", Some(QueryPolicy::Merge)),
        ] {
            place.link(source, to(), LinkOptions { query_policy, ..LinkOptions::default() });
        }
        place.host("merges.example", |settings| settings.query_policy = QueryPolicy::Merge);
        let mut client = place.connect();
        for (host, path, location) in [
            ("a", "/usual?x=2", "https://to.example/p?a=1#end"),
            ("merges.example", "/usual?x=2&a=3", "https://to.example/p?a=1&x=2#end"),
            ("merges.example", "/drop?x=2", "https://to.example/p?a=1#end"),
            ("a", "/forward", "https://to.example/p?a=1#end"),
            ("a", "/forward?x='2'", "https://to.example/p?x=%272%27#end"),
            ("a", "/merge?x=2&a=3", "https://to.example/p?a=1&x=2#end"),
            ("a", "/merge?keyed=1", "https://to.example/p?a=1#end"),
            ("a", "/merge?keyed=2", "https://to.example/p?a=1&keyed=2#end"),
        ] {
            assert_eq!(client.get(host, path).field("location"), Some(location), "{host}{path}");
        }
    });
}

#[test]
fn a_host_ignores_what_it_is_told_to_and_old_links_keep_their_spelling() {
    on_each_driver(|place| {
        let to = |name: &str| redirect(Status::Found, &format!("https://to.example/{name}"));
        let link = |source: &str, name: &str| place.link(source, to(name), LinkOptions::default());
        link("h.example/Old/", "old");
        link("/Any", "any");
        place.host("h.example", |settings| {
            settings.ignore_case = true;
            settings.ignore_trailing_slash = true;
        });
        link("h.example/New/Page/", "new");
        link("h.example/Detail?Id=7", "seven");
        place.host("*", |settings| settings.ignore_trailing_slash = true);
        link("/Slashed/", "slashed");
        let mut client = place.connect();
        for (host, path, name) in [
            ("h.example", "/Old/", Some("old")),
            ("h.example", "/old", None),
            ("h.example", "/new/page", Some("new")),
            ("H.Example:80", "/NEW/pAge//", Some("new")),
            ("h.example", "/DETAIL/?Id=7", Some("seven")),
            ("h.example", "/detail?id=7", None),
            // On any host the differences that any host ignores count, and no others.
            ("h.example", "/Any", Some("any")),
            ("h.example", "/any", None),
            ("b.example", "/Slashed", Some("slashed")),
            ("h.example", "/Slashed//", Some("slashed")),
            ("h.example", "/slashed", None),
        ] {
            let location = name.map(|name| format!("https://to.example/{name}"));
            assert_eq!(client.get(host, path).field("location"), location.as_deref(), "{host}{path}");
        }
    });
}

#[test]
fn answers_are_kept_as_link_and_host_say() {
    on_each_driver(|place| {
        let caching = |text: &str| Some(CacheControl::parse(text).unwrap());
        place.host("h.example", |settings| {
            settings.permanent_cache_control = caching("public, max-age=1000");
            settings.temporary_cache_control = caching("private, max-age=100");
            settings.cache_jitter = Percent::new(20).unwrap();
        });
        let moved = |to: &str| redirect(Status::MovedPermanently, to);
        place.link("/moved", moved("https://to.example/"), LinkOptions::default());
        place.found("/found", LinkOptions::default());
        let own = LinkOptions { cache_control: caching("no-store"), ..LinkOptions::default() };
        place.link("/own", moved("https://to.example/"), own);
        let soon = LinkOptions {
            cache_control: caching("max-age=500"),
            expires_at_ms: in_the(60_500),
            ..LinkOptions::default()
        };
        place.link("/soon", moved("https://to.example/"), soon);
        place.link("/gone", Destination::new(Status::Gone, None).unwrap(), LinkOptions::default());
        let mut client = place.connect();
        for (path, kind, ages) in [
            ("/moved", "public", 800..=1_000),
            ("/gone", "public", 800..=1_000),
            ("/found", "private", 80..=100),
            ("/soon", "public", 45..=60),
        ] {
            let mut seen: Vec<u32> = (0..200)
                .map(|_| {
                    let answer = client.get("h.example", path);
                    assert!(answer.field("cache-control").unwrap().starts_with(kind), "{answer:?}");
                    max_age(&answer)
                })
                .collect();
            seen.sort_unstable();
            assert!(seen.iter().all(|age| ages.contains(age)), "{path}: {seen:?}");
            let (low, high, spread) = (seen[0], seen[199], ages.end() - ages.start());
            // The last seconds of the link pass while it is asked for.
            assert!(path == "/soon" || high - low > spread * 8 / 10, "{path}: {low} to {high}");
        }
        assert_eq!(ask(&mut client, "h.example", "/own"), "301 https://to.example/ no-store");
        for _ in 0..50 {
            assert!((77_760..86_400).contains(&max_age(&client.get("a", "/moved"))));
        }
    });
}

#[test]
fn what_no_link_answers_goes_where_the_host_says() {
    on_each_driver(|place| {
        place.host("f.example", |settings| settings.fallback = Some(target("https://old.example/base/?no#no")));
        place.host("own.example", |settings| settings.fallback = Some(target("https://Own.example:8443/")));
        place.host("nf.example", |settings| settings.not_found_target = Some(target("https://nf.example/lost?a#b")));
        place.found("/any", LinkOptions::default());
        let mut client = place.connect();
        let kept = "private, max-age=90";
        for (host, path, answer) in [
            ("f.example", "/x%2fy/../z?q=1", format!("302 https://old.example/base/x%2fy/../z?q=1 {kept}")),
            ("own.example", "/x", "404 - no-store".to_owned()),
            ("nf.example", "/x?q=1", format!("302 https://nf.example/lost?a#b {kept}")),
            ("nf.example", "/lost", "404 - no-store".to_owned()),
            ("nf.example", "/%6Cost?a", "404 - no-store".to_owned()),
            ("unknown.example", "/x", "404 - no-store".to_owned()),
            ("unknown.example", "/any", format!("302 https://to.example/ {kept}")),
        ] {
            assert_eq!(ask(&mut client, host, path), answer, "{host}{path}");
        }
        // What is set for any host holds for those that have no settings, and links of any host answer for them, or not.
        place.found("stray.example/own", LinkOptions::default());
        place.host("*", |settings| {
            settings.unknown_hosts = UnknownHosts::NotFound;
            settings.fallback = Some(target("https://www.example.com/"));
        });
        for (host, path, answer) in [
            ("f.example", "/any", format!("302 https://to.example/ {kept}")),
            ("unknown.example", "/any", format!("302 https://www.example.com/any {kept}")),
            // No way around it: neither of these is a name that links of any host answer for.
            ("*", "/any", format!("302 https://www.example.com/any {kept}")),
            ("*.", "/any", format!("302 https://www.example.com/any {kept}")),
            ("", "/any", format!("302 https://www.example.com/any {kept}")),
            ("www.example.com", "/any", "404 - no-store".to_owned()),
            ("stray.example", "/own", format!("302 https://to.example/ {kept}")),
        ] {
            assert_eq!(ask(&mut client, host, path), answer, "{host}{path}");
        }
    });
}

#[test]
fn the_next_request_on_every_worker_goes_by_the_new_settings() {
    on_each_driver(|place| {
        // Enough of them that each worker has some.
        let mut clients: Vec<Client> = (0..4 * WORKERS).map(|_| place.connect()).collect();
        for change in 0..2_000_u32 {
            let robots_tag = format!("change{change}");
            place.host("h.example", |settings| {
                settings.robots_tag = Some(RobotsTag::parse(&robots_tag).unwrap());
                settings.fallback = Some(target("https://to.example/"));
            });
            let begin = change as usize % clients.len();
            let asked: Vec<usize> = (begin..begin + WORKERS).map(|index| index % clients.len()).collect();
            for &index in &asked {
                clients[index].send("GET /x HTTP/1.1\r\nHost: h.example\r\n\r\n");
            }
            for index in asked {
                let answer = clients[index].answer(false);
                assert_eq!(answer.field("x-robots-tag"), Some(&*robots_tag), "connection {index}");
            }
        }
    });
}
