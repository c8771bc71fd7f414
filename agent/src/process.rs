//! Signals and child processes, for a program that is process 1 of its container.
//!
//! Process 1 gets no default signal handlers and inherits every orphan. So signals are taken from the start on, and
//! orphans are collected without taking away the exit status of our own children.

use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitOptions};
use tokio::process::Child;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

use crate::result::{Failure, Success};

/// The signals that ask this process to end.
pub struct StopSignals {
    term: Signals,
    int: Signals,
    quit: Signals,
}

impl StopSignals {
    /// Takes the signals from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
        })
    }

    /// The next of them, by name.
    pub async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
            _ = self.quit.recv() => "SIGQUIT",
        }
    }
}

/// Does `work`, unless a signal asks for the end before it is done: then it is dropped.
pub async fn unless_stopped(
    work: impl Future<Output = Result<Success, Failure>>,
) -> Result<Success, Failure> {
    let mut stop = StopSignals::listen().map_err(|error| Failure::internal(&error))?;
    tokio::select! {
        outcome = work => outcome,
        signal = stop.next() => Err(Failure::terminated(signal)),
    }
}

/// Sends a signal to a child that has not been waited for.
pub fn send(child: &Child, signal: Signal) {
    let Some(pid) = child
        .id()
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw)
    else {
        return;
    };
    if let Err(error) = rustix::process::kill_process(pid, signal) {
        tracing::debug!(%error, "signal not sent");
    }
}

/// Asks a child to end, waits, and ends it.
pub async fn end(child: &mut Child, signal: Signal, bound: Duration) -> io::Result<ExitStatus> {
    send(child, signal);
    if let Ok(status) = tokio::time::timeout(bound, child.wait()).await {
        return status;
    }
    child.start_kill()?;
    child.wait().await
}

/// The exit code that stands for how a child ended, as shells count it.
pub fn exit_code(status: ExitStatus) -> u8 {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code & 0xff).unwrap_or(u8::MAX)
}

/// How a child ended, in words.
pub fn how_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

/// Collects the orphans that ended and were inherited by this process. Our own child is left to whoever waits for it.
pub fn collect_orphans(own: Option<u32>) {
    let this = std::process::id();
    if this != 1 {
        return;
    }
    let Ok(entries) = fs::read_dir("/proc") else {
        return;
    };
    for pid in entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
    {
        if Some(pid) == own {
            continue;
        }
        let ended = fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| is_ended_child(&stat, this));
        if let (true, Some(pid)) = (ended, i32::try_from(pid).ok().and_then(Pid::from_raw)) {
            let _ = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

fn is_ended_child(stat: &str, parent: u32) -> bool {
    // The name of the program stands in parentheses and may itself hold any character.
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return false;
    };
    let mut fields = fields.split_whitespace();
    fields.next() == Some("Z") && fields.next().and_then(|id| id.parse().ok()) == Some(parent)
}

/// Passes on what a child writes to its standard error, byte for byte, and remembers its last complaint.
///
/// It runs on its own thread: a log that nobody reads must hold up the child, as without us, and not the supervision.
pub struct Relay {
    complaint: Complaint,
    ended: Receiver<()>,
}

/// A complaint, and when it was heard.
type Complaint = Arc<Mutex<Option<(Instant, String)>>>;

/// A complaint that is older than this is not why a program ended.
const FRESH: Duration = Duration::from_secs(10);

impl Relay {
    /// Starts to pass on.
    pub fn start(reader: PipeReader) -> Self {
        let complaint = Complaint::default();
        let (over, ended) = channel();
        let kept = complaint.clone();
        std::thread::spawn(move || {
            pass_on(reader, &kept);
            let _ = over.send(());
        });
        Self { complaint, ended }
    }

    /// The last line that told of an error, once all was read or a moment has passed. Empty if there was none just now.
    pub fn last_complaint(&self) -> String {
        let _ = self.ended.recv_timeout(Duration::from_secs(1));
        let heard = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        heard
            .filter(|(when, _)| when.elapsed() < FRESH)
            .map(|(_, line)| line)
            .unwrap_or_default()
    }
}

fn pass_on(mut reader: PipeReader, complaint: &Mutex<Option<(Instant, String)>>) {
    let mut chunk = [0_u8; 8192];
    let mut line = Vec::new();
    loop {
        let length = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        let bytes = chunk.get(..length).unwrap_or_default();
        let _ = io::stderr().write_all(bytes);
        for &byte in bytes {
            if byte == b'\n' {
                remember(&line, complaint);
                line.clear();
            } else if line.len() < 1024 {
                line.push(byte);
            }
        }
    }
    remember(&line, complaint);
}

fn remember(line: &[u8], complaint: &Mutex<Option<(Instant, String)>>) {
    let line = String::from_utf8_lossy(line);
    // PostgreSQL's severities stand behind a time stamp; initdb writes `initdb: error:`.
    if let Some(start) = ["FATAL:", "PANIC:", "error:"]
        .iter()
        .filter_map(|word| line.find(word))
        .min()
    {
        let said = line.get(start..).unwrap_or_default().to_owned();
        *complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), said));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_child_is_recognised_whatever_its_name() {
        assert!(is_ended_child("12 (a) b (c)) Z 1 12 12 0", 1));
        assert!(!is_ended_child("12 (postgres) S 1 12 12 0", 1));
        assert!(!is_ended_child("12 (postgres) Z 7 12 12 0", 1));
    }

    #[test]
    fn the_last_complaint_is_kept() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"2025 UTC [1] LOG:  starting\n2025 UTC [1] FATAL:  could not write: No space left on device\nmore\n").unwrap();
        drop(writer);
        assert_eq!(
            Relay::start(reader).last_complaint(),
            "FATAL:  could not write: No space left on device"
        );
    }
}
