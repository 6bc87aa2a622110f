//! Examples in `--help`: each command below another shows those of its parent's that are its own.

use clap::Command;

/// What stands before them.
const HEADING: &str = "Examples:";

/// A command with examples at each of those below it that has none of its own. `path` is what it is called by, such as
/// `dualaudit hold`.
pub(super) fn spread(command: Command, path: &str) -> Command {
    let all = examples(&command);
    command.mut_subcommands(|below| {
        let path = format!("{path} {}", below.get_name());
        let own: Vec<_> =
            all.iter().filter(|line| is_of(line, &path)).map(|line| format!("  {line}")).collect();
        let below = match below.get_after_help() {
            None if !own.is_empty() => below.after_help(format!("{HEADING}\n{}", own.join("\n"))),
            _ => below,
        };
        spread(below, &path)
    })
}

/// The same, where the program is called by kubectl.
pub(super) fn for_kubectl(command: Command) -> Command {
    let help = command.get_after_help().map(ToString::to_string);
    let command = match help {
        Some(help) => command.after_help(help.replace("\n  dualaudit ", "\n  kubectl dualaudit ")),
        None => command,
    };
    command.mut_subcommands(for_kubectl)
}

/// The example lines of a command's help.
fn examples(command: &Command) -> Vec<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines = help.split_once(HEADING).map(|(_, lines)| lines.to_owned()).unwrap_or_default();
    lines.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn is_of(line: &str, path: &str) -> bool {
    line.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::CommandFactory as _;

    use super::*;
    use crate::command::{Cli, command_line, kubectl::Plugin};

    /// Each command, and what it is called by.
    fn walk(command: &Command, path: &str, seen: &mut Vec<(String, Command)>) {
        seen.push((path.to_owned(), command.clone()));
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            walk(below, &format!("{path} {}", below.get_name()), seen);
        }
    }

    fn all() -> Vec<(String, Command)> {
        let mut seen = Vec::new();
        walk(&command_line(), "dualaudit", &mut seen);
        seen
    }

    #[test]
    fn the_help_of_every_command_has_examples_of_its_own() {
        let commands = all();
        assert!(commands.len() > 40, "{}", commands.len());
        for (path, command) in commands {
            let own = examples(&command);
            assert!(own.iter().any(|line| is_of(line, &path)), "{path} --help has no example: {own:?}");
        }
    }

    #[test]
    fn every_example_can_be_said() {
        let dir = tempfile::tempdir().unwrap();
        // A public key, where an example names a file of keys.
        let key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let keys = dir.path().join("log.pub");
        fs::write(&keys, format!("{key}\n")).unwrap();
        let mut said = 0;
        for (path, command) in all() {
            for line in examples(&command).iter().filter(|line| line.starts_with("dualaudit ")) {
                // What the shell makes of it, up to where another program begins.
                let words: Vec<_> = shlex::split(line).unwrap_or_else(|| panic!("{path}: {line}"));
                let ours = words.iter().take_while(|word| !["|", ">", "<"].contains(&word.as_str()));
                let ours = ours.map(|word| if word == "log.pub" { keys.to_str().unwrap() } else { word });
                match Cli::command().try_get_matches_from(ours) {
                    Err(error) if error.use_stderr() => panic!("{path}: {line}: {error}"),
                    _ => {}
                }
                said += 1;
            }
        }
        assert!(said > 100, "{said}");
    }

    #[test]
    fn what_kubectl_shows_can_be_said_to_kubectl() {
        let command = for_kubectl(spread(Plugin::command(), "dualaudit"));
        let mut seen = Vec::new();
        walk(&command, "kubectl dualaudit", &mut seen);
        for (path, command) in seen {
            for line in examples(&command).iter().filter(|line| line.contains("dualaudit list")) {
                let words = shlex::split(line).unwrap();
                assert_eq!(words[0], "kubectl", "{path}: {line}");
                let words = words[1..].iter().take_while(|word| *word != ">");
                Plugin::command().try_get_matches_from(words).unwrap();
            }
        }
    }
}
