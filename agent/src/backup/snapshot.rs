//! One moment of the database: held open by a transaction, dumped by `pg_dump`, counted by us.
//!
//! So the row counts of the manifest are those of the dump, whatever is written meanwhile.

use serde::Serialize;

use crate::database::{Connection, quoted};
use crate::migrate::journal::{Journal, encrypted_rows};
use crate::result::Failure;
use crate::target::QueryError;

/// The moment, and what was seen of the database in it.
pub struct Snapshot {
    connection: Connection,
    /// Name of the exported snapshot.
    pub id: String,
    /// Version of the server, such as `17.6`.
    pub server_version: String,
    /// Its major version.
    pub major: u32,
    /// Size of the database on the server.
    pub database_bytes: i64,
    /// The application's journal, if it has one.
    pub migrations: Option<Migrations>,
    /// Values that can only be read with the application's master key.
    pub encrypted_rows: Option<i64>,
    tables: Vec<(String, String)>,
}

/// What the journal says.
#[derive(Serialize)]
pub struct Migrations {
    /// How many.
    pub rows: usize,
    /// SHA-256 over their names and hashes.
    pub sha256: String,
}

/// Rows of one table.
#[derive(Serialize)]
pub struct Rows {
    /// Schema and name.
    pub table: String,
    /// How many.
    pub rows: i64,
}

/// Tables whose rows a dump holds: not those of the system and not those that an extension makes.
const TABLES: &str = "SELECT n.nspname::text, c.relname::text \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind = 'r' AND c.relpersistence IN ('p', 'u') \
      AND n.nspname <> 'information_schema' AND left(n.nspname, 3) <> 'pg_' \
      AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e') \
    ORDER BY 1, 2";

impl Snapshot {
    /// Holds the present moment.
    pub async fn take(connection: Connection) -> Result<Self, QueryError> {
        let client = connection.client();
        client
            .batch_execute(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = 0; \
                 SET LOCAL statement_timeout = 0",
            )
            .await
            .map_err(QueryError::of("begin"))?;
        let row = client
            .query_one(
                "SELECT pg_export_snapshot(), current_setting('server_version'), \
                 current_setting('server_version_num')::int, pg_database_size(current_database())",
                &[],
            )
            .await
            .map_err(QueryError::of("snapshot"))?;
        let (id, version, number, database_bytes): (String, String, i32, i64) =
            (row.get(0), row.get(1), row.get(2), row.get(3));
        let tables = client
            .query(TABLES, &[])
            .await
            .map_err(QueryError::of("list tables"))?
            .iter()
            .map(|row| (row.get(0), row.get(1)))
            .collect();
        let journal = Journal::read(&connection).await?;
        let migrations = (journal.rows() > 0).then(|| Migrations {
            rows: journal.rows(),
            sha256: journal.fingerprint(),
        });
        let encrypted_rows = encrypted_rows(&connection).await?;
        Ok(Self {
            id,
            server_version: version
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned(),
            major: u32::try_from(number / 10_000).unwrap_or_default(),
            database_bytes,
            migrations,
            encrypted_rows,
            tables,
            connection,
        })
    }

    /// How many tables a dump must hold.
    pub fn tables(&self) -> usize {
        self.tables.len()
    }

    /// Counts the rows of every table.
    pub(super) async fn count_rows(&self) -> Result<Vec<Rows>, Failure> {
        let mut all = Vec::with_capacity(self.tables.len());
        for (schema, table) in &self.tables {
            let text = format!("SELECT count(*) FROM {}.{}", quoted(schema), quoted(table));
            let row = self.connection.client().query_one(&text, &[]).await;
            let row = row.map_err(QueryError::of("count rows"))?;
            all.push(Rows {
                table: format!("{schema}.{table}"),
                rows: row.get(0),
            });
        }
        Ok(all)
    }
}
