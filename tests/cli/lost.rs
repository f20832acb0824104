//! Servers that are gone, busy, or no servers of carom.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::place::{Place, Said, Way, carom};
use crate::support::{PATIENCE, Server, not_run};

/// Answers one request on each connection, or hangs up on it, and gives the heads of the requests.
fn fake(answers: Vec<Option<String>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    fake_on(Ipv4Addr::LOCALHOST.into(), answers)
}

fn fake_on(address: IpAddr, answers: Vec<Option<String>>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move |answer: Option<String>| {
        let (stream, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let is_whole = head.contains("transfer-encoding: chunked")
            && answer.as_ref().is_some_and(|answer| answer.contains(" 200 "));
        let mut line = String::new();
        while is_whole && line != "0\r\n" {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the lines broke off");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        reader.read_exact(&mut body).unwrap();
        if let Some(answer) = answer {
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
        }
        head
    };
    (address, std::thread::spawn(move || answers.into_iter().map(serve).collect()))
}

fn answer(status: &str, fields: &str, body: &str) -> Option<String> {
    Some(format!("HTTP/1.1 {status}\r\n{fields}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))
}

/// A file that holds a token.
fn token(dir: &Path) -> String {
    let token = dir.join("token");
    std::fs::write(&token, "carom_0000000000000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n").unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    token.to_str().unwrap().to_owned()
}

/// Runs a command that asks this address.
fn ask(dir: &Path, address: SocketAddr, line: &str) -> Said {
    let (server, token) = (format!("http://{address}"), token(dir));
    let place = ["--server", &server, "--token-file", &token];
    carom(dir, &line.split_whitespace().chain(place).collect::<Vec<_>>())
}

const LINK: &str = r#"{"key":"*/abc","status":302,"target":"https://x.example/","version":1}"#;

#[test]
fn a_link_with_a_generated_code_is_asked_for_again_under_the_same_name() {
    let dir = tempfile::tempdir().unwrap();
    let (address, served) = fake(vec![None, answer("201 Created", "", LINK)]);
    let said = ask(dir.path(), address, "link add --target https://x.example/").done();
    assert_eq!(said, "created */abc → https://x.example/ (302)");
    let names: Vec<String> = served.join().unwrap().iter().map(|head| field(head, "idempotency-key")).collect();
    assert!(names[0] == names[1] && names[0].len() > 30, "{names:?}");

    // Who can't ask again does not know what became of it.
    let busy = answer("429 Too Many Requests", "Retry-After: 60\r\n", r#"{"detail":"too many requests"}"#);
    let (address, served) = fake(vec![None, busy]);
    let said = ask(dir.path(), address, "link add --target https://x.example/");
    said.fails(1, &["what it did is not known", "too many requests; try again in 60 seconds"]);
    assert_eq!(served.join().unwrap().len(), 2);

    // What can't be made twice is not repeated.
    let (address, served) = fake(vec![None]);
    let said = ask(dir.path(), address, "link add /a --target https://x.example/");
    said.fails(1, &["did not answer to the end, and what it did is not known"]);
    assert_eq!(field(&served.join().unwrap()[0], "idempotency-key"), "");
    // Who looked changed nothing.
    let (address, _served) = fake(vec![None]);
    let said = ask(dir.path(), address, "link get /a");
    assert!(said.err.contains("did not answer to the end; look whether"), "{}", said.err);
}

fn field(head: &str, name: &str) -> String {
    let value = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    value.unwrap_or_default().to_owned()
}

#[test]
fn a_short_wait_is_waited_for_and_a_long_one_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let problem = r#"{"type":"/problems/rate-limited","detail":"too many requests; wait as long as Retry-After says"}"#;
    let busy = |seconds: u32| answer("429 Too Many Requests", &format!("Retry-After: {seconds}\r\n"), problem);
    let (address, served) = fake(vec![busy(60)]);
    let said = ask(dir.path(), address, "link rm /a /b /c");
    said.fails(1, &["/a and what follows it were not deleted", "too many requests; wait 60 seconds"]);
    assert_eq!(served.join().unwrap().len(), 1);

    let server = Server::start(&["--admin-rate", "1"]);
    let token = server.data().join("admin.token");
    let url = format!("http://{}", server.admin.unwrap());
    let place = ["--server", &url, "--token-file", token.to_str().unwrap()];
    let said = carom(dir.path(), &[&["link", "rm", "/a", "/b"][..], &place].concat());
    assert_eq!(said.err.lines().filter(|line| line.contains("does not exist")).count(), 2, "{}", said.err);
}

const SUMMARY: &str = "\n{\"summary\":{\"created\":1,\"replaced\":0,\"unchanged\":0,\"failed\":0,\"lines\":1}}\n";

#[test]
fn lines_that_there_was_no_room_for_are_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("all.ndjson"), format!("{LINK}\n")).unwrap();
    let busy = |seconds: u32| {
        answer("429 Too Many Requests", &format!("Retry-After: {seconds}\r\n"), r#"{"detail":"too many requests"}"#)
    };
    let (address, served) = fake(vec![busy(0), busy(0), answer("200 OK", "", SUMMARY)]);
    let said = ask(dir.path(), address, "import all.ndjson").done();
    assert!(said.contains(": 1 created, 0 replaced, 0 unchanged."), "{said}");
    assert_eq!(served.join().unwrap().len(), 3);
    let (address, served) = fake(vec![busy(60)]);
    ask(dir.path(), address, "import all.ndjson").fails(1, &["try again in 60 seconds"]);
    assert_eq!(served.join().unwrap().len(), 1);
}

#[test]
fn an_import_that_breaks_off_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("all.ndjson"), format!("{LINK}\n")).unwrap();
    let (address, _served) = fake(vec![None]);
    let said = ask(dir.path(), address, "import all.ndjson");
    said.fails(1, &["all.ndjson was not imported to the end", "what is there already stays as it is"]);
}

#[test]
fn rows_are_not_judged_by_settings_that_could_not_be_read() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("links.csv"), "source,target\n/a,https://u@x.example/\n").unwrap();
    let (address, _served) = fake(vec![answer("200 OK", "", r#"{"hosts":[],"next_cursor":null}"#)]);
    ask(dir.path(), address, "import links.csv").fails(1, &["hung up before it was asked", "nothing was changed"]);
}

#[test]
fn what_a_running_program_writes_is_imported_as_it_comes() {
    let place = Place::new(Way::Control);
    let mut command = Command::new(env!("CARGO_BIN_EXE_carom"));
    command.args(["import", "-", "--format", "ndjson"]).args(place.arguments()).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let words = listen(child.stderr.take().unwrap());
    let mut stdin = child.stdin.take().unwrap();
    for key in ["/a", "/b"] {
        writeln!(stdin, r#"{{"key":"{key}","target":"https://x.example/"}}"#).unwrap();
        let began = Instant::now();
        while place.say(&format!("link get {key}")).code != 0 {
            assert!(began.elapsed() < PATIENCE, "{key} is not there");
        }
    }
    // It is said that the server is gone, though there may be more to come.
    let Place { server, .. } = place;
    let _data = server.unwrap().kill();
    wait_for(&words, "stdin was not imported to the end");
    assert_eq!(child.wait().unwrap().code(), Some(1));
    drop(stdin);
}

#[test]
fn an_export_that_breaks_off_leaves_the_file_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("all.ndjson"), "before").unwrap();
    let cut = format!("HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{LINK}\n");
    let (address, _served) = fake(vec![Some(cut)]);
    ask(dir.path(), address, "export -o all.ndjson").fails(1, &["did not answer to the end; look whether"]);
    assert_eq!(std::fs::read(dir.path().join("all.ndjson")).unwrap(), b"before");
    assert_eq!(dir.path().read_dir().unwrap().count(), 2, "the file and the token");
}

#[test]
fn what_is_no_admin_api_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let said = ask(dir.path(), server.address, "link list");
    said.fails(1, &["the status 404", "not come from the admin API", "--admin"]);
}

#[test]
fn a_token_that_leaves_the_machine_is_warned_of() {
    // Which address of this machine others see; nothing is sent.
    let seen = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    let dir = tempfile::tempdir().unwrap();
    let (address, _served) = fake(vec![answer("200 OK", "", LINK)]);
    ask(dir.path(), address, "link get */abc --json").done();
    let Some(seen) = seen.ok().map(|seen| seen.ip()).filter(|address| !address.is_loopback()) else {
        return not_run("the warning of tokens in the clear: this machine has no other address than its own");
    };
    let (address, _served) = fake_on(seen, vec![answer("200 OK", "", LINK)]);
    let said = ask(dir.path(), address, "link get */abc --json");
    assert_eq!((said.code, said.out.trim_end()), (0, LINK));
    assert_eq!(said.err.matches("WARNING").count(), 1, "{}", said.err);
    assert!(said.err.contains("travels there in the clear") && said.err.contains("ssh -L"), "{}", said.err);
}

/// `carom changes --follow`, line by line.
struct Follower {
    child: Child,
    lines: mpsc::Receiver<String>,
    words: mpsc::Receiver<String>,
}

impl Follower {
    fn start(place: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_carom"));
        command.args(["changes", "--follow", "--after", "0"]).args(place);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = listen(child.stdout.take().unwrap());
        let words = listen(child.stderr.take().unwrap());
        Follower { child, lines, words }
    }
}

fn listen(stream: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        BufReader::new(stream).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    receiver
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait_for(lines: &mpsc::Receiver<String>, part: &str) {
    loop {
        let line = lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no `{part}`"));
        if line.contains(part) {
            return;
        }
    }
}

#[test]
fn changes_are_followed_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&[]);
    let data = server.data();
    let add = |key: &str| {
        carom(dir.path(), &["link", "add", key, "--target", "https://x.example/", "--data", data.to_str().unwrap()])
            .done()
    };
    add("/before");
    let follower = Follower::start(&["--data", data.to_str().unwrap()]);
    wait_for(&follower.lines, "links create */before");
    let data_dir = server.stop();
    wait_for(&follower.words, "Waiting until it answers again");
    // It looks again after a second, and finds nobody.
    std::thread::sleep(Duration::from_millis(1_500));
    let _server = Server::start_on(data_dir, &[]);
    add("/after");
    wait_for(&follower.lines, "links create */after");
    assert!(follower.words.try_recv().is_err(), "it is said once");
}

#[test]
fn changes_are_not_followed_where_no_server_runs() {
    let place = Place::new(Way::Process);
    place.say("link add /a --target https://x.example/").done();
    place.say("changes --follow").fails(2, &["no server runs on carom-data"]);
    // A command beside it is in nobody's way.
    place.say("link get /a").done();
}

/// A page of changes, as the API answers it.
fn changes(records: &[u32], oldest: u32, newest: u32) -> Option<String> {
    let record = |sequence: &u32| {
        format!(
            r#"{{"sequence":{sequence},"time":"2030-01-01T00:00:00.000Z","actor":"a","kind":"import_commit","commands":[]}}"#
        )
    };
    let records: Vec<String> = records.iter().map(record).collect();
    let records = records.join(",");
    answer(
        "200 OK",
        "",
        &format!(r#"{{"changes":[{records}],"next_cursor":null,"oldest":{oldest},"newest":{newest}}}"#),
    )
}

#[test]
fn a_log_that_is_shorter_than_it_was_is_told_and_followed() {
    let dir = tempfile::tempdir().unwrap();
    let token = token(dir.path());
    let (address, served) = fake(vec![changes(&[5, 6], 1, 6), changes(&[], 1, 3), changes(&[4], 1, 4)]);
    let server = format!("http://{address}");
    let follower = Follower::start(&["--server", &server, "--token-file", &token]);
    wait_for(&follower.lines, "6  2030");
    wait_for(&follower.words, "WARNING: the log ends with the record 3 now, before the record 6");
    wait_for(&follower.lines, "4  2030");
    assert!(served.join().unwrap()[2].contains("after=3"));
}

#[test]
fn records_that_are_gone_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (address, _served) = fake(vec![changes(&[5, 6], 5, 6)]);
    let said = ask(dir.path(), address, "changes --after 1");
    assert_eq!((said.code, said.out.lines().count()), (0, 2));
    assert!(said.err.contains("WARNING: the records 2 to 4 are gone"), "{}", said.err);
    let (address, _served) = fake(vec![changes(&[5, 6], 5, 6)]);
    assert_eq!(ask(dir.path(), address, "changes --after 4").done().lines().count(), 2);
    let (address, _served) = fake(vec![changes(&[6, 5], 2, 6)]);
    let said = ask(dir.path(), address, "changes");
    assert!(said.err.contains("WARNING: the records 2 to 4 are gone"), "{}", said.err);
    let (address, _served) = fake(vec![changes(&[6, 5], 2, 6)]);
    assert_eq!(ask(dir.path(), address, "changes --limit 2").done().lines().count(), 2);
}

#[test]
fn commands_that_come_together_wait_for_each_other() {
    let place = Place::new(Way::Process);
    place.say("link add /first --target https://x.example/").done();
    std::thread::scope(|scope| {
        let add = |key: String| place.carom(&["link", "add", &key, "--target", "https://x.example/"]).done();
        let adding: Vec<_> = (0..4).map(|n| scope.spawn(move || add(format!("/p{n}")))).collect();
        adding.into_iter().for_each(|adding| drop(adding.join().unwrap()));
    });
    assert_eq!(place.say("link list --json").done().lines().count(), 5);
}
