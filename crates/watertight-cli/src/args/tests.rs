//! The command line against itself, and against what the server takes as given.

use clap::CommandFactory as _;

use super::*;

#[test]
fn the_command_line_contradicts_itself_nowhere() {
    Cli::command().debug_assert();
}

#[test]
fn the_limits_that_help_shows_are_those_of_the_server() {
    let cli = Cli::try_parse_from(["watertight", "serve"]).expect("these are good arguments");
    let Command::Serve(serve) = cli.command else { panic!("it is serve") };
    assert_eq!(serve.http(), HttpConfig::default());
    assert_eq!(serve.tls(), None);
}
