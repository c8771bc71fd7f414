//! What another program says: logged line by line without secrets, and its most telling line kept for the result.

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::redact::Redactor;
use crate::result::one_line;

/// Longest line that is kept together.
const LINE_LIMIT: usize = 4096;

/// Logs what the program writes. Returns its most telling line: the first that names an error, else the last.
pub async fn log(
    stream: Option<impl AsyncRead + Unpin>,
    name: &'static str,
    redactor: Redactor,
) -> String {
    let Some(mut stream) = stream else {
        return String::new();
    };
    let mut telling = Telling::default();
    let mut line = Vec::new();
    let mut chunk = [0_u8; 4096];
    while let Ok(length @ 1..) = stream.read(&mut chunk).await {
        for &byte in chunk.get(..length).unwrap_or_default() {
            if byte != b'\n' {
                line.push(byte);
            }
            if byte == b'\n' || line.len() >= LINE_LIMIT {
                telling.hear(&mut line, name, &redactor);
            }
        }
    }
    telling.hear(&mut line, name, &redactor);
    telling.line()
}

#[derive(Default)]
struct Telling {
    error: Option<String>,
    last: String,
}

impl Telling {
    fn hear(&mut self, line: &mut Vec<u8>, stream: &str, redactor: &Redactor) {
        let text = String::from_utf8_lossy(line).trim_end().to_owned();
        line.clear();
        if text.trim().is_empty() {
            return;
        }
        let text = redactor.clean(&text);
        tracing::info!(stream, line = %text, "program");
        let text = one_line(&text);
        // `PostgresError: deadlock detected`, `Error: …`, `[cause]: error: …`; not the stack below.
        if self.error.is_none() && (text.contains("Error: ") || text.contains("error: ")) {
            self.error = Some(text.clone());
        }
        self.last = text;
    }

    fn line(self) -> String {
        self.error.unwrap_or(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_line_that_names_the_error_is_told_without_secrets() {
        let text = "node:internal\nPostgresError: no login for postgres://u:hunter2@db/x\n    at Connection\n\nNode.js v24\n";
        let words = log(
            Some(text.as_bytes()),
            "stderr",
            Redactor::new(["hunter2".to_owned()]),
        )
        .await;
        assert_eq!(words, "PostgresError: no login for postgres://***@db/x");
    }

    #[tokio::test]
    async fn a_line_without_end_is_cut() {
        let text = "x".repeat(3 * LINE_LIMIT);
        assert!(
            log(Some(text.as_bytes()), "stdout", Redactor::default())
                .await
                .len()
                < LINE_LIMIT
        );
    }
}
