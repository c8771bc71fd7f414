//! What is asked of this machine: root, programs, packages, and running a command to its end. Every command has a time limit, and
//! what it printed is part of the error, so that a failed set-up explains itself. Never removes or upgrades what is installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;
use tokio::time::timeout;

/// Tells the person in front of the terminal what is going on. Goes to stderr: stdout is for results.
#[allow(clippy::print_stderr)]
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// Namespaces, mounts and containers need root.
pub fn require_root() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "the local cluster needs root: it makes network and mount namespaces (run as root, or under sudo)"
    );
    Ok(())
}

/// Looks a program up on `PATH`, and in the folders for administrators, which are not on everybody's `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// A Debian package, and the file whose presence shows that it is installed.
#[derive(Debug, Clone, Copy)]
pub struct Package {
    /// Name for `apt-get install`.
    pub name: &'static str,
    /// A program's name, or an absolute path.
    pub provides: &'static str,
}

impl Package {
    fn is_installed(self) -> bool {
        if self.provides.starts_with('/') {
            Path::new(self.provides).exists()
        } else {
            find_program(self.provides).is_some()
        }
    }
}

/// Installs those packages that are missing, with `apt-get`.
pub async fn ensure_packages(wanted: &[Package]) -> Result<()> {
    let missing: Vec<_> = wanted
        .iter()
        .filter(|package| !package.is_installed())
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    ensure!(
        find_program("apt-get").is_some(),
        "these programs are missing, and there is no apt-get to install them: {}",
        missing.join(", ")
    );
    require_root()?;
    say(&format!("installing {}", missing.join(" ")));
    run(apt().args(["update", "-qq"]), Duration::from_secs(300)).await?;
    run(
        apt()
            .args(["install", "-y", "-qq", "--no-install-recommends"])
            .args(&missing),
        Duration::from_secs(900),
    )
    .await?;
    for package in wanted {
        ensure!(
            package.is_installed(),
            "the package {} is installed, but {} is not there",
            package.name,
            package.provides
        );
    }
    Ok(())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args([
        "-o",
        "DPkg::Lock::Timeout=300",
        "-o",
        "Acquire::Retries=5",
    ]);
    command
}

/// Runs a command to its end and gives what it wrote to stdout. A command that fails, or takes too long, is an error that holds
/// the end of what it wrote to stderr.
pub async fn run(command: &mut Command, limit: Duration) -> Result<String> {
    run_with_input(command, None, limit).await
}

/// As [`run`], with a text for the command's stdin.
pub async fn run_with_input(
    command: &mut Command,
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<String> {
    let shown = describe(command);
    let output = output_with_input(command, input, limit).await?;
    if !output.status.success() {
        bail!(
            "`{shown}` ended with {}: {}",
            output.status,
            tail(&output.stderr, &output.stdout)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As [`run_with_input`], for callers that look at the exit status themselves.
pub async fn output_with_input(
    command: &mut Command,
    input: Option<&[u8]>,
    limit: Duration,
) -> Result<std::process::Output> {
    use tokio::io::AsyncWriteExt as _;

    let shown = describe(command);
    command.stdin(if input.is_some() {
        Stdio::piped()
    } else {
        Stdio::null()
    });
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stdin = child.stdin.take();
    let work = async {
        let feed = async {
            if let (Some(mut stdin), Some(input)) = (stdin, input) {
                // A program that does not read its input to the end says why itself.
                let _ = stdin.write_all(input).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), feed);
        output
    };
    let output = timeout(limit, work).await;
    output
        .with_context(|| format!("`{shown}` took more than {} s", limit.as_secs()))?
        .with_context(|| format!("cannot run `{shown}`"))
}

/// A command as text for messages: program and arguments, never its environment.
pub fn describe(command: &Command) -> String {
    let command = command.as_std();
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
        if text.len() > 300 {
            text.push('…');
            break;
        }
    }
    text
}

fn tail(stderr: &[u8], stdout: &[u8]) -> String {
    let text = if stderr.iter().all(u8::is_ascii_whitespace) {
        stdout
    } else {
        stderr
    };
    last_lines(&String::from_utf8_lossy(text), 15)
}

/// The last lines of a text, for error messages.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_command_says_what_it_wrote() -> Result<()> {
        let result = run(
            Command::new("sh").args(["-c", "echo no such thing >&2; exit 3"]),
            Duration::from_secs(10),
        )
        .await;
        let message = format!("{:#}", result.err().context("must fail")?);
        assert!(
            message.contains("no such thing") && message.contains('3'),
            "{message}"
        );
        Ok(())
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_an_error() -> Result<()> {
        let result = run(Command::new("sleep").arg("60"), Duration::from_millis(50)).await;
        assert!(format!("{:#}", result.err().context("must fail")?).contains("took more than"));
        Ok(())
    }

    #[tokio::test]
    async fn input_reaches_the_command() -> Result<()> {
        assert_eq!(
            run_with_input(
                &mut Command::new("cat"),
                Some(b"text"),
                Duration::from_secs(10)
            )
            .await?,
            "text"
        );
        Ok(())
    }
}
