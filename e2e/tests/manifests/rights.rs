//! The operator's rights, as `deploy/rbac.yaml` grants them. Needs no cluster and no Helm.

use std::fs;

use anyhow::Result;
use paperclip_e2e::harness::workspace;
use paperclip_e2e::manifests::rights;

#[test]
fn nothing_is_granted_that_must_never_be_and_each_right_says_what_it_is_for() -> Result<()> {
    let text = fs::read_to_string(workspace().join("deploy/rbac.yaml"))?;
    assert!(rights::rules(&text)?.len() > 10, "the rules were not read");
    assert_eq!(rights::problems(&text)?, Vec::<String>::new());
    Ok(())
}

#[test]
fn the_documentation_lists_each_right_with_its_reason() -> Result<()> {
    let text = fs::read_to_string(workspace().join("deploy/rbac.yaml"))?;
    let page = fs::read_to_string(workspace().join("docs/rbac.md"))?;
    assert!(
        page.contains(&rights::table(&text)?),
        "docs/rbac.md differs from deploy/rbac.yaml"
    );
    Ok(())
}
