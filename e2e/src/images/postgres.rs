//! PostgreSQL 17 from Debian's packages, under the name and with the outside of the official alpine image, as far as the operator
//! and its agent rely on it: user `postgres` with uid and gid 70, programs in `/usr/local/bin`, the contributed extensions,
//! `PGDATA`. It has no entrypoint script: the agent is the container's main process.

use std::fs;
use std::os::unix::fs::{chown, symlink};
use std::path::Path;

use anyhow::{Context as _, Result};

use super::debian;
use super::layer::{LayerBuilder, Owner};
use super::oci::{self, Config};
use crate::cache::{Cache, remove_tree};

/// The names under which the image is known.
pub const NAMES: [&str; 2] = [
    "docker.io/library/postgres:17-alpine",
    "docker.io/library/postgres:17",
];

/// uid and gid of `postgres` in the official alpine image.
const USER: u32 = 70;

/// Builds the image in the folder `image`.
pub async fn build(cache: &Cache, image: &Path) -> Result<()> {
    let system = image.join("system");
    debian::system(cache, &system, &["postgresql-17", "locales"]).await?;
    debian::run_inside(
        &system,
        &["localedef", "-i", "en_US", "-f", "UTF-8", "en_US.UTF-8"],
    )
    .await?;
    arrange(&system)?;
    let layer = {
        let mut layer = LayerBuilder::create(&oci::blobs(image))?;
        layer.folder(&system, Path::new(""), Owner::Kept)?;
        layer.finish()?
    };
    remove_tree(&system)?;
    let config = Config {
        command: vec!["postgres"],
        environment: [
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=en_US.utf8",
            "PG_MAJOR=17",
            "PGDATA=/var/lib/postgresql/data",
        ]
        .map(str::to_owned)
        .to_vec(),
        ports: vec!["5432/tcp"],
        ..Config::default()
    };
    oci::write(image, &NAMES, &[layer], &config)
}

fn arrange(system: &Path) -> Result<()> {
    debian::set_account(
        &system.join("etc/passwd"),
        "postgres:x:70:70:PostgreSQL administrator:/var/lib/postgresql:/bin/sh",
    )?;
    debian::set_account(&system.join("etc/group"), "postgres:x:70:")?;

    // Debian's own cluster and its wrappers, which would shadow the real programs.
    for unneeded in [
        "etc/postgresql",
        "etc/postgresql-common",
        "var/lib/postgresql",
        "run/postgresql",
        "usr/share/i18n",
        "usr/share/perl",
        "usr/share/postgresql-common",
    ] {
        remove_tree(&system.join(unneeded))?;
    }
    for (folder, mode) in [
        ("var/lib/postgresql", 0o755),
        ("var/lib/postgresql/data", 0o1777),
        ("run/postgresql", 0o3777),
    ] {
        let path = system.join(folder);
        fs::create_dir_all(&path)?;
        chown(&path, Some(USER), Some(USER))?;
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    }
    for program in fs::read_dir(system.join("usr/lib/postgresql/17/bin"))
        .context("PostgreSQL 17 is not in the packages")?
    {
        let name = program?.file_name();
        let target = Path::new("/usr/lib/postgresql/17/bin").join(&name);
        symlink(target, system.join("usr/local/bin").join(&name))?;
    }
    Ok(())
}
