//! The command line is consistent, and its help is complete and in our words.

use clap::builder::StyledStr;
use clap::{Arg, Command, CommandFactory};

use super::*;

/// Names of values that are free text or numbers.
const FREE: &[&str] =
    &["FILE", "DIR", "LEVEL", "FACTOR", "PORT", "LIMIT", "ID", "REASON", "EMAIL", "USERNAME", "USER", "TICK_MS"];

/// Every command with its subcommands, but not `help`, which is clap's own.
fn commands(command: &Command, all: &mut Vec<Command>) {
    all.push(command.clone());
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        commands(sub, all);
    }
}

fn all_commands() -> Vec<Command> {
    let mut root = Cli::command();
    root.build();
    let mut all = Vec::new();
    commands(&root, &mut all);
    all
}

/// Words and phrases that `docs/vocabulary.md` says are never right: the code spans of its last column.
fn rejected_words() -> Vec<String> {
    let rows = include_str!("../../docs/vocabulary.md").lines().filter(|line| line.starts_with("| "));
    let last = rows.filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next());
    last.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_lowercase).collect()
}

/// Whether `word` stands in `text` as a word of its own.
fn has_word(text: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        let (before, after) = (text[..at].chars().next_back(), text[at + word.len()..].chars().next());
        !inside(before) && !inside(after)
    })
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn dev_runs_every_role_unless_asked_otherwise() {
    let dev = |line: &[&str]| match Cli::try_parse_from(line).unwrap().command {
        super::Command::Dev(args) => args,
        other => panic!("{other:?}"),
    };
    assert_eq!(dev(&["zpack", "dev"]).roles, [DevRole::Serve, DevRole::Provision]);
    assert_eq!(dev(&["zpack", "dev", "--roles", "serve"]).roles, [DevRole::Serve]);
    assert_eq!(dev(&["zpack", "dev", "--roles=serve,provision"]).roles.len(), 2);
    assert!(dev(&["zpack", "dev", "--roles"]).roles.is_empty());
    assert!(Cli::try_parse_from(["zpack", "dev", "--time-scale", "-1"]).is_err());
}

#[test]
fn help_is_printed_wherever_it_is_asked_for() {
    for line in
        [&["zpack", "-h"][..], &["zpack", "--help"], &["zpack", "ops", "release", "--help"], &["zpack", "help", "ops"]]
    {
        let shown = Cli::try_parse_from(line).unwrap_err();
        assert_eq!(shown.kind(), clap::error::ErrorKind::DisplayHelp, "{line:?}");
        assert!(shown.to_string().contains("Global options:"), "{shown}");
    }
}

#[test]
fn an_argument_that_is_one_of_a_few_texts_shows_them() {
    let shows = |argument: &Arg| !argument.get_possible_values().is_empty();
    let mut checked = 0;
    for command in all_commands() {
        for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
            let names = argument.get_value_names().unwrap_or_default();
            let free = names.iter().all(|name| FREE.contains(&name.as_str()));
            assert!(free || shows(argument), "{} {argument} does not show its values", command.get_name());
            checked += usize::from(!free);
        }
    }
    assert!(checked >= 9, "only {checked} arguments have listed values");
    let help = Cli::try_parse_from(["zpack", "ops", "list", "-h"]).unwrap_err().to_string();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[possible values: queued, running, succeeded, failed, cancelled, stale]"), "{help}");
    let wrong = Cli::try_parse_from(["zpack", "queue", "show", "hosts"]).unwrap_err().to_string();
    assert!(wrong.contains("[possible values: provision, host]"), "{wrong}");
}

#[test]
fn every_command_and_argument_has_help_without_rejected_words() {
    let rejected = rejected_words();
    assert!(rejected.len() > 30, "hardly any word is rejected: {rejected:?}");
    let text = |styled: Option<&StyledStr>| styled.map(ToString::to_string).unwrap_or_default();
    for mut command in all_commands() {
        let name = command.get_name().to_owned();
        assert!(!text(command.get_about()).is_empty(), "{name} has no help");
        for argument in command.get_arguments() {
            assert!(!text(argument.get_help()).is_empty(), "{name} {argument} has no help");
        }
        let help = command.render_long_help().to_string();
        for extra in [command.get_after_help(), command.get_after_long_help()] {
            let wide = text(extra).lines().find(|line| line.chars().count() > 80).map(str::to_owned);
            assert_eq!(wide, None, "{name}: too wide for 80 columns");
        }
        let lower = help.to_lowercase();
        let found: Vec<&String> = rejected.iter().filter(|word| has_word(&lower, word)).collect();
        assert!(found.is_empty(), "{name}: {found:?} in\n{help}");
    }
}

#[test]
fn global_options_stand_under_their_own_heading() {
    for mut command in all_commands() {
        let help = command.render_help().to_string();
        let (own, global) = help.split_once("Global options:").unwrap_or_else(|| panic!("{help}"));
        for option in ["--env-file", "--json", "--log-level", "--help"] {
            assert!(global.contains(option), "{option} is not among the global options of\n{help}");
            assert!(!own.contains(&format!("  {option}")), "{option} is among the options of\n{help}");
        }
    }
}
