//! `postgres`: the main process of the database container.
//!
//! It makes a data directory if there is none, takes up one that the official image made, and refuses everything
//! else without touching it. Then PostgreSQL runs as its child, and it keeps role, database, extensions and password
//! as the credentials say. It never writes below a data directory that it did not make.

mod adopt;
pub mod binaries;
mod config;
pub mod credentials;
mod data_directory;
mod hba;
pub mod initialise;
mod lock;
mod roles;
mod server;
mod supervise;

pub use config::port;
pub use roles::login;

use std::process::ExitCode;

use crate::environment::Environment;
use crate::postgres::binaries::Binaries;
use crate::postgres::config::Config;
use crate::postgres::data_directory::{Found, inspect};
use crate::process::StopSignals;
use crate::result::{Failure, Record, Success};

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("postgres", environment);
    let outcome = steps(environment, &mut record).await;
    record.finish(outcome)
}

async fn steps(environment: &Environment, record: &mut Record) -> Result<Success, Failure> {
    record.step("inspect");
    let mut stop = StopSignals::listen().map_err(server::ServerError::Signals)?;
    let config = Config::read(environment)?;
    // Read before anything is made: without a password there is no role to make.
    let credentials = config.credentials.read()?;
    let binaries = Binaries::find(environment.get("PATH").unwrap_or_default(), config.major)?;
    record.fact("imageVersion", binaries.version.clone());
    let found = inspect(&config.data, binaries.major)?;
    let lock = tokio::select! {
        lock = lock::DataLock::take(&config.data) => lock?,
        signal = stop.next() => return Err(Failure::terminated(signal)),
    };
    hba::write(&config.hba_file())?;

    if found == Found::Nothing {
        record.step("initialise");
        let made = initialise::run(&config, &binaries, &lock, &credentials);
        tokio::select! {
            made = made => made?,
            signal = stop.next() => return Err(Failure::terminated(signal)),
        }
    } else {
        data_directory::close_to_others(&config.data)?;
    }

    record.step("run");
    supervise::run(&config, &binaries, &lock, &mut stop).await
}
