//! `carom completions` and `carom man`.

use std::path::Path;
use std::process::Command;

use crate::place::carom;
use crate::support::not_run;

const COMMANDS: [&str; 16] = [
    "serve",
    "link",
    "host",
    "token",
    "changes",
    "stats",
    "import",
    "export",
    "resolve",
    "status",
    "backup",
    "restore",
    "verify",
    "rebuild",
    "completions",
    "man",
];

#[test]
fn completions_name_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = carom(dir.path(), &["completions", shell]).done();
        for command in COMMANDS {
            let entry = match shell {
                "bash" => format!("carom,{command})"),
                "zsh" => format!("'{command}:"),
                _ => format!("-a \"{command}\""),
            };
            assert!(script.contains(&entry), "{shell}: {command}");
        }
        assert!(script.contains("path-prefix"), "{shell}");
        // What is a file is completed as such.
        assert!(
            shell != "zsh" || script.contains("':file -- The file; `-` is stdin, for JSON lines:_files'"),
            "{script}"
        );
    }
    carom(dir.path(), &["completions", "tcsh"]).fails(2, &["bash, zsh, fish"]);
}

/// What bash offers behind a line, or nothing where there is no bash.
fn offered(dir: &Path, line: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = line.split(' ').collect();
    let (count, last) = (words.len(), words.last().unwrap());
    let before = words[count - 2];
    let script = format!(
        "source carom.bash && complete -p carom && COMP_WORDS=({}) COMP_CWORD={} && _carom carom '{last}' '{before}' && \
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
        count - 1,
    );
    let Ok(output) = Command::new("bash").args(["-c", &script]).current_dir(dir).output() else {
        not_run("completions in bash, which is not there");
        return None;
    };
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let mut lines = said.lines().map(str::to_owned);
    assert!(lines.next().unwrap().ends_with(" carom"), "{said}");
    Some(lines.collect())
}

#[test]
fn bash_completes_commands_options_and_files() {
    let dir = tempfile::tempdir().unwrap();
    let script = carom(dir.path(), &["completions", "bash"]).done();
    std::fs::write(dir.path().join("carom.bash"), script).unwrap();
    std::fs::write(dir.path().join("links.csv"), "").unwrap();
    for (line, expected) in [
        ("carom lin", "link"),
        ("carom link add --untr", "--untracked"),
        ("carom import --format c", "csv"),
        ("carom export -o li", "links.csv"),
    ] {
        let Some(offered) = offered(dir.path(), line) else { return };
        assert!(offered.iter().any(|word| word == expected), "{line}: {offered:?}");
    }
    // bash itself adds directories where no file will do.
    let Some(offered) = offered(dir.path(), "carom import --data li") else { return };
    assert!(!offered.iter().any(|word| word == "links.csv"), "{offered:?}");
}

#[test]
fn there_is_a_page_for_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let page = carom(dir.path(), &["man"]).done();
    assert!(COMMANDS.iter().all(|command| page.contains(&format!("carom\\-{command}"))), "{page}");
    carom(dir.path(), &["man", "--dir", "pages/man1"]).done();
    let version = format!("\"carom {}\"", env!("CARGO_PKG_VERSION"));
    let read = |name: &str| std::fs::read_to_string(dir.path().join("pages/man1").join(name)).unwrap();
    for command in COMMANDS {
        let page = read(&format!("carom-{command}.1"));
        assert!(page.starts_with(".ie"), "{command}");
        assert!(page.contains(".SH \"EXIT STATUS\"\n.TP\n.B 0\ndone\n") && !page.contains("EXTRA"), "{command}");
        let title = page.lines().find(|line| line.starts_with(".TH ")).unwrap();
        assert!(title.contains(&format!("carom-{command}")) && title.contains(&version), "{title}");
    }
    let page = read("carom-link-add.1");
    assert!(page.contains("query\\-policy <POLICY>") && page.contains(".SH ENVIRONMENT\n.TP\n.B CAROM_TOKEN_FILE"));
    assert!(!read("carom-verify.1").contains("ENVIRONMENT"));
}
