//! Every manifest that the documentation shows is one that the API server accepts, without a warning.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use paperclip_e2e::harness::{Cluster, workspace};

/// A block of YAML in a page.
#[derive(Debug)]
struct Block {
    place: String,
    text: String,
}

fn pages() -> Result<Vec<PathBuf>> {
    let mut pages = vec![workspace().join("README.md")];
    for entry in fs::read_dir(workspace().join("docs"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(pages)
}

/// The blocks between ```` ```yaml ```` and ```` ``` ````.
fn blocks(page: &str, place: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut open {
            None if line.trim_end() == "```yaml" => {
                open = Some(Block {
                    place: format!("{place}:{}", number + 2),
                    text: String::new(),
                });
            }
            None => {}
            Some(_) if line.trim_end() == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
        }
    }
    match open {
        Some(block) => bail!("{}: the block does not end", block.place),
        None => Ok(blocks),
    }
}

#[test]
fn blocks_are_found_with_their_place() -> Result<()> {
    let found = blocks(
        "a\n```yaml\nb: 1\n```\n```sh\nc\n```\n```yaml\nd: 2\n```\n",
        "page",
    )?;
    let places: Vec<_> = found
        .iter()
        .map(|block| (block.place.as_str(), block.text.as_str()))
        .collect();
    assert_eq!(places, [("page:3", "b: 1\n"), ("page:9", "d: 2\n")]);
    assert!(blocks("```yaml\na: 1\n", "page").is_err());
    Ok(())
}

#[tokio::test]
async fn what_the_documentation_shows_is_accepted() -> Result<()> {
    let cluster = Cluster::api().await?;
    cluster.install_definitions().await?;
    let namespace = cluster.namespace("readme").await?;
    let mut tried = 0;
    let mut refused = Vec::new();
    for page in pages()? {
        let name = page
            .file_name()
            .context("a page without a name")?
            .to_string_lossy()
            .into_owned();
        for block in blocks(&fs::read_to_string(&page)?, &name)? {
            if !block.text.contains("apiVersion: paperclip.inc") {
                continue;
            }
            tried += 1;
            // `create`, because a block may leave the name to the server. Strict: an unknown field is an error.
            let output = cluster
                .kubectl_output(
                    &[
                        "create",
                        "-n",
                        &namespace.name,
                        "--dry-run=server",
                        "--validate=strict",
                        "-f",
                        "-",
                    ],
                    Some(&block.text),
                )
                .await?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if !output.status.success() || said.contains("Warning") {
                refused.push(format!("{}: {said}", block.place));
            }
        }
    }
    ensure!(tried > 0, "the documentation shows no manifest");
    ensure!(refused.is_empty(), "{}", refused.join("\n"));
    Ok(())
}
