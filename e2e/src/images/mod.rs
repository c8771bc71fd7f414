//! The images of the local cluster, built without a container engine: layers are written as archives, from folders that Debian's
//! and npm's own tools fill. Each is kept in the cache under a hash of its recipe. Never pulled from a registry.

pub mod debian;
pub mod layer;
pub mod oci;
pub mod operator;
pub mod pause;
pub mod postgres;
pub mod server;
pub mod store;

use std::path::PathBuf;

use anyhow::Result;

use crate::cache::{self, Cache};
use crate::system::say;

/// The image that holds a pod's namespaces.
pub const PAUSE: &str = "localhost/pause:1";

/// Raised when `layer`, `oci` or `debian` write something else than before, so that images are built again.
const FORMAT: &str = "1";

/// Builds the images that every node of ours has, as far as they are not in the cache, and gives their folders.
pub async fn base(cache: &Cache) -> Result<Vec<PathBuf>> {
    // A change of an image's recipe changes its key.
    let key = |parts: &[&str]| cache::key([FORMAT].iter().chain(parts));
    let pause_name = format!("pause-{}", key(&[pause::SOURCE, include_str!("pause.rs")]));
    let pause = cache
        .entry("images", &pause_name, async |image| {
            pause::build(image).await
        })
        .await?;
    let postgres_name = format!("postgres-{}", key(&[include_str!("postgres.rs")]));
    let make_postgres = async |image: &std::path::Path| {
        say("building the image of PostgreSQL (only once)");
        postgres::build(cache, image).await
    };
    let postgres = cache.entry("images", &postgres_name, make_postgres).await?;
    let server_name = format!(
        "server-{}",
        key(&[include_str!("server.rs"), server::MANIFEST, server::LOCK])
    );
    let make_server = async |image: &std::path::Path| {
        say("building the image of the Paperclip server (only once)");
        server::build(cache, image).await
    };
    let server = cache.entry("images", &server_name, make_server).await?;
    Ok(vec![pause, postgres, server])
}

/// A containerd store that holds the base images, unpacked.
pub async fn store(cache: &Cache) -> Result<PathBuf> {
    let images = base(cache).await?;
    store::filled(cache, &images).await
}
