//! Files and keys of an installation, with a real PostgreSQL and object storage that others made: what goes into a backup comes back as it was.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use support::place::{PREFIX, Place, sha256};

const UPLOAD: &str = "instances/default/data/storage/c1/report.pdf";
const NOTES: &str = "instances/default/companies/c1/agents/a1/instructions/AGENTS.md";

/// What the server keeps, as it looks on disk: mode and content, or where a link leads.
fn picture(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let mode = metadata.permissions().mode() & 0o7777;
            let name = path.strip_prefix(root).unwrap().to_owned();
            let text = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                folders.push(path);
                format!("{mode:o} folder")
            } else {
                format!("{mode:o} {}", sha256(&fs::read(&path).unwrap()))
            };
            all.insert(name, text);
        }
    }
    all
}

fn write(root: &Path, path: &str, content: &[u8], mode: u32) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A place whose server keeps files.
async fn place() -> (Place, PathBuf) {
    let mut place = Place::new().await;
    let root = place.site.root.join("paperclip");
    // Larger than what is read at once, and not to be compressed.
    let mut large = Vec::new();
    fs::File::open("/dev/urandom")
        .unwrap()
        .take(3 << 20)
        .read_to_end(&mut large)
        .unwrap();
    write(&root, UPLOAD, &large, 0o640);
    write(&root, NOTES, "Be kind — 你好\n".as_bytes(), 0o600);
    write(
        &root,
        &format!("deep/{}/{}", "d".repeat(120), "f".repeat(120)),
        b"long",
        0o755,
    );
    write(
        &root,
        "instances/default/data/backups/1.sql.gz",
        b"dump",
        0o600,
    );
    write(
        &root,
        "instances/default/secrets/master.key",
        b"hunter2",
        0o600,
    );
    write(&root, ".npm/cache", b"again", 0o644);
    symlink("storage", root.join("instances/default/data/link")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::set_permissions(root.join("deep"), fs::Permissions::from_mode(0o750)).unwrap();
    place
        .site
        .set("PAPERCLIP_AGENT_FILES_DIR", root.to_str().unwrap());
    (place, root)
}

fn manifest(place: &Place, folder: &str) -> Value {
    let objects = place.service.objects();
    serde_json::from_slice(&objects[&format!("{PREFIX}/{folder}/manifest.json")]).unwrap()
}

/// The names in an archive, as `tar --zstd --list` would print them.
fn names(archive: &[u8]) -> Vec<String> {
    let decoder = zstd::Decoder::new(archive).unwrap();
    let mut archive = tar::Archive::new(decoder);
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect()
}

#[tokio::test]
async fn files_come_back_as_they_were_and_what_no_backup_holds_stays() {
    let (place, root) = place().await;
    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    assert_eq!(ended.result["facts"]["files"], 3);
    let folder = ended.folder();
    assert_eq!(manifest(&place, &folder)["files"]["count"], 3);
    let archive = &place.service.objects()[&format!("{PREFIX}/{folder}/files.tar.zst")];
    let names = names(archive);
    for left_out in ["master.key", ".npm", "backups"] {
        assert!(
            !names.iter().any(|name| name.contains(left_out)),
            "{names:?}"
        );
    }
    assert!(names.contains(&NOTES.to_owned()), "{names:?}");

    let before = picture(&root);
    fs::write(root.join(NOTES), "changed").unwrap();
    fs::remove_file(root.join(UPLOAD)).unwrap();
    write(&root, "newer/file", b"newer than the backup", 0o644);
    fs::remove_dir(root.join("empty")).unwrap();
    let ended = place.job("restore").end();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    place.nothing_is_told(&ended);
    assert_eq!(picture(&root), before);

    // A new volume gets them too.
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    assert_eq!(place.job("restore").end().code, 0, "{}", place.site.log());
    let left = |path: &PathBuf| {
        ![
            ".npm",
            "instances/default/data/backups",
            "instances/default/secrets",
        ]
        .iter()
        .any(|p| path.starts_with(p))
    };
    let wanted: BTreeMap<_, _> = before.into_iter().filter(|(path, _)| left(path)).collect();
    assert_eq!(picture(&root), wanted);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_no_file_that_is_left_out() {
    let (place, root) = place().await;
    let closed = root.join("closed");
    fs::create_dir(&closed).unwrap();
    place.site.give_away();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o0)).unwrap();
    let ended = place.backup();
    assert_eq!(
        ended.code(),
        (3, "FilesUnreadable", "files"),
        "{}",
        place.site.log()
    );
    assert!(ended.message().contains("/closed"), "{}", ended.message());
    place.nothing_is_left();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(place.backup().code, 0);
}

#[tokio::test]
async fn files_that_changed_in_the_bucket_change_nothing() {
    let (place, root) = place().await;
    let folder = place.backup().folder();
    place.sql("DELETE FROM companies WHERE id > 40").await;
    fs::write(root.join(NOTES), "mine").unwrap();
    let before = picture(&root);
    let name = format!("{PREFIX}/{folder}/files.tar.zst");
    let good = place.service.objects()[&name].clone();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    for (what, bytes) in [
        ("flipped", flipped),
        ("cut", good[..good.len() / 2].to_vec()),
        ("empty", vec![]),
    ] {
        place.service.overwrite(&name, &bytes);
        let ended = place.job("restore").end();
        assert_eq!(
            ended.code(),
            (3, "Corrupt", "files"),
            "{what}: {}",
            ended.message()
        );
        assert_eq!(
            place.number("SELECT count(*) FROM companies").await,
            40,
            "{what}"
        );
        assert_eq!(picture(&root), before, "{what}");
    }
    // A database that does not come leaves the files alone too.
    place.service.overwrite(&name, &good);
    place
        .service
        .overwrite(&format!("{PREFIX}/{folder}/database.dump"), b"PGDMP");
    assert_eq!(place.job("restore").end().code().1, "Corrupt");
    assert_eq!(picture(&root), before);
}

#[tokio::test]
async fn an_archive_that_leads_out_of_the_folder_is_refused() {
    let (place, root) = place().await;
    let folder = place.backup().folder();
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    let name = header.as_old_mut();
    name.name[..9].copy_from_slice(b"../../out");
    header.set_cksum();
    let mut archive = tar::Builder::new(zstd::Encoder::new(Vec::new(), 1).unwrap());
    archive.append(&header, &b"evil"[..]).unwrap();
    let bytes = archive.into_inner().unwrap().finish().unwrap();
    let manifest_name = format!("{PREFIX}/{folder}/manifest.json");
    let mut manifest = manifest(&place, &folder);
    let part = manifest["parts"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|p| p["name"] == "files.tar.zst")
        .unwrap();
    part["bytes"] = bytes.len().into();
    part["sha256"] = sha256(&bytes).into();
    place
        .service
        .overwrite(&manifest_name, manifest.to_string().as_bytes());
    place
        .service
        .overwrite(&format!("{PREFIX}/{folder}/files.tar.zst"), &bytes);
    let before = picture(&root);
    let ended = place.job("restore").end();
    assert_eq!(ended.code(), (3, "Corrupt", "files"), "{}", ended.message());
    assert_eq!(picture(&root), before);
    assert!(!root.join("../out").exists() && !root.join("../../out").exists());
}

#[tokio::test]
async fn keys_are_kept_sealed_and_handed_over_to_whoever_has_the_private_key() {
    let (mut place, root) = place().await;
    let identity = Identity::generate();
    let keys = place.site.root.join("app-keys");
    write(&keys, "master/master-key", b"k3y-of-the-master", 0o440);
    write(
        &keys,
        "app/PAPERCLIP_AGENT_JWT_SECRET",
        b"jwt-of-the-app",
        0o440,
    );
    let wanted = json!([
        {"role": "master", "metadata": {"name": "shop-secrets-master-key"}},
        {"role": "app", "metadata": {"name": "shop-app-keys"}},
    ]);
    place.site.set("PAPERCLIP_AGENT_KEYS", wanted.to_string());
    place
        .site
        .set("PAPERCLIP_AGENT_KEYS_DIR", keys.to_str().unwrap());
    let ended = place.backup();
    assert_eq!(
        ended.code(),
        (2, "InvalidValue", "input"),
        "keys in a backup that is not encrypted"
    );
    place.nothing_is_left();

    place.site.set(
        "PAPERCLIP_AGENT_AGE_RECIPIENTS",
        identity.to_public().to_string(),
    );
    place
        .sql("CREATE TABLE company_secret_versions (material jsonb); INSERT INTO company_secret_versions VALUES ('{\"scheme\": \"local_encrypted_v1\"}')")
        .await;
    place.site.set(
        "PAPERCLIP_AGENT_ABOUT",
        r#"{"instance":{"namespace":"prod","name":"my-paperclip"},"masterKey":"aaaaaaaaaaaa"}"#,
    );
    let ended = place.backup();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    let folder = ended.folder();
    let objects = place.service.objects();
    for name in ["database.dump.age", "files.tar.zst.age", "secrets.age"] {
        assert!(
            objects.contains_key(&format!("{PREFIX}/{folder}/{name}")),
            "{name}"
        );
    }
    for (name, bytes) in &objects {
        for key in ["k3y-of-the-master", "azN5LW9mLXRoZS1tYXN0ZXI"] {
            let found = bytes.windows(key.len()).any(|w| w == key.as_bytes());
            assert!(!found, "{key} in {name}");
        }
    }

    // An installation without keys gets them, and one with keys of its own does not.
    let file = place.site.root.join("identity");
    fs::write(&file, identity.to_string().expose_secret()).unwrap();
    place
        .site
        .set("PAPERCLIP_AGENT_AGE_IDENTITY_FILE", file.to_str().unwrap());
    place.site.set("PAPERCLIP_AGENT_RESTORE_KEYS", "true");
    fs::remove_dir_all(&root).unwrap();
    fs::create_dir(&root).unwrap();
    let ended = place.job("restore").end();
    assert_eq!(ended.code, 0, "{}", place.site.log());
    assert!(
        root.join("instances/default/secrets/master.key").exists(),
        "an encrypted backup has keys in files too"
    );
    let sealed = BASE64_STANDARD
        .decode(ended.result["facts"]["keys"].as_str().unwrap())
        .unwrap();
    let mut plain = Vec::new();
    age::Decryptor::new(&sealed[..])
        .unwrap()
        .decrypt(std::iter::once(&identity as &dyn age::Identity))
        .unwrap()
        .read_to_end(&mut plain)
        .unwrap();
    let plain: Value = serde_json::from_slice(&plain).unwrap();
    assert_eq!(
        plain["master"]["master-key"],
        BASE64_STANDARD.encode("k3y-of-the-master")
    );
    assert_eq!(
        plain["app"]["PAPERCLIP_AGENT_JWT_SECRET"],
        BASE64_STANDARD.encode("jwt-of-the-app")
    );
    assert!(!place.site.log().contains("k3y-of-the-master"));

    place.site.set("PAPERCLIP_AGENT_RESTORE_KEYS", "");
    place
        .site
        .set("PAPERCLIP_AGENT_MASTER_KEY_FINGERPRINT", "bbbbbbbbbbbb");
    let ended = place.job("restore").end();
    assert_eq!(ended.code(), (3, "KeyMissing", "storage"));
    assert!(ended.result["facts"]["keys"].is_null());
}

#[tokio::test]
async fn an_installation_without_keys_needs_some_for_what_is_encrypted() {
    let mut place = Place::new().await;
    place
        .sql("CREATE TABLE company_secret_versions (material jsonb); INSERT INTO company_secret_versions VALUES ('{\"scheme\": \"local_encrypted_v1\"}')")
        .await;
    place
        .site
        .set("PAPERCLIP_AGENT_ABOUT", r#"{"masterKey":"aaaaaaaaaaaa"}"#);
    assert_eq!(place.backup().code, 0);
    place.site.set("PAPERCLIP_AGENT_RESTORE_KEYS", "true");
    let ended = place.job("restore").end();
    assert_eq!(ended.code(), (3, "KeyMissing", "storage"));
    assert!(
        ended.message().contains("it is not in the backup"),
        "{}",
        ended.message()
    );
}
