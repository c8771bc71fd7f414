//! A place where the agent runs as in a container: process 1 of its own process namespace, an unprivileged user,
//! folders of its own. Needs PostgreSQL's programs and `unshare` and `setpriv` of util-linux; without them the tests fail.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)] // Shared by tests that each use a part of it.

pub mod bucket;
pub mod place;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio_postgres::{Client, NoTls};

/// `nobody`: a user that every system has a name for, which PostgreSQL insists on.
const USER: u32 = 65534;
pub const PASSWORD: &str = "s3cret/öne@";
pub const PATIENCE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Folder with PostgreSQL's programs.
pub fn postgres_programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("PAPERCLIP_TEST_PG_BIN") {
        let folder = PathBuf::from(folder);
        assert!(
            folder.join("initdb").is_file(),
            "PAPERCLIP_TEST_PG_BIN has no initdb: {}",
            folder.display()
        );
        return folder;
    }
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|folder| folder.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().expect("no PostgreSQL: install the package postgresql-15, or name a folder in PAPERCLIP_TEST_PG_BIN")
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder in memory if there is one of some size: a new database is written to disk with care, and that takes long.
fn fast_folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    let free = rustix::fs::statvfs(&memory).map_or(0, |volume| volume.f_bavail * volume.f_frsize);
    if free > 2 << 30 {
        memory
    } else {
        std::env::temp_dir()
    }
}

/// One database container's folders.
pub struct Site {
    pub root: PathBuf,
    pub port: u16,
    variables: BTreeMap<String, String>,
}

impl Site {
    pub fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        // Short: a socket's path has at most 107 bytes.
        let root = fast_folder().join(format!("pca-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir(&root).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let site = Self {
            root,
            port,
            variables: BTreeMap::new(),
        };
        for folder in ["volume", "socket", "credentials", "bin"] {
            fs::create_dir(site.root.join(folder)).unwrap();
        }
        fs::write(site.root.join("termination"), "").unwrap();
        site.write_password(PASSWORD.as_bytes());
        fs::write(site.root.join("credentials/username"), "paperclip").unwrap();
        // The build folder may be closed to others; and this is how the agent gets into a pod.
        let copied = Command::new(env!("CARGO_BIN_EXE_paperclip-agent"))
            .arg("copy")
            .arg(site.agent())
            .output()
            .unwrap();
        assert!(copied.status.success(), "{copied:?}");
        site.give_away();
        site
    }

    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    pub fn variable(&self, name: &str) -> String {
        self.variables.get(name).cloned().unwrap_or_default()
    }

    pub fn agent(&self) -> PathBuf {
        self.root.join("bin/paperclip-agent")
    }

    pub fn data(&self) -> PathBuf {
        self.root.join("volume/pgdata")
    }

    /// Replaces the password as the kubelet does it: at once.
    pub fn write_password(&self, password: &[u8]) {
        let temporary = self.root.join("credentials/.password");
        fs::write(&temporary, password).unwrap();
        fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).unwrap();
        fs::rename(temporary, self.root.join("credentials/password")).unwrap();
    }

    /// Everything belongs to the user that the agent runs as.
    pub fn give_away(&self) {
        if is_root() {
            give_away(&self.root);
        }
    }

    /// A command that runs as the container's user, as process 1 of a namespace.
    pub fn container(&self, program: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        if !is_root() {
            command.args(["--user", "--map-current-user"]);
        }
        command.args(["--pid", "--fork", "--mount-proc"]);
        if is_root() {
            let user = USER.to_string();
            command.args([
                "setpriv",
                "--reuid",
                &user,
                "--regid",
                &user,
                "--clear-groups",
                "--no-new-privs",
            ]);
        }
        command.args(program);
        self.environment(&mut command);
        command
    }

    fn environment(&self, command: &mut Command) {
        let own = self.root.join("bin");
        let programs = postgres_programs();
        let path = format!(
            "{}:{}:/usr/local/bin:/usr/bin:/bin",
            own.display(),
            programs.display()
        );
        command
            .env_clear()
            .env("PATH", path)
            .env("HOME", "/nonexistent");
        command.env("PGDATA", self.data());
        command.env(
            "PAPERCLIP_AGENT_CREDENTIALS_DIR",
            self.root.join("credentials"),
        );
        command.env("PAPERCLIP_AGENT_SOCKET_DIR", self.root.join("socket"));
        command.env("PAPERCLIP_AGENT_PORT", self.port.to_string());
        command.env("PAPERCLIP_AGENT_LISTEN_ADDRESSES", "127.0.0.1");
        command.env(
            "PAPERCLIP_AGENT_TERMINATION_LOG",
            self.root.join("termination"),
        );
        command.envs(&self.variables);
    }

    /// Starts the database container.
    pub fn start(&self) -> Container {
        self.start_as(&[self.agent().to_str().unwrap(), "postgres"])
    }

    /// Starts something in a container.
    pub fn start_as(&self, program: &[&str]) -> Container {
        fs::write(self.root.join("termination"), "").unwrap();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.root.join("log"))
            .unwrap();
        let mut command = self.container(program);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        Container {
            child: command.spawn().expect("unshare of util-linux"),
        }
    }

    /// Starts the database container, and waits until its probe succeeds.
    pub fn start_ready(&self) -> Container {
        let mut container = self.start();
        self.wait_ready(&mut container);
        container
    }

    pub fn wait_ready(&self, container: &mut Container) {
        let since = Instant::now();
        loop {
            let probe = self.probe();
            if probe.status.success() {
                return;
            }
            let ended = container.child.try_wait().unwrap();
            assert!(
                ended.is_none() && since.elapsed() < PATIENCE,
                "not ready: {probe:?}, {ended:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs the probe as the kubelet does.
    pub fn probe(&self) -> Output {
        let mut command = Command::new(self.agent());
        self.environment(&mut command);
        command.arg("probe").output().unwrap()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.root.join("log")).unwrap_or_default()
    }

    /// What the termination message says.
    pub fn result(&self) -> Value {
        let text = fs::read_to_string(self.root.join("termination")).unwrap();
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text:?}\n{}", self.log()))
    }

    /// A login over the network.
    pub async fn login(&self, user: &str, password: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(user)
            .password(password)
            .dbname("paperclip");
        open(&config).await
    }

    /// A login as the application.
    pub async fn application(&self) -> Client {
        self.login("paperclip", PASSWORD)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()))
    }

    /// A login over the socket, as root of this machine may do it.
    pub async fn local(&self, user: &str, database: &str) -> Result<Client, tokio_postgres::Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .host_path(self.root.join("socket"))
            .port(self.port)
            .user(user)
            .dbname(database);
        open(&config).await
    }

    /// Runs one of PostgreSQL's programs as the container's user.
    pub fn run(&self, program: &str, arguments: &[&str]) {
        let program = postgres_programs().join(program);
        let mut all = vec![program.to_str().unwrap()];
        all.extend(arguments);
        let output = self.container(&all).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Every file of the volume with its content, mode and time, to see whether anything was touched.
    pub fn picture(&self) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
        let mut picture = BTreeMap::new();
        let mut folders = vec![self.data()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let metadata = fs::symlink_metadata(&path).unwrap();
                let content = if metadata.is_file() {
                    fs::read(&path).unwrap()
                } else {
                    Vec::new()
                };
                if metadata.is_dir() {
                    folders.push(path.clone());
                }
                picture.insert(
                    path,
                    (
                        metadata.mode(),
                        metadata.mtime(),
                        metadata.mtime_nsec(),
                        content,
                    ),
                );
            }
        }
        picture
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.root);
        }
    }
}

async fn open(config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

fn give_away(path: &Path) {
    chown(path, Some(USER), Some(USER)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

/// A running container. Dropping it kills everything in it.
pub struct Container {
    child: Child,
}

impl Container {
    /// Number, on this machine, of the process that is 1 inside.
    pub fn main_process(&self) -> i32 {
        let parent = self.child.id();
        let since = Instant::now();
        loop {
            if let Some(pid) = processes()
                .into_iter()
                .find(|process| process.parent == parent)
            {
                return i32::try_from(pid.id).unwrap();
            }
            assert!(since.elapsed() < PATIENCE, "the container did not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.main_process()).unwrap(), signal).unwrap();
    }

    /// What a container runtime does when it must: nobody gets to say a word.
    pub fn kill(self) {
        drop(self);
    }

    pub fn wait(&mut self) -> ExitStatus {
        self.wait_within(PATIENCE)
    }

    pub fn wait_within(&mut self, patience: Duration) -> ExitStatus {
        let since = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(since.elapsed() < patience, "the container does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as the kubelet does, and says what it ended with.
    pub fn stop(mut self) -> i32 {
        self.signal(Signal::TERM);
        self.wait().code().unwrap()
    }

    /// Number, on this machine, of a backend whose number is known inside.
    pub fn outside(&self, inside: i32) -> i32 {
        let main = u32::try_from(self.main_process()).unwrap();
        let all = processes();
        let server = |id| {
            all.iter()
                .any(|process| process.id == id && process.parent == main)
        };
        let number_inside = |id| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let line = status.lines().find(|line| line.starts_with("NSpid:"));
            line.and_then(|line| line.split_whitespace().last()?.parse().ok())
        };
        let backend = all
            .iter()
            .find(|process| server(process.parent) && number_inside(process.id) == Some(inside));
        i32::try_from(backend.expect("no such backend").id).unwrap()
    }

    /// Processes of the container that ended and that nobody has collected.
    pub fn zombies(&self) -> usize {
        let main = u32::try_from(self.main_process()).unwrap();
        processes()
            .into_iter()
            .filter(|process| process.parent == main && process.state == "Z")
            .count()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            // With its process 1 the whole namespace ends. `unshare` ends because it waits for it.
            self.signal(Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

pub struct Process {
    pub id: u32,
    pub parent: u32,
    pub state: String,
}

/// All processes of this machine.
pub fn processes() -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let id = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
            Some(Process {
                id,
                state: fields.next()?.to_owned(),
                parent: fields.next()?.parse().ok()?,
            })
        })
        .collect()
}
