//! Requests that are answered.

use super::{NOBODY, PLAIN, assert_request};
use crate::http1::{Client, ForwardedFor, Method, Parse, Request, Version, parse};
use crate::limits::{
    HOST_BYTES, METHOD_BYTES, REQUEST_EMPTY_LINES, REQUEST_HEAD_BYTES, REQUEST_HEADERS, REQUEST_TARGET_BYTES,
};

#[test]
fn methods() {
    let table = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::NotAllowed),
        ("PUT", Method::NotAllowed),
        ("DELETE", Method::NotAllowed),
        ("OPTIONS", Method::NotAllowed),
        ("PATCH", Method::NotAllowed),
        ("TRACE", Method::NotAllowed),
        // RFC 9110 §9.1: case-sensitive.
        ("get", Method::NotImplemented),
        ("Head", Method::NotImplemented),
        ("GETS", Method::NotImplemented),
        ("GE", Method::NotImplemented),
        ("PROPFIND", Method::NotImplemented),
        ("M-SEARCH", Method::NotImplemented),
        ("!#$%&'*+-.^_`|~09", Method::NotImplemented),
        (&"M".repeat(METHOD_BYTES), Method::NotImplemented),
    ];
    for (name, method) in table {
        assert_request(format!("{name} / HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(), Request { method, ..PLAIN });
    }
}

// RFC 9112 §3.2.1.
#[test]
fn origin_form() {
    let table = [
        (&b"/"[..], &b"/"[..], None),
        (b"/a/b.html", b"/a/b.html", None),
        (b"/a?b=c", b"/a", Some(&b"b=c"[..])),
        (b"/?", b"/", Some(b"")),
        (b"/a?b?c??", b"/a", Some(b"b?c??")),
        (b"//other/a", b"//other/a", None),
        (b"/http://x@y/", b"/http://x@y/", None),
        (b"/%zz%00%", b"/%zz%00%", None),
        (b"/|\"<>{}^`\\", b"/|\"<>{}^`\\", None),
        ("/ü?ß".as_bytes(), "/ü".as_bytes(), Some("ß".as_bytes())),
        (b"/\x80\xFF?\xC3", b"/\x80\xFF", Some(b"\xC3")),
    ];
    for (target, path, query) in table {
        let bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        assert_request(&bytes, Request { path, query, ..PLAIN });
    }
}

// RFC 9112 §3.2.2: the authority counts, not `Host`, which must be there all the same.
#[test]
fn absolute_form() {
    let table: [(&str, &str, &str, Option<&[u8]>); 7] = [
        ("http://a", "a", "/", None),
        ("http://a/", "a", "/", None),
        ("https://A.Example:8443/p?q", "A.Example:8443", "/p", Some(b"q")),
        ("HTTP://a:/p", "a:", "/p", None),
        ("http://a?q/r", "a", "/", Some(b"q/r")),
        ("http://[::1]:80/p", "[::1]:80", "/p", None),
        ("http://a//b?http://c", "a", "//b", Some(b"http://c")),
    ];
    for (target, host, path, query) in table {
        let (host, path) = (Some(host.as_bytes()), path.as_bytes());
        for field in ["Host: h", "Host:"] {
            let bytes = format!("GET {target} HTTP/1.1\r\n{field}\r\n\r\n");
            assert_request(bytes.as_bytes(), Request { host, path, query, ..PLAIN });
        }
        let bytes = format!("GET {target} HTTP/1.0\r\n\r\n");
        let old = Request { host, path, query, keep_alive: false, version: Version::Http10, ..PLAIN };
        assert_request(bytes.as_bytes(), old);
    }
}

// RFC 9112 §3.2.3, §3.2.4.
#[test]
fn authority_and_asterisk_form() {
    let not_allowed = Request { method: Method::NotAllowed, ..PLAIN };
    let asterisk = Request { path: b"*", ..not_allowed };
    assert_request(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", asterisk);
    let on_host = Request { path: b"/p", host: Some(b"a"), ..not_allowed };
    assert_request(b"OPTIONS http://a/p HTTP/1.1\r\nHost: h\r\n\r\n", on_host);
    for target in ["a:443", "[::1]:443"] {
        // The bytes behind a CONNECT may be meant for a tunnel, so the connection ends.
        let connect = Request { path: target.as_bytes(), keep_alive: false, ..not_allowed };
        assert_request(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(), connect);
    }
}

// RFC 9112 §3.2, RFC 9110 §7.2.
#[test]
fn hosts() {
    let longest = "h".repeat(HOST_BYTES);
    let longest_with_port = format!("{longest}:65535");
    let table = [
        "example.com",
        "EXAMPLE.com.",
        "h:80",
        "h:",
        "my_host.example",
        "xn--bcher-kva.example",
        "192.0.2.1:8080",
        "[2001:db8::1]",
        "[::ffff:192.0.2.1]:443",
        "!$&'()*+,;=~-._",
        "a%2Fb%c3%a9",
        &longest,
        &longest_with_port,
    ];
    for host in table {
        let expected = Request { host: Some(host.as_bytes()), ..PLAIN };
        assert_request(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes(), expected);
        assert_request(format!("GET / HTTP/1.1\r\nhOsT:\t {host} \t\r\nA: b\r\n\r\n").as_bytes(), expected);
    }
    let nobody = Request { host: None, ..PLAIN };
    assert_request(b"GET / HTTP/1.1\r\nHost:\r\n\r\n", nobody);
    assert_request(b"GET / HTTP/1.1\r\nHost: \t \r\n\r\n", nobody);
    let old = Request { keep_alive: false, version: Version::Http10, ..PLAIN };
    assert_request(b"GET / HTTP/1.0\r\n\r\n", Request { host: None, ..old });
    assert_request(b"GET / HTTP/1.0\r\nHost: h\r\n\r\n", old);
}

// RFC 9110 §2.5: a higher minor version is processed as the highest known.
#[test]
fn versions() {
    for minor in 1..=9 {
        assert_request(format!("GET / HTTP/1.{minor}\r\nHost: h\r\n\r\n").as_bytes(), PLAIN);
    }
}

// RFC 9112 §9.3, RFC 9110 §7.6.1.
#[test]
fn persistence() {
    let table = [
        ("", true, false),
        ("Connection: close\r\n", false, false),
        ("Connection: keep-alive\r\n", true, true),
        ("connection: Keep-Alive\r\n", true, true),
        ("CONNECTION:CLOSE\r\n", false, false),
        ("Connection: keep-alive, close\r\n", false, false),
        ("Connection: close ,\tkeep-alive\r\n", false, false),
        ("Connection: upgrade,  Keep-Alive ,,\r\n", true, true),
        ("Connection: keep-alive\r\nConnection: close\r\n", false, false),
        ("Connection: close\r\nConnection: keep-alive\r\n", false, false),
        ("Connection: TE\r\nConnection: keep-alive\r\n", true, true),
        ("Connection: closed, not-close, close-not\r\n", true, false),
        ("Connection: \r\n", true, false),
        ("Proxy-Connection: keep-alive\r\n", true, false),
        ("Keep-Alive: timeout=5\r\n", true, false),
        ("Kopfxxtion: close\r\n", true, false),
        ("Cxnnection: close\r\n", true, false),
    ];
    for (fields, modern, old) in table {
        let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        assert_request(bytes.as_bytes(), Request { keep_alive: modern, ..PLAIN });
        let bytes = format!("GET / HTTP/1.0\r\n{fields}Host: h\r\n\r\n");
        assert_request(bytes.as_bytes(), Request { keep_alive: old, version: Version::Http10, ..PLAIN });
    }
}

// RFC 9112 §6.3. A body is never read, so the connection ends behind the head.
#[test]
fn bodies() {
    let table = [
        ("Content-Length: 0\r\n", true),
        ("Content-Length: 00\r\nContent-Length: 0, 0\r\n", true),
        ("Content-Length: 1\r\n", false),
        ("content-length: 18446744073709551615\r\n", false),
        ("Content-Length: 5, 5\r\n", false),
        ("Content-Length: 5\r\nContent-Length: 05\r\n", false),
        ("Transfer-Encoding: chunked\r\n", false),
        ("transfer-encoding:CHUNKED \r\n", false),
        ("Transfer-Encodinh: gzip\r\n", true),
        ("Xontent-Length: -1\r\n", true),
        ("Expect: 100-continue\r\n", true),
    ];
    for (fields, keep_alive) in table {
        for (name, method) in [("GET", Method::Get), ("HEAD", Method::Head), ("POST", Method::NotAllowed)] {
            let bytes = format!("{name} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            assert_request(bytes.as_bytes(), Request { method, keep_alive, has_body: !keep_alive, ..PLAIN });
        }
    }
}

// RFC 9112 §2.2.
#[test]
fn empty_lines_in_front() {
    for lines in 1..=REQUEST_EMPTY_LINES {
        let bytes = ["\r\n".repeat(lines).as_bytes(), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
        assert_request(&bytes, PLAIN);
    }
}

// RFC 9110 §5.5: any visible byte, tabs and bytes from 0x80 on may stand in a value.
#[test]
fn odd_fields() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\nA:\r\nB: \t \r\n!#$%&'*+-.^_`|~: \xFF\x80 \"\t,:;\r\nC:d\r\n\r\n";
    assert_request(head, PLAIN);
}

#[test]
fn a_browser() {
    let bytes = b"GET /detail?itemid=7 HTTP/1.1\r\nHost: go.example.com\r\n\
        User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
        Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
        Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\nDNT: 1\r\n\
        Connection: keep-alive\r\nCookie: a=b; c=d\r\nUpgrade-Insecure-Requests: 1\r\n\
        Sec-Fetch-Dest: document\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nPriority: u=0, i\r\n\r\n";
    let client = Client {
        user_agent: Some(b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        accept_language: Some(b"en-US,en;q=0.5"),
        opts_out: true,
        ..NOBODY
    };
    let host = Some(&b"go.example.com"[..]);
    let expected = Request { host, path: b"/detail", query: Some(b"itemid=7"), client, ..PLAIN };
    assert_request(bytes, expected);
}

#[test]
fn who_asks() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\n";
    let said = |fields: &str, client| {
        assert_request(format!("{head}{fields}\r\n\r\n").as_bytes(), Request { client, ..PLAIN });
    };
    said("uSER-aGENT: curl/8.7.1", Client { user_agent: Some(b"curl/8.7.1"), ..NOBODY });
    said("User-Agent:", Client { user_agent: Some(b""), ..NOBODY });
    said("Referer: a\r\nREFERER: b", Client { referer: Some(b"b"), ..NOBODY });
    said("accept-language: de", Client { accept_language: Some(b"de"), ..NOBODY });
    said("accept-encoding: br", NOBODY);
    let forwarded = |lines: &[&'static [u8]]| Client { forwarded_for: ForwardedFor::of(lines), ..NOBODY };
    said("X-Forwarded-For: 192.0.2.1, ::1", forwarded(&[b"192.0.2.1, ::1"]));
    said("X-Forwarded-For: a\r\nDNT: 0\r\nx-forwarded-for: b", forwarded(&[b"a", b"b"]));
    for (field, opts_out) in
        [("DNT: 1", true), ("DNT: 1xy", true), ("sec-gpc: 1", true), ("DNT: 0", false), ("Sec-GPC: ?1", false)]
    {
        said(field, Client { opts_out, ..NOBODY });
    }
    said("DNT: 1\r\nSec-GPC: 0", Client { opts_out: true, ..NOBODY });
}

#[test]
fn at_the_limits() {
    let path = format!("/{}", "a".repeat(REQUEST_TARGET_BYTES - 1));
    let expected = Request { path: path.as_bytes(), ..PLAIN };
    assert_request(format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(), expected);

    for count in 1..=REQUEST_HEADERS {
        let fields = "Field: value\r\n".repeat(count - 1);
        assert_request(format!("GET / HTTP/1.1\r\n{fields}Host: h\r\n\r\n").as_bytes(), PLAIN);
    }

    let frame = "GET / HTTP/1.1\r\nHost: h\r\nCookie: \r\n\r\n";
    let value = "v".repeat(REQUEST_HEAD_BYTES - frame.len());
    assert_request(format!("GET / HTTP/1.1\r\nHost: h\r\nCookie: {value}\r\n\r\n").as_bytes(), PLAIN);
}

#[test]
fn pipelined_at_every_split() {
    let heads: [&[u8]; 6] = [
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nHEAD /2?q HTTP/1.1\r\nhost: b:81\r\nAccept: */*\r\n\r\n",
        b"POST http://c/3 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"GET /4 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        b"BREW /5 HTTP/1.1\r\nHost: \r\n\r\n",
        b"GET /6 HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n",
    ];
    let paths: [&[u8]; 6] = [b"/1", b"/2", b"/3", b"/4", b"/5", b"/6"];
    let stream = heads.concat();
    let ends: Vec<usize> = heads
        .iter()
        .scan(0, |end, head| {
            *end += head.len();
            Some(*end)
        })
        .collect();

    for cut in 0..=stream.len() {
        let mut seen = Vec::new();
        let mut at = 0;
        // What has arrived first, then all of it: the requests are the same.
        for arrived in [&stream[..cut], &stream[..]] {
            while let Parse::Request { request, consumed } = parse(&arrived[at..]) {
                at += consumed;
                assert_eq!(at, ends[seen.len()]);
                assert_eq!(request.keep_alive, seen.len() != 5);
                seen.push(request.path);
            }
            assert_eq!(parse(&arrived[at..]), Parse::Partial);
            assert_eq!(seen.len(), ends.iter().filter(|&&end| end <= arrived.len()).count());
        }
        assert_eq!(seen, paths);
    }
}
