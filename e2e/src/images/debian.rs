//! A small Debian system in a folder, made by `debootstrap` from the distribution's signed packages. What an image does not need
//! (documentation, package lists) is left out.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::cache::{Cache, remove_tree};
use crate::system::{Package, ensure_packages, run};

/// The release: the one with PostgreSQL 17, which the official images are made from too.
pub const SUITE: &str = "trixie";

/// Makes the system in `folder`, with these packages and what they need.
pub async fn system(cache: &Cache, folder: &Path, packages: &[&str]) -> Result<()> {
    ensure_packages(&[Package {
        name: "debootstrap",
        provides: "debootstrap",
    }])
    .await?;
    let downloads = cache.path("debian", SUITE);
    fs::create_dir_all(&downloads)?;
    // In a mount namespace of its own: whatever it mounts is gone when it ends, even when it fails.
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--",
        "debootstrap",
        "--variant=minbase",
    ]);
    command.arg(format!("--cache-dir={}", downloads.display()));
    if !packages.is_empty() {
        command.arg(format!("--include={}", packages.join(",")));
    }
    command.arg(SUITE).arg(folder);
    if let Err(error) = run(&mut command, Duration::from_secs(1200)).await {
        let log =
            fs::read_to_string(folder.join("debootstrap/debootstrap.log")).unwrap_or_default();
        return Err(error.context(crate::system::last_lines(&log, 20)));
    }
    trim(folder)
}

/// Runs a program of the system inside it.
pub async fn run_inside(folder: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("chroot");
    command
        .arg(folder)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C");
    run(&mut command, Duration::from_secs(300)).await.map(drop)
}

fn trim(folder: &Path) -> Result<()> {
    for unneeded in [
        "usr/share/doc",
        "usr/share/man",
        "usr/share/info",
        "usr/share/locale",
        "usr/share/lintian",
        "var/cache",
        "var/log",
        "var/lib/apt/lists",
    ] {
        remove_tree(&folder.join(unneeded))?;
    }
    // Programs expect these to exist.
    for expected in [
        "var/cache/apt/archives/partial",
        "var/log",
        "var/lib/apt/lists/partial",
    ] {
        fs::create_dir_all(folder.join(expected))?;
    }
    Ok(())
}

/// Replaces, or adds, the line of an account in a file like `/etc/passwd`.
pub fn set_account(file: &Path, line: &str) -> Result<()> {
    let name = line.split(':').next().unwrap_or_default();
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let others = text
        .lines()
        .filter(|other| other.split(':').next() != Some(name));
    let lines: Vec<_> = others.chain([line]).collect();
    Ok(fs::write(file, lines.join("\n") + "\n")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_replaced_or_added() -> Result<()> {
        let file =
            std::env::temp_dir().join(format!("paperclip-e2e-passwd-{}", std::process::id()));
        fs::write(
            &file,
            "root:x:0:0:root:/root:/bin/sh\npostgres:x:100:102::/var:/bin/sh\n",
        )?;
        set_account(&file, "postgres:x:70:70::/var:/bin/sh")?;
        set_account(&file, "node:x:1000:1000::/home/node:/bin/sh")?;
        let expected = "root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70::/var:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n";
        assert_eq!(fs::read_to_string(&file)?, expected);
        Ok(fs::remove_file(&file)?)
    }
}
