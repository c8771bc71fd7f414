//! The table of contents of a dump, read by `pg_restore` while the dump goes by.
//!
//! A dump can end well and hold nothing; so the tables in it are counted.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use crate::backup::dump::{Client, DumpError};
use crate::output::log;
use crate::process::how_ended;
use crate::redact::Redactor;

/// Reads the head of a dump.
pub struct Contents {
    child: Child,
    /// Gone once the reader has seen enough.
    input: Option<ChildStdin>,
    tables: JoinHandle<usize>,
    words: JoinHandle<String>,
}

impl Contents {
    /// Starts `pg_restore --list`.
    pub fn start(client: &Client) -> Result<Self, DumpError> {
        let mut child = Command::new(&client.pg_restore)
            .arg("--list")
            .env_clear()
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| DumpError::not_started(&client.pg_restore, &error))?;
        let output = child.stdout.take();
        let words = tokio::spawn(log(child.stderr.take(), "pg_restore", Redactor::default()));
        let tables = tokio::spawn(async move {
            let mut tables = 0;
            if let Some(output) = output {
                let mut lines = BufReader::new(output).split(b'\n');
                while let Ok(Some(line)) = lines.next_segment().await {
                    tables += usize::from(names_data(&line));
                }
            }
            tables
        });
        Ok(Self {
            input: child.stdin.take(),
            child,
            tables,
            words,
        })
    }

    /// Passes bytes of the dump on, as long as they are wanted.
    pub async fn feed(&mut self, bytes: &[u8]) {
        if let Some(input) = &mut self.input
            && input.write_all(bytes).await.is_err()
        {
            self.input = None;
        }
    }

    /// How many tables' data the dump holds.
    pub async fn tables(mut self) -> Result<usize, DumpError> {
        drop(self.input.take());
        let status: ExitStatus = self
            .child
            .wait()
            .await
            .map_err(|error| DumpError::System(error.to_string()))?;
        if !status.success() {
            let words = self.words.await.unwrap_or_default();
            return Err(DumpError::Unreadable {
                how: how_ended(status),
                words,
            });
        }
        Ok(self.tables.await.unwrap_or_default())
    }
}

/// `3456; 0 16402 TABLE DATA public companies paperclip`
fn names_data(line: &[u8]) -> bool {
    !line.starts_with(b";")
        && line
            .windows(12)
            .any(|words| words == b" TABLE DATA ".as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_data_count() {
        assert!(names_data(
            b"3456; 0 16402 TABLE DATA public companies paperclip"
        ));
        assert!(!names_data(
            b"217; 1259 16402 TABLE public companies paperclip"
        ));
        assert!(!names_data(b"; Dumped by TABLE DATA "));
    }
}
