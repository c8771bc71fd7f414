//! A dump that the earlier operator wrote (`pg_dump | gzip`, one object `….sql.gz` without a manifest): brought back in one transaction.
//!
//! That operator called a dump a success that was empty or cut short. So this one is taken only if it is whole: gzip's own checksum, the line
//! that `pg_dump` ends with, and data of at least one table. Owners, grants and extensions stay as they are in the database; a command of
//! `psql` in the text is refused, for it could do anything.

use std::io::{BufRead, BufReader, Write};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use futures::StreamExt;
use object_store::path::Path as Place;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{Receiver, Sender};

use crate::backup::dump::Client;
use crate::bridge::{self, Pipe, Source};
use crate::restore::RestoreError;
use crate::restore::clear;
use crate::restore::load::{refused, said, start_writer};
use crate::result::{Failure, one_line};
use crate::storage::Destination;
use crate::urls::DatabaseUrl;

/// Such an object is one.
pub const ENDING: &str = ".sql.gz";
/// The last line but a few of `pg_dump`.
const COMPLETE: &[u8] = b"-- PostgreSQL database dump complete";

/// Replaces what the database holds. Says of how many tables there were data.
pub async fn run(
    url: &DatabaseUrl,
    client: &Client,
    storage: &Destination,
    place: &Place,
) -> Result<u64, Failure> {
    let (mut writer, mut to_writer) = start_writer(url, client)?;
    let begun = to_writer.write_all(clear::begin([]).as_bytes()).await;
    if begun.is_err() {
        return Err(refused(writer).await);
    }
    let (to_thread, source) = bridge::to_thread();
    let (pipe, statements) = bridge::to_task();
    let translating = tokio::task::spawn_blocking(move || translate(source, pipe));
    let (fed, passed) = tokio::join!(
        feed(storage, place, to_thread),
        pass(statements, &mut to_writer)
    );
    let translated = translating
        .await
        .map_err(|error| RestoreError::System(error.to_string()))?;
    // The storage's own error comes before what follows from it, and the database's before that of whoever could not write to it.
    fed?;
    if passed.is_err() {
        return Err(refused(writer).await);
    }
    let tables = translated?;
    let committed = to_writer.write_all(b"\nCOMMIT;\n").await;
    drop(to_writer);
    match (committed, writer.wait().await?) {
        (Ok(()), None) => Ok(tables),
        (_, Some(words)) => Err(said(&words)),
        (Err(error), None) => Err(RestoreError::Failed(format!("psql: {error}")).into()),
    }
}

async fn feed(storage: &Destination, place: &Place, to: Sender<Bytes>) -> Result<(), Failure> {
    let mut stream = storage.open(place).await?;
    while let Some(chunk) = stream.next().await {
        if to.send(chunk?).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

async fn pass(
    mut from: Receiver<Bytes>,
    to: &mut (impl AsyncWriteExt + Unpin),
) -> std::io::Result<()> {
    while let Some(chunk) = from.recv().await {
        to.write_all(&chunk).await?;
    }
    Ok(())
}

fn translate(from: Source, mut to: Pipe) -> Result<u64, RestoreError> {
    let broken = |error: std::io::Error| {
        RestoreError::Corrupt(format!("the dump: {}", one_line(&error.to_string())))
    };
    let mut lines = BufReader::new(MultiGzDecoder::new(from));
    let mut text = Text::default();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(broken)? > 0 {
        let kept = text.take(&line)?;
        // Whoever reads has given up, and knows why.
        if to.write_all(&kept).is_err() {
            return Ok(text.tables);
        }
        line.clear();
    }
    if to.flush().is_err() {
        return Ok(text.tables);
    }
    text.end()
}

/// The text of a dump, line by line.
#[derive(Default)]
struct Text {
    in_data: bool,
    tables: u64,
    complete: bool,
}

impl Text {
    /// What becomes of a line.
    fn take(&mut self, line: &[u8]) -> Result<Vec<u8>, RestoreError> {
        if self.in_data {
            self.in_data = line.trim_ascii_end() != b"\\.";
            return Ok(line.to_vec());
        }
        if line.starts_with(b"COPY ") && line.trim_ascii_end().ends_with(b"FROM stdin;") {
            self.in_data = true;
            self.tables += 1;
            return Ok(line.to_vec());
        }
        self.complete |= line.starts_with(COMPLETE);
        if line.starts_with(b"\\restrict ") || line.starts_with(b"\\unrestrict ") {
            return Ok(vec![]);
        }
        if line.first() == Some(&b'\\') {
            return Err(RestoreError::Corrupt(
                "the dump holds a command of psql, which no dump of the earlier operator does"
                    .into(),
            ));
        }
        if is_of_the_database(line) {
            return Ok(vec![]);
        }
        if let Some(schema) = made_schema(line) {
            let mut all = b"DROP SCHEMA IF EXISTS ".to_vec();
            all.extend_from_slice(schema);
            all.extend_from_slice(b" CASCADE;\n");
            all.extend_from_slice(line);
            return Ok(all);
        }
        Ok(line.to_vec())
    }

    fn end(self) -> Result<u64, RestoreError> {
        let wrong = match (self.complete, self.tables) {
            (true, 1..) => return Ok(self.tables),
            (true, 0) => "it holds data of no table",
            (false, _) => "it does not end as pg_dump ends a dump",
        };
        Err(RestoreError::Corrupt(format!(
            "the dump is empty or cut short: {wrong}"
        )))
    }
}

/// Belongs to the database that the dump was taken of, and is settled already in the one that it goes to.
fn is_of_the_database(line: &[u8]) -> bool {
    let begins = [
        "CREATE EXTENSION ",
        "COMMENT ON EXTENSION ",
        "COMMENT ON SCHEMA public ",
        "CREATE SCHEMA public;",
        "GRANT ",
        "REVOKE ",
        "ALTER DEFAULT PRIVILEGES ",
    ];
    let owner = line.starts_with(b"ALTER ")
        && line.windows(10).any(|words| words == b" OWNER TO ")
        && line.trim_ascii_end().ends_with(b";");
    owner
        || begins
            .iter()
            .any(|begin| line.starts_with(begin.as_bytes()))
}

/// The name in `CREATE SCHEMA name;`.
fn made_schema(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(b"CREATE SCHEMA ")?
        .trim_ascii_end()
        .strip_suffix(b";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Reason;

    fn translated(text: &str) -> Result<(String, u64), RestoreError> {
        let mut state = Text::default();
        let mut out = vec![];
        for line in text.split_inclusive('\n') {
            out.extend(state.take(line.as_bytes())?);
        }
        Ok((String::from_utf8(out).unwrap(), state.end()?))
    }

    const END: &str = "--\n-- PostgreSQL database dump complete\n--\n";

    #[test]
    fn owners_grants_and_extensions_stay_those_of_the_database() {
        let dump = format!(
            "\\restrict abc\nCREATE SCHEMA drizzle;\nALTER SCHEMA drizzle OWNER TO old;\nCREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;\n\
             COMMENT ON EXTENSION pg_trgm IS 'x';\nCREATE TABLE public.a (x text);\nALTER TABLE public.a OWNER TO old;\n\
             COPY public.a (x) FROM stdin;\nGRANT me\n\\N\n\\\\restrict\n\\.\nGRANT ALL ON TABLE public.a TO other;\n{END}\\unrestrict abc\n"
        );
        let (text, tables) = translated(&dump).unwrap();
        assert_eq!(
            text,
            format!(
                "DROP SCHEMA IF EXISTS drizzle CASCADE;\nCREATE SCHEMA drizzle;\nCREATE TABLE public.a (x text);\n\
                 COPY public.a (x) FROM stdin;\nGRANT me\n\\N\n\\\\restrict\n\\.\n{END}"
            )
        );
        assert_eq!(tables, 1);
    }

    #[test]
    fn what_is_not_whole_or_does_more_than_a_dump_is_refused() {
        let data = "COPY public.a (x) FROM stdin;\n1\n\\.\n";
        for text in ["", data, END, &format!("{data}{END}\\! rm -rf /\n")] {
            assert_eq!(translated(text).unwrap_err().code(), "Corrupt", "{text}");
        }
        assert!(translated(&format!("{data}{END}")).is_ok());
    }
}
