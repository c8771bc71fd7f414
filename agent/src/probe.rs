//! `probe`: one question to the database of this pod, as the application's role and with its password.
//!
//! It succeeds only if the application could work: login over the network's rules, and the extensions are there. It
//! prints one line, which the kubelet shows, and nothing secret. It must stay cheap: it runs every few seconds.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::database::{Connection, EXTENSIONS, describe};
use crate::environment::Environment;
use crate::postgres::{credentials::CredentialFiles, login, port};
use crate::result::{Exit, Failure};

const WITHIN: Duration = Duration::from_secs(3);

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let (line, code) = match tokio::time::timeout(WITHIN, ask(environment)).await {
        Ok(Ok(())) => ("ok".to_owned(), ExitCode::SUCCESS),
        Ok(Err(failure)) => (
            format!("{}: {}", failure.code, failure.message),
            ExitCode::FAILURE,
        ),
        Err(_) => (
            format!("TimedOut: no answer within {} s", WITHIN.as_secs()),
            ExitCode::FAILURE,
        ),
    };
    let _ = writeln!(std::io::stdout(), "{line}");
    code
}

async fn ask(environment: &Environment) -> Result<(), Failure> {
    let credentials = CredentialFiles::read_from(environment).read()?;
    let database = environment
        .get("PAPERCLIP_AGENT_DATABASE")
        .unwrap_or("paperclip");
    let target = login(database, port(environment)?, &credentials);
    let connection = Connection::open(&target, NoTls, WITHIN).await?;
    // One message each way: no prepared statement.
    let answer = connection
        .client()
        .simple_query("SELECT extname FROM pg_catalog.pg_extension")
        .await;
    let failed = |code, message| Failure {
        exit: Exit::Temporary,
        code,
        message,
    };
    let rows = answer.map_err(|error| failed("QueryFailed", describe(&error)))?;
    let there: Vec<&str> = rows
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    let missing: Vec<&str> = EXTENSIONS
        .into_iter()
        .filter(|name| !there.contains(name))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(failed("ExtensionsMissing", missing.join(", ")))
    }
}
