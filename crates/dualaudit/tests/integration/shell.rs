//! What a shell and `man` are given: completions in a real bash, and pages that groff takes as they are.

use std::{fs, process::Command};

use crate::support::{Standalone, ended};

#[test]
fn bash_completes_commands_flags_and_their_values() {
    let standalone = Standalone::new();
    let script = standalone.dir.path().join("completion.bash");
    fs::write(&script, printed(&standalone, "bash")).unwrap();
    for (words, expected) in [
        (&["dualaudit", "li"][..], &["list"][..]),
        (&["dualaudit", "hold", ""], &["add", "release", "list"]),
        (&["dualaudit", "list", "--no-h"], &["--no-headers"]),
        (&["dualaudit", "list", "--output", ""], &["table", "wide", "json", "yaml", "csv", "name"]),
    ] {
        // What readline calls, with what it sets.
        let call = format!(
            "source {}; COMP_WORDS=({}); COMP_CWORD={}; _dualaudit dualaudit '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" "),
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let mut bash = Command::new("bash");
        bash.args(["--noprofile", "--norc", "-c", &call]);
        let output = ended(bash);
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let replies = String::from_utf8(output.stdout).unwrap();
        let replies: Vec<_> = replies.lines().collect();
        assert!(expected.iter().all(|word| replies.contains(word)), "{words:?}: {replies:?}");
    }
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        assert!(!printed(&standalone, shell).is_empty(), "{shell}");
    }
    assert_eq!(standalone.run(&["completion", "tcsh"]).status.code(), Some(2));
}

#[test]
fn every_page_of_the_manual_is_rendered_without_a_warning() {
    let standalone = Standalone::new();
    let dir = standalone.dir.path().join("man1");
    let written = standalone.run(&["man", dir.to_str().unwrap()]);
    assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
    let mut pages: Vec<_> = fs::read_dir(&dir).unwrap().map(|page| page.unwrap().path()).collect();
    pages.sort();
    for name in ["dualaudit.1", "dualaudit-list.1", "dualaudit-hold-add.1"] {
        assert!(pages.contains(&dir.join(name)), "{name}: {pages:?}");
    }
    for page in &pages {
        let mut man = Command::new("man");
        man.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100").args(["--warnings", "-l"]).arg(page);
        let output = ended(man);
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", page.display());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("SYNOPSIS"), "{}: {text}", page.display());
    }
    let first = String::from_utf8(standalone.run(&["man"]).stdout).unwrap();
    assert!(first.contains("\n.TH dualaudit 1 ") && first.contains("dualaudit\\-list(1)"), "{first}");
}

/// The completions for a shell, which are more than a pipe holds.
fn printed(standalone: &Standalone, shell: &str) -> Vec<u8> {
    let output = standalone.command(&["completion", shell]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {}", output.status);
    output.stdout
}
