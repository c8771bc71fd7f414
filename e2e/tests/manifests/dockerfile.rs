//! The image that a container engine builds from the `Dockerfile` is the image that the local builder packs: same files, same
//! configuration.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use paperclip_e2e::cache::{Cache, remove_tree};
use paperclip_e2e::harness::workspace;
use paperclip_e2e::images::oci;
use paperclip_e2e::images::operator::{self, Programs};
use serde_json::Value;

/// The instructions of the last stage.
fn last_stage() -> Result<Vec<String>> {
    let text = fs::read_to_string(workspace().join("Dockerfile"))?.replace("\\\n", " ");
    let lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    let start = lines
        .iter()
        .rposition(|line| line.starts_with("FROM "))
        .context("the Dockerfile has no stage")?;
    assert_eq!(lines[start], "FROM scratch");
    Ok(lines[start + 1..].to_vec())
}

/// The argument of the one instruction of this name.
fn instruction(stage: &[String], name: &str) -> Result<String> {
    let found: Vec<_> = stage
        .iter()
        .filter_map(|line| line.strip_prefix(&format!("{name} ")))
        .collect();
    match found[..] {
        [one] => Ok(one.to_owned()),
        _ => bail!("the last stage has {} instructions {name}", found.len()),
    }
}

/// The image, packed from programs that are only texts: the list of files does not depend on them.
async fn packed() -> Result<(PathBuf, Cache)> {
    let folder =
        std::env::temp_dir().join(format!("paperclip-e2e-dockerfile-{}", std::process::id()));
    remove_tree(&folder)?;
    let cache = Cache::at(&folder)?;
    let program = folder.join("program");
    fs::write(&program, "a program")?;
    let programs = Programs {
        operator: program.clone(),
        agent: program,
    };
    Ok((operator::build(&cache, &programs).await?, cache))
}

fn blob(image: &Path, descriptor: &Value) -> Result<PathBuf> {
    let digest = descriptor["digest"].as_str().context("no digest")?;
    Ok(oci::blobs(image).join(digest.trim_start_matches("sha256:")))
}

fn json(path: &Path) -> Result<Value> {
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[tokio::test]
async fn both_builders_make_the_same_image() -> Result<()> {
    let stage = last_stage()?;
    let copied: BTreeSet<String> = stage
        .iter()
        .filter_map(|line| line.strip_prefix("COPY --from=build "))
        .filter_map(|line| line.split_whitespace().last())
        .map(|path| path.trim_start_matches('/').to_owned())
        .collect();

    let (image, cache) = packed().await?;
    let index = json(&image.join("index.json"))?;
    let manifest = json(&blob(&image, &index["manifests"][0])?)?;
    let mut files = BTreeSet::new();
    for layer in manifest["layers"].as_array().context("no layers")? {
        let mut archive = tar::Archive::new(File::open(blob(&image, layer)?)?);
        for entry in archive.entries()? {
            let entry = entry?;
            if entry.header().entry_type().is_file() {
                files.insert(entry.path()?.to_string_lossy().into_owned());
            }
        }
    }
    assert_eq!(copied, files);

    let config = json(&blob(&image, &manifest["config"])?)?["config"].clone();
    let list = |text: String| serde_json::from_str::<Value>(&text).context("not the JSON form");
    assert_eq!(
        config["Entrypoint"],
        list(instruction(&stage, "ENTRYPOINT")?)?
    );
    assert_eq!(config["Cmd"], list(instruction(&stage, "CMD")?)?);
    assert_eq!(config["User"], instruction(&stage, "USER")?);
    assert_eq!(
        config["Env"],
        serde_json::json!([instruction(&stage, "ENV")?])
    );
    remove_tree(cache.root())
}

/// Copies what `.dockerignore` lets into the build: everything is left out but what a line with `!` names.
fn context(target: &Path) -> Result<()> {
    let rules = fs::read_to_string(workspace().join(".dockerignore"))?;
    assert_eq!(rules.lines().next(), Some("*"));
    for path in rules.lines().filter_map(|line| line.strip_prefix('!')) {
        copy(&workspace().join(path), &target.join(path))?;
    }
    Ok(())
}

fn copy(source: &Path, target: &Path) -> Result<()> {
    if source.is_dir() {
        fs::create_dir_all(target)?;
        for entry in fs::read_dir(source)? {
            let name = entry?.file_name();
            copy(&source.join(&name), &target.join(&name))?;
        }
        return Ok(());
    }
    fs::create_dir_all(target.parent().context("a file lies in a folder")?)?;
    fs::copy(source, target)
        .map(drop)
        .with_context(|| source.display().to_string())
}

#[test]
fn the_build_finds_all_it_needs_in_its_context() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("paperclip-e2e-context-{}", std::process::id()));
    remove_tree(&folder)?;
    context(&folder)?;
    // Reads the manifests of all members, and looks for the targets that they name.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = std::process::Command::new(cargo)
        .args(["metadata", "--offline", "--no-deps", "--format-version=1"])
        .current_dir(&folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    remove_tree(&folder)
}

#[test]
fn the_account_in_the_image_is_the_one_that_the_chart_runs_it_as() -> Result<()> {
    let stage = last_stage()?;
    let user = instruction(&stage, "USER")?;
    let text = fs::read_to_string(workspace().join("deploy/install.yaml"))?;
    let all = paperclip_e2e::manifests::documents(&text)?;
    let deployment = all
        .iter()
        .find(|object| object["kind"] == "Deployment")
        .context("no Deployment")?;
    let context = &deployment["spec"]["template"]["spec"]["securityContext"];
    assert_eq!(
        user,
        format!("{}:{}", context["runAsUser"], context["runAsGroup"])
    );
    Ok(())
}
