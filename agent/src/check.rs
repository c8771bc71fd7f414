//! `check`: asks a database of somebody else whether the application could live in it. It changes nothing there: what it tries is
//! taken back. Never sends a password to a server that is not the one that the connection string asks for.

use std::process::ExitCode;

use tokio_postgres::SimpleQueryMessage;

use crate::database::{ConnectError, Connection};
use crate::environment::Environment;
use crate::migrate::rights;
use crate::process::unless_stopped;
use crate::result::{Failure, Record, Success};
use crate::target::{QueryError, Target, server_version};

/// How often it is looked whether two connections share one process of the server.
const LOOKS: usize = 3;

/// Runs the command.
pub async fn run(environment: &Environment) -> ExitCode {
    let mut record = Record::start("check", environment);
    let outcome = unless_stopped(steps(environment, &mut record)).await;
    record.finish(outcome)
}

async fn steps(environment: &Environment, record: &mut Record) -> Result<Success, Failure> {
    record.step("input");
    let target = Target::read(environment, "paperclip-agent check")?;
    record.fact("encryption", target.url.encryption().as_str());

    record.step("connect");
    let connection = target.wait_while(ConnectError::may_pass).await?;
    record.fact("serverVersion", server_version(&connection).await?);

    record.step("rights");
    try_rights(&connection).await?;

    record.step("figures");
    if let Some(bytes) = size(&connection).await {
        record.fact("databaseBytes", bytes);
    }
    if let Some(pooled) = is_pooled(&target, &connection).await {
        record.fact("transactionPooler", pooled);
    }
    Ok(Success::Done)
}

/// All that the migrations will need, in a transaction that is taken back.
async fn try_rights(connection: &Connection) -> Result<(), Failure> {
    let client = connection.client();
    let begin = client.batch_execute("BEGIN").await;
    begin.map_err(QueryError::of("begin"))?;
    rights::check(connection).await?;
    let back = client.batch_execute("ROLLBACK").await;
    Ok(back.map_err(QueryError::of("take back"))?)
}

/// Size of the database in bytes, if the role may know it.
async fn size(connection: &Connection) -> Option<i64> {
    let question = "SELECT pg_database_size(current_database())";
    let row = connection.client().query_typed(question, &[]).await.ok()?;
    row.first()?.try_get(0).ok()
}

/// Two connections that are open at the same time and are served by one process: between them and the server is a pooler that
/// gives it to another client after each transaction. `None`: there was no second connection.
async fn is_pooled(target: &Target, first: &Connection) -> Option<bool> {
    let second = target.open().await.ok()?;
    for _ in 0..LOOKS {
        if process(first).await? == process(&second).await? {
            return Some(true);
        }
    }
    Some(false)
}

async fn process(connection: &Connection) -> Option<String> {
    // The simple protocol, which every pooler understands.
    let messages = connection.client();
    let messages = messages
        .simple_query("SELECT pg_backend_pid()")
        .await
        .ok()?;
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    })
}
