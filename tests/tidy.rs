//! Holds the structure of the crate: which room may use which, where a library may be named, and some habits.
//!
//! The rules read the sources as tokens, without comments and strings. Each is a function from text to complaints,
//! and is shown to complain further down.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// The rooms, from the top. A room uses itself and what stands below it.
const ROOMS: [&str; 17] = [
    "cli",
    "data_plane",
    "control_plane",
    "replica",
    "engine",
    "clicks",
    "admission",
    "cache",
    "store",
    "log",
    "transfer",
    "http1",
    "link",
    "telemetry",
    "config",
    "limits",
    "clock",
];

/// Libraries that only some places know: a room, or one file.
const CONFINED: [(&str, &[&str]); 7] = [
    ("monoio", &["src/data_plane"]),
    ("io_uring", &["src/data_plane"]),
    ("sled", &["src/store/sled.rs"]),
    ("lsm_tree", &["src/store/fjall.rs", "src/store/fjall"]),
    ("tokio", &["src/control_plane", "src/cli"]),
    ("axum", &["src/control_plane", "src/cli"]),
    ("anyhow", &["src/cli"]),
];

/// The files that may hold `unsafe`, under a SAFETY note: monoio lends a socket's descriptor only as a number.
const UNSAFE: [&str; 1] = ["src/data_plane/socket.rs"];

/// Past this, a file has two things in it.
const FILE_LINES: usize = 600;

/// What is not done yet, or not tested. In halves, because this file is looked at too.
const UNFINISHED: [&str; 6] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("#[ig", "nore"),
];

/// A file of the repository.
struct File {
    /// From the top of the repository, with `/`.
    path: String,
    text: String,
}

// The rules, on what is there.

#[test]
fn every_file_stands_in_a_room() {
    hold(&files("src"), strangers);
}

#[test]
fn arrows_point_down() {
    hold(&files("src"), arrows);
}

#[test]
fn libraries_stay_where_they_are_known() {
    hold(&files("src"), confined);
}

#[test]
fn what_is_unsafe_is_known_and_has_its_reason() {
    assert!(UNSAFE.iter().all(|path| !unsafe_lines(&read(path)).is_empty()), "a file is listed without need");
    hold(&files("src"), unsafe_code);
}

#[test]
fn files_have_one_thing_in_them() {
    hold(&files("src"), long);
}

#[test]
fn nothing_is_left_unfinished() {
    for root in ["src", "tests", "benches"] {
        hold(&files(root), unfinished);
    }
}

#[test]
fn every_dependency_has_its_reason() {
    let complaints = dependencies(&read("Cargo.toml"), &read("docs/dependencies.md"));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn hold(files: &[File], rule: fn(&File) -> Vec<String>) {
    assert!(!files.is_empty(), "no files were found: the rule holds nothing");
    let complaints: Vec<String> = files.iter().flat_map(rule).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

fn read(path: &str) -> String {
    let full = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
}

/// What tests read, which need not be text.
const TEST_DATA: &str = "tests/data";

/// All sources under a folder, in the order of their paths. A folder that is not there has none.
fn files(folder: &str) -> Vec<File> {
    let Ok(entries) = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)) else { return Vec::new() };
    let mut entries: Vec<_> = entries.map(|entry| entry.expect("the folder can be read")).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let path = format!("{folder}/{}", entry.file_name().to_str().expect("names are UTF-8"));
        if path == TEST_DATA {
            continue;
        }
        if entry.path().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(File { text: read(&path), path });
        }
    }
    found
}

// The rules themselves.

fn strangers(file: &File) -> Vec<String> {
    let known = is_root(file) || module(file).first().is_some_and(|room| ROOMS.contains(&room.as_str()));
    if known { Vec::new() } else { vec![format!("{}: stands in no room", file.path)] }
}

fn arrows(file: &File) -> Vec<String> {
    let module = module(file);
    let Some(from) = module.first().filter(|_| !is_root(file)) else { return Vec::new() };
    let mut complaints = Vec::new();
    for path in paths(&lex(&file.text)) {
        let Some(absolute) = path.absolute(&module) else { continue };
        let complaint = match absolute.first() {
            Some(to) if to == from => continue,
            Some(to) => match (rank(from), rank(to)) {
                (_, None) => format!("`crate::{to}` is no room"),
                (Some(from_rank), Some(to_rank)) if from_rank > to_rank => format!("`{from}` must not use `{to}`"),
                _ => continue,
            },
            // As `pub(super)` the crate itself is harmless, as a name for it everything would hide behind it.
            None if path.after == "use" => "the crate itself must not be imported".to_owned(),
            None => continue,
        };
        complaints.push(format!("{}:{}: {complaint}", file.path, path.line));
    }
    complaints
}

fn confined(file: &File) -> Vec<String> {
    let tokens = lex(&file.text);
    let own_modules: BTreeSet<&str> =
        tokens.windows(2).filter(|pair| pair[0].text == "mod").map(|pair| pair[1].text.as_str()).collect();
    let mut complaints = Vec::new();
    for path in paths(&tokens) {
        let Some((library, places)) = CONFINED.iter().find(|(library, _)| path.segments[0] == *library) else {
            continue;
        };
        let names_library = path.segments.len() > 1 || path.leading || ["use", "crate"].contains(&&*path.after);
        let names_module = own_modules.contains(library) && !path.leading;
        let in_place = places.iter().any(|place| {
            let rest = file.path.strip_prefix(place);
            rest.is_some_and(|rest| rest.is_empty() || rest == ".rs" || rest.starts_with('/'))
        });
        if names_library && !names_module && !in_place {
            complaints.push(format!("{}:{}: `{library}` is known only in {}", file.path, path.line, places.join(", ")));
        }
    }
    complaints
}

fn unsafe_code(file: &File) -> Vec<String> {
    let found = unsafe_lines(&file.text).into_iter();
    if !UNSAFE.contains(&&*file.path) {
        return found.map(|line| format!("{}:{line}: `unsafe`", file.path)).collect();
    }
    let lines: Vec<&str> = file.text.lines().map(str::trim_start).collect();
    let has_reason = |line: usize| {
        let before = lines[..line - 1].iter().rev();
        before.take_while(|line| line.starts_with("//")).any(|line| line.starts_with("// SAFETY:"))
    };
    found
        .filter(|&line| !has_reason(line))
        .map(|line| format!("{}:{line}: `unsafe` without `// SAFETY:` above it", file.path))
        .collect()
}

fn unsafe_lines(text: &str) -> Vec<usize> {
    lex(text).iter().filter(|token| token.text == "unsafe").map(|token| token.line).collect()
}

fn long(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if lines <= FILE_LINES {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines; past {FILE_LINES} there are two things in a file", file.path)]
}

fn unfinished(file: &File) -> Vec<String> {
    let mut complaints = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for mark in UNFINISHED {
            let is_there = line.match_indices(mark).any(|(at, _)| {
                let part_of_word = |char: char| char.is_alphanumeric() || char == '_';
                !line[..at].ends_with(part_of_word) && !line[at + mark.len()..].starts_with(part_of_word)
            });
            if is_there {
                complaints.push(format!("{}:{}: `{mark}`", file.path, index + 1));
            }
        }
    }
    complaints
}

/// Every crate in the manifest has a line in a table that starts with its name, and every such line a crate.
fn dependencies(manifest: &str, reasons: &str) -> Vec<String> {
    let mut used = BTreeSet::new();
    let mut section = "";
    for line in manifest.lines() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']');
            // [dependencies.NAME]
            if let Some((before, name)) = section.rsplit_once('.')
                && before.ends_with("dependencies")
            {
                used.insert(name);
            }
        } else if section.ends_with("dependencies")
            && line.starts_with(|char: char| char.is_ascii_alphanumeric())
            && let Some((name, _)) = line.split_once(['.', '=', ' '])
        {
            used.insert(name);
        }
    }
    let explained: BTreeSet<&str> =
        reasons.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name).collect();
    let unexplained = used.difference(&explained).map(|name| format!("docs/dependencies.md: no line for `{name}`"));
    let unused = explained.difference(&used).map(|name| format!("docs/dependencies.md: `{name}` is not in Cargo.toml"));
    unexplained.chain(unused).collect()
}

fn is_root(file: &File) -> bool {
    ["src/lib.rs", "src/main.rs"].contains(&&*file.path)
}

/// The module that a file under `src` is, from the top of the crate.
fn module(file: &File) -> Vec<String> {
    let path = file.path.strip_prefix("src/").unwrap_or(&file.path);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    path.strip_suffix("/mod").unwrap_or(path).split('/').map(str::to_owned).collect()
}

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|known| *known == room)
}

// As much of Rust's grammar as the rules need.

/// A word, `::`, or one other character.
struct Token {
    text: String,
    line: usize,
}

/// A path as it stands in the code, one for each leaf of a group.
struct UsePath {
    line: usize,
    /// Starts with `::`.
    leading: bool,
    segments: Vec<String>,
    /// The token before it.
    after: String,
    /// The modules of the same file that it stands in.
    inside: Vec<String>,
}

impl UsePath {
    /// From the top of the crate, for paths that start there or at a module.
    fn absolute(&self, file_module: &[String]) -> Option<Vec<String>> {
        let mut rest = self.segments.iter();
        let mut absolute = match self.segments[0].as_str() {
            "crate" => {
                rest.next();
                Vec::new()
            }
            "self" | "super" => [file_module, self.inside.as_slice()].concat(),
            _ => return None,
        };
        for (index, segment) in rest.enumerate() {
            match segment.as_str() {
                "super" => drop(absolute.pop()),
                "self" if index == 0 && self.segments[0] == "self" => {}
                name => absolute.push(name.to_owned()),
            }
        }
        Some(absolute)
    }
}

fn paths(tokens: &[Token]) -> Vec<UsePath> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let mut found = Vec::new();
    // The modules that are open, and how many braces were when they opened.
    let mut inside: Vec<(String, usize)> = Vec::new();
    let mut braces = 0;
    let mut at = 0;
    while at < tokens.len() {
        match text(at) {
            "{" => {
                if at >= 2 && text(at - 2) == "mod" {
                    inside.push((text(at - 1).to_owned(), braces));
                }
                braces += 1;
            }
            "}" => {
                braces = braces.saturating_sub(1);
                inside.pop_if(|(_, opened)| *opened == braces);
            }
            word if is_word(word) || word == "::" => {
                let leading = word == "::";
                // `>::Item`, or the `::` of a turbofish: what follows is no path of its own.
                let continues = leading && (text(at.wrapping_sub(1)) == ">" || !is_word(text(at + 1)));
                if !continues {
                    let first = found.len();
                    let after = text(at.wrapping_sub(1)).to_owned();
                    let next = tree(tokens, at + usize::from(leading), &[], &mut found);
                    for path in &mut found[first..] {
                        path.leading = leading;
                        path.after.clone_from(&after);
                        path.inside = inside.iter().map(|(name, _)| name.clone()).collect();
                    }
                    at = next;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Reads a path that may end in a group, adds its leaves and gives the place behind it.
fn tree(tokens: &[Token], mut at: usize, prefix: &[String], found: &mut Vec<UsePath>) -> usize {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    let line = tokens.get(at).map_or(0, |token| token.line);
    let mut segments = prefix.to_vec();
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while at < tokens.len() && text(at) != "}" {
                    at = if is_word(text(at)) || text(at) == "*" { tree(tokens, at, &segments, found) } else { at + 1 };
                    if text(at) == "as" {
                        at += 2;
                    }
                }
                return at + 1;
            }
            segment if is_word(segment) || segment == "*" => segments.push(segment.to_owned()),
            _ => break,
        }
        at += 1;
        if text(at) != "::" || !(is_word(text(at + 1)) || ["{", "*"].contains(&text(at + 1))) {
            break;
        }
        at += 1;
    }
    found.push(UsePath { line, leading: false, segments, after: String::new(), inside: Vec::new() });
    at
}

fn is_word(text: &str) -> bool {
    text.starts_with(|char: char| char.is_alphanumeric() || char == '_')
}

/// The tokens of a source, without comments, strings, characters and lifetimes.
fn lex(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(char) = rest.chars().next() {
        let part_of_word = |char: char| char.is_alphanumeric() || char == '_';
        let word = &rest[..rest.find(|char| !part_of_word(char)).unwrap_or(rest.len())];
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if ["", "r", "b", "br", "c", "cr"].contains(&word)
            && let Some(length) = string(&rest[word.len()..], word.ends_with('r'))
        {
            word.len() + length
        } else if char == '\'' {
            quote(rest)
        } else {
            let text = match char {
                _ if !word.is_empty() => word,
                ':' if rest.starts_with("::") => "::",
                _ => &rest[..char.len_utf8()],
            };
            if !char.is_whitespace() {
                tokens.push(Token { text: text.to_owned(), line });
            }
            text.len()
        };
        let (passed, behind) = rest.split_at(length);
        line += passed.matches('\n').count();
        rest = behind;
    }
    tokens
}

/// The length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a string from its quote or its first `#`, if one starts here.
fn string(text: &str, raw: bool) -> Option<usize> {
    if raw {
        let hashes = text.len() - text.trim_start_matches('#').len();
        let body = text[hashes..].strip_prefix('"')?;
        let mut end = String::from("\"");
        write!(end, "{:#<hashes$}", "").expect("a string takes all");
        return Some(body.find(&end).map_or(text.len(), |at| hashes + 1 + at + end.len()));
    }
    let mut escaped = false;
    for (at, char) in text.strip_prefix('"')?.char_indices() {
        match char {
            '"' if !escaped => return Some(at + 2),
            _ => escaped = char == '\\' && !escaped,
        }
    }
    Some(text.len())
}

/// The length of a character, or of a lifetime.
fn quote(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        // The escaped character may be a quote itself.
        (Some((_, '\\')), Some((at, char))) => {
            let behind = at + char.len_utf8();
            text[behind..].find('\'').map_or(text.len(), |end| behind + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => {
            let word = text[1..].find(|char: char| !char.is_alphanumeric() && char != '_');
            word.map_or(text.len(), |end| end + 1)
        }
    }
}

/// That each rule complains when it should.
mod rules {
    use super::*;

    fn complaints(rule: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
        rule(&File { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn an_arrow_that_points_up_is_found() {
        let up = "src/cache/shard.rs:2: `cache` must not use `engine`";
        for text in [
            "\nuse crate::engine::Engine;",
            "\nuse crate::{engine, link::{self, Link}};",
            "\nuse crate::{link::{self, Link}, engine::*};",
            "\npub(crate) use {std::fmt, crate::engine::Engine};",
            "\nuse super::super::engine::Engine;",
            "\nmod tests { fn f() { use super::super::super::engine; } }",
            "\nmod tests { use super::*; } use super::super::engine;",
            "\nfn f() -> Option<crate::engine::Engine> { None }",
            "\nfn f() { g::<u8>(crate::engine::Engine::open()) }",
        ] {
            assert_eq!(complaints(arrows, "src/cache/shard.rs", text), [up], "{text}");
        }
    }

    #[test]
    fn arrows_that_point_down_or_stay_are_let_pass() {
        for text in [
            "use crate::{cache::{LocalCache, Stamp as S}, link::Link, limits};",
            "use super::super::store::Store;",
            "mod tests { use super::super::super::link::Link; use super::*; }",
            "// use crate::cli;\n/* crate::cli /* nested */ crate::cli */ const X: &str = \"crate::cli\";",
            "const X: &str = r#\"\"crate::cli\"#; const Y: char = '\"'; const Z: char = '\\''; // crate::cli \"",
            "pub(in crate::engine) fn f<'a>(x: &'a str) {} pub(super) fn g() { $crate::engine::x!() }",
            "fn f() { self.cli(); self::cli::run(); Self::cli() }",
        ] {
            assert_eq!(complaints(arrows, "src/engine/read.rs", text), [""; 0], "{text}");
        }
        assert_eq!(complaints(arrows, "src/lib.rs", "pub use crate::cli::run;"), [""; 0]);
    }

    #[test]
    fn what_is_no_room_is_no_way_around() {
        assert_eq!(
            complaints(arrows, "src/log/mod.rs", "use crate::Engine;"),
            ["src/log/mod.rs:1: `crate::Engine` is no room"]
        );
        assert_eq!(complaints(arrows, "src/log/mod.rs", "use super::*;"), ["src/log/mod.rs:1: `crate::*` is no room"]);
        let whole = "src/log/mod.rs:1: the crate itself must not be imported";
        assert_eq!(complaints(arrows, "src/log/mod.rs", "use crate as c;"), [whole]);
        assert_eq!(complaints(strangers, "src/utils/mod.rs", ""), ["src/utils/mod.rs: stands in no room"]);
        assert_eq!(complaints(strangers, "src/helpers.rs", ""), ["src/helpers.rs: stands in no room"]);
        assert_eq!(complaints(strangers, "src/http1/tests/mod.rs", ""), [""; 0]);
        assert_eq!(complaints(strangers, "src/clock.rs", ""), [""; 0]);
    }

    #[test]
    fn a_library_out_of_its_place_is_found() {
        for (path, text) in [
            ("src/engine/mod.rs", "use monoio::net::TcpStream;"),
            ("src/engine/mod.rs", "use {std::io, ::monoio::net::TcpStream};"),
            ("src/engine/mod.rs", "#[monoio::main] fn main() {}"),
            ("src/engine/mod.rs", "use monoio as runtime;"),
            ("src/data_planes.rs", "fn f() { monoio::spawn(async {}); }"),
            ("src/cli/serve.rs", "io_uring::IoUring::builder();"),
            ("src/store/mod.rs", "mod memory; pub struct S(sled::Db);"),
            ("src/store/mod.rs", "mod sled; pub struct S(::sled::Db);"),
            ("src/store/sled.rs", "use lsm_tree::AnyTree;"),
            ("src/data_plane/boot.rs", "tokio::spawn(x);"),
            ("src/main.rs", "fn main() -> anyhow::Result<()> {}"),
        ] {
            assert_eq!(complaints(confined, path, text).len(), 1, "{path}: {text}");
        }
    }

    #[test]
    fn a_library_in_its_place_is_let_pass() {
        for (path, text) in [
            ("src/data_plane/worker.rs", "use monoio::net::TcpStream; use io_uring::IoUring;"),
            ("src/store/sled.rs", "pub struct S(sled::Db);"),
            ("src/store/mod.rs", "mod sled; pub use sled::SledStore;"),
            ("src/engine/recover.rs", "use crate::store::sled::SledStore; use super::{sled::X}; let sled = 1;"),
            ("src/engine/mod.rs", "//! Not `monoio::spawn`.\nconst X: &str = \"sled::Db\";"),
            ("src/cli/mod.rs", "use anyhow::Result; tokio::spawn(x);"),
        ] {
            assert_eq!(complaints(confined, path, text), [""; 0], "{path}: {text}");
        }
    }

    #[test]
    fn unsafe_long_and_unfinished_files_are_found() {
        assert_eq!(complaints(unsafe_code, "src/a.rs", "\nfn f() { unsafe { g() } }"), ["src/a.rs:2: `unsafe`"]);
        assert_eq!(complaints(unsafe_code, "src/a.rs", "// unsafe\n#![deny(unsafe_code)]"), [""; 0]);
        let listed = "fn f() {\n    // SAFETY: it is\n    // so.\n    unsafe { g() }\n}\n\nunsafe fn h() {}";
        assert!(complaints(unsafe_code, UNSAFE[0], listed).concat().starts_with("src/data_plane/socket.rs:7:"));
        assert_eq!(complaints(long, "src/a.rs", &"x\n".repeat(FILE_LINES)), [""; 0]);
        assert_eq!(complaints(long, "src/a.rs", &"x\n".repeat(FILE_LINES + 1)).len(), 1);
        for mark in UNFINISHED {
            let text = format!("fine\n  // {mark}(later)");
            assert_eq!(complaints(unfinished, "src/a.rs", &text), [format!("src/a.rs:2: `{mark}`")]);
            assert_eq!(complaints(unfinished, "src/a.rs", &format!("A{mark}S").replace('#', "")), [""; 0]);
        }
    }

    #[test]
    fn a_dependency_without_reason_is_found() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# none\na = \"1\"\nb-c = { version = \"1\" }\n\
                        [dev-dependencies]\nd.path = \"d\"\n[target.'cfg(unix)'.dependencies.e]\nversion = \"1\"\n[lib]\nf = 1";
        let reasons =
            "# A\n| crate | why |\n| --- | --- |\n| `a` | `z` |\n| `b-c` | |\n| `d` | |\n| `e` | |\n`y` is not used";
        assert_eq!(dependencies(manifest, reasons), [""; 0]);
        assert_eq!(dependencies(manifest, &reasons.replace("| `d`", "`d`")), ["docs/dependencies.md: no line for `d`"]);
        let more = format!("{reasons}\n| `g` | |");
        assert_eq!(dependencies(manifest, &more), ["docs/dependencies.md: `g` is not in Cargo.toml"]);
    }
}
