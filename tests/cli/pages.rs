//! `carom completions` and `carom man`.

use crate::place::carom;

const COMMANDS: [&str; 14] = [
    "serve",
    "link",
    "host",
    "token",
    "changes",
    "import",
    "export",
    "resolve",
    "status",
    "backup",
    "restore",
    "verify",
    "rebuild",
    "completions",
];

#[test]
fn completions_name_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = carom(dir.path(), &["completions", shell]).done();
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
        assert!(script.contains("path-prefix"), "{shell}");
    }
    carom(dir.path(), &["completions", "tcsh"]).fails(2, &["bash, zsh, fish"]);
}

#[test]
fn there_is_a_page_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let page = carom(dir.path(), &["man"]).done();
    assert!(COMMANDS.iter().all(|command| page.contains(&format!("carom\\-{command}"))), "{page}");
    carom(dir.path(), &["man", "--dir", "pages/man1"]).done();
    let read = |name: &str| std::fs::read_to_string(dir.path().join("pages/man1").join(name)).unwrap();
    for command in COMMANDS {
        assert!(read(&format!("carom-{command}.1")).starts_with(".ie"), "{command}");
    }
    assert!(read("carom-link-add.1").contains("query\\-policy"));
    assert!(read("carom.1").contains("Exit codes"));
}
