//! The manifests of `deploy/`, rendered from the charts by Helm, so that both ways to install are one. Also what of the
//! documentation is made of them. Never edits what it does not generate.

mod documents;
mod helm;
pub mod rights;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

pub use documents::documents;
pub use helm::Helm;

/// Namespace that the manifests install into.
pub const NAMESPACE: &str = "paperclip-system";
/// Name of the release, and so of the objects.
pub const RELEASE: &str = "paperclip-operator";

const HEADER: &str = "# Rendered from charts/; see e2e/tests/manifests/charts.rs.\n";
const BEGIN: &str = "<!-- rights: made of deploy/rbac.yaml -->";
const END: &str = "<!-- end of rights -->";

/// A file that is made, and what it must hold.
#[derive(Debug)]
pub struct Generated {
    /// Path from the root of the tree.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

/// What is made of the charts. Their [`definitions`] must be up to date.
pub async fn rendered(root: &Path, helm: &Helm) -> Result<Vec<Generated>> {
    let rbac = rbac(helm).await?;
    let page = fs::read_to_string(root.join("docs/rbac.md")).context("docs/rbac.md")?;
    let page = replace_between(&page, &rights::table(&rbac)?)?;
    let generated = |path: &str, text: String| Generated {
        path: path.into(),
        text,
    };
    Ok(vec![
        generated("deploy/rbac.yaml", rbac),
        generated("deploy/install.yaml", install(helm).await?),
        generated("docs/rbac.md", page),
    ])
}

/// The definitions of `deploy/crds`, for the chart that installs them. A definition that is gone is an error here, so that nobody
/// forgets it in the chart.
pub fn definitions(root: &Path) -> Result<Vec<Generated>> {
    let (source, target) = (
        root.join("deploy/crds"),
        Path::new("charts/paperclip-operator-crds/crd-manifests"),
    );
    let names = |folder: &Path| -> Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| folder.display().to_string())?,
        };
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<Vec<_>>>()?;
        names.retain(|name| {
            Path::new(name)
                .extension()
                .is_some_and(|extension| extension == "yaml")
        });
        names.sort();
        Ok(names)
    };
    let wanted = names(&source)?;
    ensure!(!wanted.is_empty(), "deploy/crds holds no definitions");
    if let Some(old) = names(&root.join(target))?
        .iter()
        .find(|name| !wanted.contains(name))
    {
        bail!(
            "{} has no counterpart in deploy/crds: remove it",
            target.join(old).display()
        );
    }
    wanted
        .iter()
        .map(|name| {
            Ok(Generated {
                path: target.join(name),
                text: fs::read_to_string(source.join(name))?,
            })
        })
        .collect()
}

/// Account and rights alone: for those who run the operator in their own way.
async fn rbac(helm: &Helm) -> Result<String> {
    let rendered = helm
        .template(&[
            "--show-only",
            "templates/serviceaccount.yaml",
            "--show-only",
            "templates/rbac.yaml",
        ])
        .await?;
    Ok(format!("{HEADER}{}", without_helm(&rendered)))
}

/// All that `kubectl apply` needs.
async fn install(helm: &Helm) -> Result<String> {
    // Only Helm reads the annotation that keeps definitions.
    let rendered = helm.template(&["--set", "crds.keep=false"]).await?;
    let namespace = format!(
        "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: {NAMESPACE}\n  labels:\n    \
         app.kubernetes.io/name: paperclip-operator\n    pod-security.kubernetes.io/enforce: restricted\n"
    );
    Ok(format!("{HEADER}{namespace}{}", without_helm(&rendered)))
}

/// Takes out what is true only of objects that Helm manages.
fn without_helm(rendered: &str) -> String {
    let ours = |line: &&str| {
        let text = line.trim_start();
        !line.starts_with("# Source: ")
            && !text.starts_with("helm.sh/chart: ")
            && text != "app.kubernetes.io/managed-by: Helm"
    };
    let mut text = String::with_capacity(rendered.len());
    for line in rendered.lines().filter(ours) {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn replace_between(page: &str, table: &str) -> Result<String> {
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("docs/rbac.md lacks {BEGIN}"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("docs/rbac.md lacks {END}"))?;
    Ok(format!("{before}{BEGIN}\n\n{table}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_helm_manages_is_taken_out_and_nothing_else() {
        let rendered = "---\n# Source: a/b.yaml\nmetadata:\n  labels:\n    helm.sh/chart: x-1\n    a: b\n    app.kubernetes.io/managed-by: Helm\n# why\n";
        assert_eq!(
            without_helm(rendered),
            "---\nmetadata:\n  labels:\n    a: b\n# why\n"
        );
    }

    #[test]
    fn a_page_keeps_what_stands_around_the_table() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replace_between(&page, "| new |\n").unwrap();
        assert_eq!(new, format!("before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n"));
        assert!(replace_between("no markers", "").is_err());
    }
}
