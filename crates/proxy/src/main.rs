//! The command line of pgweir.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
use pgweir_proxy::reload::{Source, load};
use pgweir_proxy::run::Options;

/// A connection pooler for PostgreSQL.
///
/// Applications connect to port 6432 instead of 5432; operators run SHOW POOLS with psql in the
/// database `pgweir`.
#[derive(Parser)]
#[command(
    name = "pgweir",
    version,
    long_version = LONG_VERSION,
    disable_version_flag = true,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    /// A configuration file (`pgweir.toml` or PgBouncer's `pgbouncer.ini`), or the URL of one
    /// database to pool: `postgres://user:password@host/database`
    config: Option<String>,
    /// Run in the background; the configuration has to name a pidfile
    #[arg(short, long)]
    daemon: bool,
    /// Take the place of the process that runs: new clients come here, those that are there go on
    /// until they leave; so_reuseport and a pidfile are needed
    #[arg(short = 'R', long)]
    reboot: bool,
    /// Write nothing to standard error
    #[arg(short, long)]
    quiet: bool,
    /// Log more; twice: everything
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
    /// Run as this user, which only root can say
    #[arg(short, long)]
    user: Option<String>,
    /// With a URL: a setting of `[pgweir]` in the place of its default
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = setting)]
    set: Vec<(String, String)>,
    /// Print version
    #[arg(short = 'V', long, action = ArgAction::Version)]
    version: (),
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Says everything that is wrong with a configuration, and exits with 1 if anything is
    Check {
        /// The configuration file
        file: PathBuf,
    },
    /// Asks PAM about a user and a password on standard input; pgweir calls itself so
    #[cfg(feature = "pam")]
    #[command(hide = true)]
    PamCheck {
        /// The service of PAM's
        service: String,
        /// Address of the client; may be empty
        from: String,
    },
    /// Prints a pgweir.toml that says what PgBouncer's configuration says
    Convert {
        /// PgBouncer's pgbouncer.ini
        file: PathBuf,
    },
}

/// What follows the name: what pgweir is made with, a line each.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    "\ntls: rustls with aws-lc",
    "\nadns: system, hickory"
);

fn setting(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_owned(), value.trim().to_owned())),
        None => Err("expected KEY=VALUE".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misunderstood(&error),
    };
    match (&arguments.command, &arguments.config) {
        (Some(Command::Check { file }), _) => check(file),
        (Some(Command::Convert { file }), _) => convert(file.clone()),
        #[cfg(feature = "pam")]
        (Some(Command::PamCheck { service, from }), _) => pgweir_proxy::pam::ask(service, from),
        (None, Some(_)) => run(arguments),
        (None, None) => {
            eprintln!("pgweir: no configuration file specified");
            eprintln!("Try \"pgweir --help\" for more information.");
            ExitCode::FAILURE
        }
    }
}

/// Help and version were asked for; anything else is a slip of the command line, which is a failure
/// like every other.
fn misunderstood(error: &clap::Error) -> ExitCode {
    // Nobody is there to hear that nobody is there.
    match error.kind() {
        ErrorKind::DisplayVersion => {
            print!("{}", Arguments::command().render_long_version());
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelp => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        _ => {
            let _ = error.print();
            ExitCode::FAILURE
        }
    }
}

fn check(file: &std::path::Path) -> ExitCode {
    match load(&Source::File(file.to_owned())) {
        Ok(loaded) => {
            tell(&loaded.warnings);
            let (databases, users) = (loaded.config.databases.len(), loaded.files.users.len());
            println!(
                "{}: no mistakes; {}, {}",
                file.display(),
                counted(databases, "database"),
                counted(users, "user")
            );
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            tell(&mistakes);
            ExitCode::FAILURE
        }
    }
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

fn convert(file: PathBuf) -> ExitCode {
    match Source::File(file).to_toml() {
        Ok((toml, warnings)) => {
            tell(&warnings);
            print!("{toml}");
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            tell(&mistakes);
            ExitCode::FAILURE
        }
    }
}

fn tell(lines: &[String]) {
    for line in lines {
        eprintln!("{line}");
    }
}

fn run(arguments: Arguments) -> ExitCode {
    let config = arguments.config.unwrap_or_default();
    let is_url = config.starts_with("postgres://") || config.starts_with("postgresql://");
    let source = if is_url {
        Source::Url(config, arguments.set)
    } else if arguments.set.is_empty() {
        Source::File(config.into())
    } else {
        eprintln!("pgweir: --set goes with a URL; a configuration file says it itself");
        return ExitCode::FAILURE;
    };
    let options = Options {
        daemon: arguments.daemon,
        quiet: arguments.quiet,
        reboot: arguments.reboot,
        verbose: arguments.verbose.into(),
        user: arguments.user,
    };
    match pgweir_proxy::run::run(&source, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            pgweir_proxy::log::failure(&error);
            ExitCode::FAILURE
        }
    }
}
