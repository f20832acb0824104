use std::io::Cursor;

use super::*;
use crate::transfer::{Onward, Rows, Seen};
use proptest::prelude::*;

/// What a file holds: rows as `line key destination` but those that come again, errors as their text.
fn read(file: impl AsRef<[u8]>) -> Result<Vec<String>, String> {
    let mut reader = CsvReader::new(file.as_ref()).map_err(|error| error.to_string())?;
    let mut found = Vec::new();
    let mut rows = Rows::default();
    while let Some(row) = reader.next_row().map_err(|error| error.to_string())? {
        found.push(match row {
            Ok(ImportRow { line, key, destination, .. }) => {
                match rows.insert(line, &key, &destination, &Onward::default()) {
                    Seen::New(_) => format!("{line} {key} {destination}"),
                    Seen::Same => continue,
                    Seen::Differs(earlier) => {
                        RowError { line, reason: RowReason::Conflict { key, earlier } }.to_string()
                    }
                }
            }
            Err(error) => error.to_string(),
        });
    }
    Ok(found)
}

#[test]
fn rows_are_read_as_files_write_them() {
    for (what, file, rows) in [
        ("the usual", "source,target,status\n/a,https://x.example/,302\n", vec!["2 */a 302 to https://x.example/"]),
        ("no newline at the end", "source,target\n/a,https://x.example/", vec!["2 */a 301 to https://x.example/"]),
        (
            "CRLF",
            "source,target\r\n/a,http://x.example\r\n\r\n/b,http://x.example\r\n",
            vec!["2 */a 301 to http://x.example/", "4 */b 301 to http://x.example/"],
        ),
        ("a byte order mark", "\u{feff}Source,Target\n/a,http://x.example\n", vec!["2 */a 301 to http://x.example/"]),
        (
            "empty lines first",
            "\u{feff}\n\nsource,target\n\n/a,http://x.example\n",
            vec!["5 */a 301 to http://x.example/"],
        ),
        ("empty fields", "source,target\n,\n  , \n/a,http://x.example\n,,,\n", vec!["4 */a 301 to http://x.example/"]),
        (
            "white space",
            "source,target,status\n /a ,\thttp://x.example , 307 \n",
            vec!["2 */a 307 to http://x.example/"],
        ),
        ("quotes", "source,target\n\"/a?b=1,2\",\"http://x.example/\"\n", vec!["2 */a?b=1,2 301 to http://x.example/"]),
        (
            "other order, other columns",
            "Id,To,Note,From\n7,http://x.example/,\"two\nlines\",h.example/a\n",
            vec!["2 h.example/a 301 to http://x.example/"],
        ),
        (
            "lines after quoted line ends",
            "source,target,n\n/a,http://x.example,\"1\r\n2\r\n\"\r\n/b,http://x.example,\"\n\"\n/c,http://x.example,",
            vec!["2 */a 301 to http://x.example/", "5 */b 301 to http://x.example/", "7 */c 301 to http://x.example/"],
        ),
        ("gone", "source,target,status\n/a,,410\n/b,\"\",410\n", vec!["2 */a 410", "3 */b 410"]),
        (
            "fewer fields and more",
            "source,status,target\n/a,410\n/b,301,http://x.example,,\n",
            vec!["2 */a 410", "3 */b 301 to http://x.example/"],
        ),
        ("an empty status", "source,target,status\n/a,http://x.example,\n", vec!["2 */a 301 to http://x.example/"]),
        (
            "http to https",
            "source,target\nhttp://x.example/a,https://x.example/a\nx.example/b,http://x.example/b\n",
            vec!["2 x.example/a 301 to https://x.example/a", "3 x.example/b 301 to http://x.example/b"],
        ),
        (
            "the same path elsewhere, or another path here",
            "source,target\nhttp://x.example/a?b=1,http://x.example/a\nhttp://x.example:8080/b,http://x.example/b\n\
             http://x.example/A,http://x.example/a\n",
            vec![
                "2 x.example/a?b=1 301 to http://x.example/a",
                "3 x.example/b 301 to http://x.example/b",
                "4 x.example/A 301 to http://x.example/a",
            ],
        ),
        (
            "paths without their slash",
            "slug,target\nspring-sale,http://x.example\n/a,http://x.example\nold/b.html?to=http://x,http://x.example\n\
             http://h.example/c,http://x.example\nhttp:\\\\h.example\\d,http://x.example\n*/e,http://x.example\n",
            vec![
                "2 */spring-sale 301 to http://x.example/",
                "3 */a 301 to http://x.example/",
                "4 */old/b.html?to=http://x 301 to http://x.example/",
                "5 h.example/c 301 to http://x.example/",
                "6 h.example/d 301 to http://x.example/",
                "7 */e 301 to http://x.example/",
            ],
        ),
        (
            "what another redirect service exports",
            "source,target,regex,code,type,hits,title,status\n/a,http://x.example,0,302,url,7,,enabled\n\
             \"^/b/(.*)\",http://x.example,1,301,url,0,,enabled\n/c,http://x.example,,308,url,0,,enabled\n",
            vec![
                "2 */a 302 to http://x.example/",
                "line 3: the source `^/b/(.*)` is a regular expression, and these are not supported yet; write a row \
                 for each path that it is to match, or leave the row out",
                "4 */c 308 to http://x.example/",
            ],
        ),
        ("nothing but a header", "source,target\n", vec![]),
        (
            "a column that is not UTF-8 where it does not matter",
            "source,target,note\n/a,http://x.example,x",
            vec!["2 */a 301 to http://x.example/"],
        ),
    ] {
        assert_eq!(read(file), Ok(rows.into_iter().map(str::to_owned).collect()), "{what}");
    }
}

#[test]
fn what_is_no_link_is_said_with_its_line_and_the_rest_goes_on() {
    for (row, error) in [
        (
            &b",http://x.example,301"[..],
            "the source is empty; write a URL such as `http://www.example.com/old` or a path such as `/old`",
        ),
        (
            b"ftp://a/b,http://x.example,301",
            "the source `ftp://a/b` is neither an http(s) URL nor a path that begins with `/`",
        ),
        (b"/a,http://x.example,418", "the status `418` is not one of 301, 302, 303, 307, 308 and 410"),
        (
            b"/a,/b,301",
            "the target `/b` is not an absolute URL (relative URL without a base); write it as in `https://www.example.com/new`",
        ),
        (b"/a,,302", "the status 302 needs a target; give one, or the status 410 if the page is gone"),
        (b"/a,,", "the status 301 needs a target; give one, or the status 410 if the page is gone"),
        (b"/a", "the status 301 needs a target; give one, or the status 410 if the page is gone"),
        (
            b"/a,http://x.example,410",
            "the status 410 (gone) takes no target, but there is `http://x.example/`; leave it out, or redirect with 301",
        ),
        (
            b"/a,http://x.example,301,b",
            "the row has 4 fields and the header 3; put quotes around a field that holds a comma",
        ),
        (b"/caf\xE9,http://x.example,301", "the source `/caf\u{fffd}` is not UTF-8; save the file in UTF-8"),
        (
            b"/a,http://x.example/\xFF,301",
            "the target `http://x.example/\u{fffd}` is not UTF-8; save the file in UTF-8",
        ),
        (b"\"/a\n/b\",http://x.example,301", r"the source `/a\n/b` holds a control character"),
        (
            b"http://X.example,http://x.example/,301",
            "the target `http://x.example/` leads back to this link; leave the row out",
        ),
        (
            b"http://x.example:80/%61,http://x.example/%61#b,302",
            "the target `http://x.example/%61#b` leads back to this link; leave the row out",
        ),
        (
            b"http://x.example/%7Euser,http://x.example/~user,301",
            "the target `http://x.example/~user` leads back to this link; leave the row out",
        ),
        (
            b"HTTP://x.example./a,http://x.example/a,301",
            "the target `http://x.example/a` leads back to this link; leave the row out",
        ),
        (
            b"https://x.example/a,https://x.example:443/a?b=1,301",
            "the target `https://x.example/a?b=1` leads back to this link; leave the row out",
        ),
        (
            b"http://x.example:8080/a,http://x.example:8080/./a,301",
            "the target `http://x.example:8080/a` leads back to this link; leave the row out",
        ),
        (
            b"spring-sale,http://x.example/,301",
            "the source `spring-sale` may be a path or a host; write `/spring-sale` for a path on every host, or \
             `http://spring-sale/` for a host",
        ),
        (b"\x1b[2J,\x1b]0;x\x07,301", r"the source `\u{1b}[2J` holds a control character"),
        (b"/a,http://x.example,\"3\n01\"", r"the status `3\n01` is not one of 301, 302, 303, 307, 308 and 410"),
        (b"/first,http://other.example/,301", "`*/first` has another destination on line 2; leave one of the two out"),
        (b"*/f%69rst,http://x.example/,302", "`*/first` has another destination on line 2; leave one of the two out"),
        (b"/first,,410", "`*/first` has another destination on line 2; leave one of the two out"),
    ] {
        let before = &b"source,target,status\n/first,http://x.example/,301\n\n"[..];
        let file = [before, row, b"\n/last,http://x.example/,301"].concat();
        let last = 5 + row.iter().filter(|&&byte| byte == b'\n').count();
        let expected = [
            "2 */first 301 to http://x.example/".to_owned(),
            format!("line 4: {error}"),
            format!("{last} */last 301 to http://x.example/"),
        ];
        assert_eq!(read(&file), Ok(expected.to_vec()), "{}", String::from_utf8_lossy(row));
    }
}

#[test]
fn a_row_that_says_the_same_again_is_none_of_its_own() {
    let file =
        "source,target\n/a,http://x.example\n/b,http://x.example\n/%61,HTTP://x.example:80/\n/a,http://x.example\n";
    assert_eq!(read(file).unwrap().len(), 2);
}

#[test]
fn the_server_that_a_source_names_is_kept() {
    let file = "source,target\n/a,http://x.example\nx.example:8080/b,http://x.example\nhttps://x.example/c,http://x.example\nhttp://x.example:8080/d,http://u:p@x.example\n";
    let rows = rows_of(file.as_bytes()).unwrap();
    let origins: Vec<_> = rows.into_iter().map(|row| row.unwrap().origin).collect();
    let origin = |is_https, port| Some(SchemeAndPort { is_https, port });
    assert_eq!(origins, [None, None, origin(true, 443), origin(false, 8080)]);
}

#[test]
fn a_row_in_error_does_not_stand_in_the_way_of_a_later_one() {
    let rows = read("source,target\n/a,x\n/a,http://x.example\n").unwrap();
    assert_eq!(rows[1], "3 */a 301 to http://x.example/");
}

#[test]
fn what_ends_the_reading_says_where_and_why() {
    let empty = "the file is empty; its first line must be a header such as `source,target,status`";
    for file in ["", "\n", "\u{feff}", " \r\n,\n"] {
        assert_eq!(read(file).unwrap_err(), empty, "{file:?}");
    }
    let open = "source,target,note\n/a,http://x.example,\n/b,http://x.example,\"note\n/c,http://x.example,\n";
    let error = "line 3: a quote in the row that begins here is never closed; close it, or double it to keep it";
    assert_eq!(read(open).unwrap_err(), error);
    assert_eq!(read(open.trim_end()).unwrap_err(), error);
    for length in [IMPORT_RECORD_BYTES, 3 * IMPORT_RECORD_BYTES] {
        let long = format!("source,target\n\n/a,\"{}", "\n".repeat(length));
        let error = "line 3: the row that begins here has more than 65536 bytes; is a quote in it never closed?";
        assert_eq!(read(long).unwrap_err(), error);
    }
    let error = read("a\tb\n").unwrap_err();
    assert!(error.contains(r"`a\tb`") && error.contains("commas"), "{error}");
}

#[test]
fn a_long_record_is_read_up_to_its_limit() {
    let note = "x".repeat(IMPORT_RECORD_BYTES - "/a,http://x.example,\n".len());
    let file = format!("source,target,note\n/a,http://x.example,{note}\n/b,http://x.example,\n");
    assert_eq!(read(file).unwrap().len(), 2);
    let file = format!("source,target,note\n/a,http://x.example,{note}x\n/b,http://x.example,\n");
    assert!(read(file).is_err());
}

#[test]
fn unused_columns_are_named() {
    let reader = CsvReader::new(&b"source,target,Suggested Link,\n"[..]).unwrap();
    assert_eq!(reader.ignored_columns(), ["Suggested Link"]);
}

#[test]
fn a_byte_that_is_not_utf8_matters_only_where_it_is_used() {
    let rows = read(b"source,target,note\n/a,http://x.example,\xE9\n").unwrap();
    assert_eq!(rows, ["2 */a 301 to http://x.example/"]);
}

/// Gives one byte at a time, so that every byte is a place where reading may have to go on.
struct Slowly<R>(R);

impl<R: Read> Read for Slowly<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let length = buf.len().min(1);
        self.0.read(&mut buf[..length])
    }
}

fn rows_of(reader: impl Read) -> Result<Vec<Result<ImportRow, RowError>>, String> {
    let mut reader = CsvReader::new(reader).map_err(|error| error.to_string())?;
    std::iter::from_fn(|| reader.next_row().map_err(|error| error.to_string()).transpose()).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_back_with_its_lines(
        rows in proptest::collection::vec(("[a-z0-9,\"' ]{0,6}", "[a-z?,\"]{0,6}", 0..6usize, "[a-z,\"\r\n ]{0,8}"), 0..20),
        crlf: bool,
    ) {
        let terminator = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(terminator).from_writer(Vec::new());
        writer.write_record(["note", "status", "source", "target"]).unwrap();
        let mut expected = Vec::new();
        let mut line = 2;
        for (index, (path, target, status, note)) in rows.iter().enumerate() {
            let status = Status::ALL[*status];
            let key = format!("/{index}/{path}x");
            let target = if status == Status::Gone { String::new() } else { format!("https://x.example/{target}") };
            writer.write_record([note, &status.code().to_string(), &key, &target]).unwrap();
            let target = (!target.is_empty()).then(|| Target::parse(&target).unwrap());
            let destination = Destination::new(status, target).unwrap();
            expected.push(Ok(ImportRow { line, key: LinkKey::parse(&key).unwrap(), origin: None, destination }));
            let breaks = note.replace("\r\n", "\n").matches(['\r', '\n']).count();
            line += 1 + breaks as u64;
        }
        let file = writer.into_inner().unwrap();
        prop_assert_eq!(rows_of(&file[..]).unwrap(), expected);
    }

    #[test]
    fn any_bytes_are_read_the_same_in_whatever_pieces_they_come(
        bytes in proptest::collection::vec(
            prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b'/'), any::<u8>()], 0..200,
        ),
        header: bool,
    ) {
        let header: &[u8] = if header { b"source,target\n" } else { b"" };
        let file = [header, &bytes].concat();
        let rows = rows_of(Cursor::new(&file));
        prop_assert_eq!(&rows, &rows_of(Slowly(&file[..])));
        let lines = rows.iter().flatten().map(|row| match row {
            Ok(row) => row.line,
            Err(error) => error.line,
        });
        let lines: Vec<u64> = lines.collect();
        prop_assert!(lines.is_sorted_by(|one, next| one < next));
    }
}
