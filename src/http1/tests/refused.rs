//! Bytes that are refused.

use super::assert_rejected;
use crate::http1::ErrorStatus::{self, BadRequest};
use crate::limits::{
    HOST_BYTES, METHOD_BYTES, REQUEST_EMPTY_LINES, REQUEST_HEAD_BYTES, REQUEST_HEADERS, REQUEST_TARGET_BYTES,
};

#[track_caller]
fn assert_all_rejected(status: ErrorStatus, samples: &[&str]) {
    for sample in samples {
        assert_rejected(sample.as_bytes(), status);
    }
}

#[test]
fn request_line_that_is_none() {
    assert_all_rejected(
        BadRequest,
        &[
            // RFC 9112 §3.
            " GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: h\r\n\r\n",
            "GET\t/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET  HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET\r\n",
            "GET \r\n",
            "G\0T / HTTP/1.1\r\n",
            "G(T / HTTP/1.1\r\n",
            "GÄT / HTTP/1.1\r\n",
            // HTTP/0.9.
            "GET /\r\n",
            "GET /a\n",
            // RFC 9112 §2.2: CR or LF alone ends no line.
            "GET / HTTP/1.1\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\rHost: h\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\r\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            "\rGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            // The start of a TLS handshake.
            "\x16\x03\x01\x02\0\x01\0\x01\u{7c}",
        ],
    );
    assert_rejected("\r\n".repeat(REQUEST_EMPTY_LINES + 1).as_bytes(), BadRequest);
}

#[test]
fn target_with_forbidden_bytes() {
    for byte in (0..=b' ').chain([0x7F, b'#']) {
        for start in ["/", "/abcdefghijklmnopqrstuvwxyz0123456789", "/a?", "/a?b=c", "http://h/"] {
            let bytes = [b"GET ", start.as_bytes(), &[byte], b"x HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
            assert_rejected(&bytes, BadRequest);
        }
    }
}

#[test]
fn target_in_no_form() {
    let targets = [
        "a",
        "a/b",
        "?q",
        "*",
        "*/",
        "http:/a/",
        "http:a",
        "http:///a",
        "http://",
        "http://?q",
        "http:// /",
        "ftp://a/",
        "httpx://a/",
        "http://u@a/",
        "http://u:p@a/",
        "http://a:b/",
        "http://a:123456/",
        "http://[::1/",
        "http://[v1.a]/",
        "http://a%zz/",
        "http://a\\b/",
        "h:80",
    ];
    for target in targets {
        assert_rejected(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(), BadRequest);
        assert_rejected(format!("BREW {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(), BadRequest);
    }
    // RFC 9112 §3.2.3, RFC 9110 §9.3.6.
    for target in ["/", "/a", "*", "h", "h1", "h:", ":443", "[::1]", "[::1]:", "u@h:443", "http://h:443/"] {
        assert_rejected(format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(), BadRequest);
    }
    assert_rejected(b"OPTIONS ** HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest);
    assert_rejected(b"GET http://\xC3\xA9/ HTTP/1.1\r\nHost: h\r\n\r\n", BadRequest);
}

#[test]
fn versions() {
    // RFC 9112 §2.3: `HTTP` in upper case, one digit, a dot, one digit.
    for version in [
        "",
        "HTTP",
        "HTTP/",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/1.10",
        "HTTP/11.1",
        "HTTP/1,1",
        "HTTP/a.1",
        "http/1.1",
        "HTTP /1.1",
        "ICY/1.1",
        "HTTP/-1.1",
        "HTTP/2",
        "HTTPS/1.1",
    ] {
        assert_rejected(format!("GET / {version}\r\nHost: h\r\n\r\n").as_bytes(), BadRequest);
    }
    // RFC 9110 §15.6.6.
    for version in ["0.9", "0.0", "2.0", "2.1", "3.0", "9.9"] {
        let bytes = format!("GET / HTTP/{version}\r\nHost: h\r\n\r\n");
        assert_rejected(bytes.as_bytes(), ErrorStatus::HttpVersionNotSupported);
    }
    // RFC 9113 §3.4.
    assert_rejected(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ErrorStatus::HttpVersionNotSupported);
}

// RFC 9112 §5.1, §5.2, §2.2; RFC 9110 §5.5.
#[test]
fn malformed_fields() {
    let sections: [&[u8]; 22] = [
        b"Host : h\r\n\r\n",
        b"Host\t: h\r\n\r\n",
        b" Host: h\r\n\r\n",
        b"Host: h\r\nA : b\r\n\r\n",
        b"Host: h\r\nA: b\r\n c\r\n\r\n",
        b"Host: h\r\nA: b\r\n\tc\r\n\r\n",
        b"Host: h\r\nA:\r\n b\r\n\r\n",
        b"Host: h\r\nA: b\rc\r\n\r\n",
        b"Host: h\rA: b\r\n\r\n",
        b"Host: h\r\nA: b\0c\r\n\r\n",
        b"Host: h\r\nA\0: b\r\n\r\n",
        b"Host: h\r\nA: b\x01\r\n\r\n",
        b"Host: h\r\nA\r\n\r\n",
        b"Host: h\r\n: b\r\n\r\n",
        b"Host: h\r\nA(: b\r\n\r\n",
        b"Host: h\r\n\xC3\xA9: b\r\n\r\n",
        b"Host: h\n\r\n",
        b"Host: h\r\n\n",
        b"Host: h\n\n",
        b"Host: h\r\nA: b\nC: d\r\n\r\n",
        b"Host: h\r\nA:\nC: d\r\n\r\n",
        b"Host: h\r\n\rX",
    ];
    for section in sections {
        assert_rejected(&[b"GET / HTTP/1.1\r\n", section].concat(), BadRequest);
        assert_rejected(&[b"GET / HTTP/1.0\r\n", section].concat(), BadRequest);
    }
    assert_rejected(b"GET / HTTP/1.0\r\n\n", BadRequest);
}

// A value is matched in blocks: every control must be seen at every place in a block.
#[test]
fn controls_at_every_place() {
    for control in (0..=0x1F).filter(|byte| !b"\t\r\n".contains(byte)).chain([0x7F]) {
        for place in 0..70 {
            let value = [&vec![b'v'; place][..], &[control], &vec![b'w'; 70 - place]].concat();
            let bytes = [b"GET / HTTP/1.1\r\nHost: h\r\nA: ", &value[..], b"\r\n\r\n"].concat();
            assert_rejected(&bytes, BadRequest);
        }
    }
}

// RFC 9112 §3.2.
#[test]
fn hosts() {
    assert_rejected(b"GET / HTTP/1.1\r\n\r\n", BadRequest);
    assert_rejected(b"GET / HTTP/1.1\r\nHos: h\r\n\r\n", BadRequest);
    assert_rejected(b"GET http://h/ HTTP/1.1\r\n\r\n", BadRequest);
    assert_rejected(b"HEAD / HTTP/1.9\r\nA: b\r\n\r\n", BadRequest);
    for version in ["1.0", "1.1"] {
        for second in ["h", "i", ""] {
            let bytes = format!("GET / HTTP/{version}\r\nHost: h\r\nhost: {second}\r\n\r\n");
            assert_rejected(bytes.as_bytes(), BadRequest);
        }
        let too_long = "h".repeat(HOST_BYTES + 1);
        let hosts = [
            "a b",
            "a, b",
            "a/b",
            "a?b",
            "a#b",
            "u@h",
            "http://h",
            "a\\b",
            "a:b",
            "a:80:80",
            "a:-1",
            "a:123456",
            ":80",
            ":",
            "[::1",
            "::1",
            "[]",
            "[::g]",
            "[1.2.3.4]",
            "[::1]80",
            "[::1]a:80",
            "[fe80::1%25eth0]",
            "[v1.a]",
            "a[b]",
            "%",
            "a%2",
            "a%zz",
            "\"h\"",
            "<h>",
            "a|b",
            "bücher.example",
            &too_long,
        ];
        for host in hosts {
            let bytes = format!("GET / HTTP/{version}\r\nHost: {host}\r\n\r\n");
            assert_rejected(bytes.as_bytes(), BadRequest);
            // Wrong even where the target says who is asked.
            let bytes = format!("GET http://h/ HTTP/{version}\r\nHost: {host}\r\n\r\n");
            assert_rejected(bytes.as_bytes(), BadRequest);
        }
    }
}

// RFC 9112 §6.1, §6.3; RFC 9110 §8.6.
#[test]
fn framing() {
    let contradictory = [
        "Content-Length: \r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length: 1 2\r\n",
        "Content-Length: 1,\r\n",
        "Content-Length: 1, 2\r\n",
        "Content-Length: 1.0\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 0\r\nContent-Length: 1\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n",
    ];
    let unknown = [
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
    ];
    for method in ["GET", "HEAD", "POST", "BREW"] {
        for fields in contradictory {
            assert_rejected(format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes(), BadRequest);
            assert_rejected(format!("{method} / HTTP/1.0\r\nHost: h\r\n{fields}\r\n").as_bytes(), BadRequest);
        }
        for fields in unknown {
            let status = if fields.contains('\x0b') { BadRequest } else { ErrorStatus::NotImplemented };
            assert_rejected(format!("{method} / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes(), status);
            assert_rejected(format!("{method} / HTTP/1.0\r\nHost: h\r\n{fields}\r\n").as_bytes(), BadRequest);
        }
        let bytes = format!("{method} / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_rejected(bytes.as_bytes(), BadRequest);
    }
}

// RFC 9112 §3.
#[test]
fn long_method() {
    assert_rejected("M".repeat(METHOD_BYTES + 1).as_bytes(), ErrorStatus::NotImplemented);
}

// RFC 9112 §3: refused while it is still arriving.
#[test]
fn long_target() {
    for start in ["/", "/?", "http://h/", "*"] {
        let target = format!("{start}{}", "a".repeat(REQUEST_TARGET_BYTES + 1 - start.len()));
        assert_rejected(format!("GET {target}").as_bytes(), ErrorStatus::UriTooLong);
        assert_rejected(format!("POST {target} HTTP/1.1\r\n").as_bytes(), ErrorStatus::UriTooLong);
    }
    let target = format!("/{}?", "a".repeat(REQUEST_TARGET_BYTES - 1));
    assert_rejected(format!("GET {target} HTTP/1.1\r\n").as_bytes(), ErrorStatus::UriTooLong);
}

// RFC 6585 §5: refused while it is still arriving.
#[test]
fn large_head() {
    let too_large = ErrorStatus::RequestHeaderFieldsTooLarge;
    let start = "GET / HTTP/1.1\r\nHost: h\r\nCookie: ";
    let endless = format!("{start}{}", "v".repeat(REQUEST_HEAD_BYTES - start.len()));
    assert_rejected(endless.as_bytes(), too_large);
    assert_rejected(endless.replace("Cookie: ", "Cookie--").as_bytes(), too_large);
    // Complete, but one byte over the limit.
    let value = "v".repeat(REQUEST_HEAD_BYTES - start.len() - 3);
    assert_rejected(format!("{start}{value}\r\n\r\n").as_bytes(), too_large);

    let fields = "Field: value\r\n".repeat(REQUEST_HEADERS);
    assert_rejected(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}").as_bytes(), too_large);
    assert_rejected(format!("GET / HTTP/1.1\r\n{fields}Host: h\r\n\r\n").as_bytes(), too_large);
}
