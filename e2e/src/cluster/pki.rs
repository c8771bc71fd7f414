//! The cluster's certificates and kubeconfigs, new at each start. Keys stay in the run folder; nothing outside this machine trusts them.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use serde_json::json;

use super::network::{NODE_ADDRESS, SERVICE_API};

/// Who gets a client certificate: file name, user, group.
const CLIENTS: [(&str, &str, Option<&str>); 5] = [
    ("admin", "admin", Some("system:masters")),
    ("controller-manager", "system:kube-controller-manager", None),
    ("scheduler", "system:kube-scheduler", None),
    ("node", "system:node:n1", Some("system:nodes")),
    (
        "kubelet-client",
        "apiserver-kubelet-client",
        Some("system:masters"),
    ),
];

/// Makes all of it in `folder`; kubeconfigs lead to `server`.
pub fn create(folder: &Path, server: &str) -> Result<()> {
    fs::create_dir_all(folder)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "paperclip-local-cluster");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write(folder, "ca.crt", &certificate.pem())?;
    write(folder, "ca.key", &key.serialize_pem())?;
    let authority = Issuer::new(params, key);

    serving(folder, &authority)?;
    for (file, user, group) in CLIENTS {
        client(folder, &authority, file, user, group)?;
        write(
            folder,
            &format!("{file}.kubeconfig"),
            &kubeconfig(folder, file, server)?,
        )?;
    }
    let accounts = KeyPair::generate()?;
    write(folder, "service-accounts.key", &accounts.serialize_pem())?;
    write(folder, "service-accounts.pub", &accounts.public_key_pem())
}

/// A kubeconfig for one of the clients, leading to another address.
pub fn kubeconfig(folder: &Path, client: &str, server: &str) -> Result<String> {
    let read =
        |name: String| fs::read(folder.join(&name)).with_context(|| format!("cannot read {name}"));
    let data = |bytes: Vec<u8>| k8s_openapi::ByteString(bytes);
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "local", "cluster": {
            "server": server,
            "certificate-authority-data": data(read("ca.crt".to_owned())?),
        }}],
        "users": [{"name": client, "user": {
            "client-certificate-data": data(read(format!("{client}.crt"))?),
            "client-key-data": data(read(format!("{client}.key"))?),
        }}],
        "contexts": [{"name": "paperclip-local", "context": {"cluster": "local", "user": client}}],
        "current-context": "paperclip-local",
    });
    Ok(serde_json::to_string_pretty(&config)?) // JSON is YAML
}

fn serving(folder: &Path, authority: &Issuer<'_, KeyPair>) -> Result<()> {
    let names = [
        "localhost",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    ];
    let mut params = CertificateParams::new(names.map(str::to_owned))?;
    for address in ["127.0.0.1", NODE_ADDRESS, SERVICE_API] {
        params
            .subject_alt_names
            .push(SanType::IpAddress(address.parse::<IpAddr>()?));
    }
    params
        .distinguished_name
        .push(DnType::CommonName, "kube-apiserver");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    sign(folder, authority, "apiserver", params)
}

fn client(
    folder: &Path,
    authority: &Issuer<'_, KeyPair>,
    file: &str,
    user: &str,
    group: Option<&str>,
) -> Result<()> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, user);
    if let Some(group) = group {
        params
            .distinguished_name
            .push(DnType::OrganizationName, group);
    }
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    sign(folder, authority, file, params)
}

fn sign(
    folder: &Path,
    authority: &Issuer<'_, KeyPair>,
    file: &str,
    mut params: CertificateParams,
) -> Result<()> {
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, authority)?;
    write(folder, &format!("{file}.crt"), &certificate.pem())?;
    write(folder, &format!("{file}.key"), &key.serialize_pem())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    write_private(&folder.join(name), text)
}

/// Writes a file that only its owner can read.
pub fn write_private(file: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let opened = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file);
    opened
        .and_then(|mut open| open.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", file.display()))
}
