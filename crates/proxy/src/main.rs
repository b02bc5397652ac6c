//! The command line of pgweir.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use pgweir_proxy::reload::{Source, load};

/// A connection pooler for PostgreSQL.
///
/// Applications connect to port 6432 instead of 5432; operators run SHOW POOLS with psql in the
/// database `pgweir`.
#[derive(Parser)]
#[command(
    name = "pgweir",
    version,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true
)]
struct Arguments {
    /// A configuration file (`pgweir.toml` or PgBouncer's `pgbouncer.ini`), or the URL of one
    /// database to pool: `postgres://user:password@host/database`
    config: Option<String>,
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
    /// Prints a pgweir.toml that says what PgBouncer's configuration says
    Convert {
        /// PgBouncer's pgbouncer.ini
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match (arguments.command, arguments.config) {
        (Some(Command::Check { file }), _) => check(&file),
        (Some(Command::Convert { file }), _) => convert(file),
        (None, Some(config)) => run(&config),
        (None, None) => ExitCode::FAILURE,
    }
}

fn check(file: &std::path::Path) -> ExitCode {
    match load(&Source::File(file.to_owned())) {
        Ok(loaded) => {
            tell(&loaded.warnings);
            let (databases, users) = (loaded.config.databases.len(), loaded.users.len());
            println!(
                "{}: no mistakes; {databases} databases, {users} users",
                file.display()
            );
            ExitCode::SUCCESS
        }
        Err(mistakes) => {
            tell(&mistakes);
            ExitCode::FAILURE
        }
    }
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

fn run(config: &str) -> ExitCode {
    let is_url = config.starts_with("postgres://") || config.starts_with("postgresql://");
    let source = if is_url {
        Source::Url(config.to_owned())
    } else {
        Source::File(config.into())
    };
    match pgweir_proxy::run::run(&source) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pgweir: {error}");
            ExitCode::FAILURE
        }
    }
}
