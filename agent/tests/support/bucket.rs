//! Object storage of somebody else's making, and a proxy in front of it that spoils what a test wants spoiled.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::PATIENCE;

pub const KEY_ID: &str = "test-key-id";
pub const SECRET: &str = "test-secret-that-is-long";
pub const BUCKET: &str = "backups";

/// Folder with the programs of object storage, built from their published modules.
pub fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("PAPERCLIP_TEST_S3_BIN") {
        return folder.into();
    }
    let cache = std::env::var_os("PAPERCLIP_OPERATOR_CACHE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap()).join(".cache/paperclip-operator"),
        PathBuf::from,
    );
    let mut found: Vec<PathBuf> = fs::read_dir(cache.join("bin"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("versitygw").is_file())
        .collect();
    found.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    found.pop().expect(
        "no object storage: `make prepare` builds it, or name a folder in PAPERCLIP_TEST_S3_BIN",
    )
}

/// A running service. Dropping it ends it.
pub struct Service {
    child: Child,
    pub port: u16,
    folder: PathBuf,
}

impl Service {
    /// Versity's gateway, which keeps each object as a file. It checks signatures.
    pub fn versity(root: &Path) -> Self {
        let folder = root.join("buckets");
        fs::create_dir_all(folder.join(BUCKET)).unwrap();
        Self::start("versitygw", folder.clone(), |command, port| {
            command
                .args(["--access", KEY_ID, "--secret", SECRET, "--quiet", "--port"])
                .arg(format!("127.0.0.1:{port}"))
                .arg("posix")
                .arg(&folder);
        })
    }

    /// Another maker's, which keeps objects in memory.
    pub fn gofakes3(root: &Path) -> Self {
        Self::start("gofakes3", root.to_owned(), |command, port| {
            command
                .args([
                    "-backend",
                    "memory",
                    "-initialbucket",
                    BUCKET,
                    "-quiet",
                    "-host",
                ])
                .arg(format!("127.0.0.1:{port}"));
        })
    }

    fn start(program: &str, folder: PathBuf, arguments: impl FnOnce(&mut Command, u16)) -> Self {
        let port = free_port();
        let mut command = Command::new(programs().join(program));
        arguments(&mut command, port);
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let service = Self {
            child: command.spawn().unwrap(),
            port,
            folder,
        };
        let since = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(since.elapsed() < PATIENCE, "{program} does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        service
    }

    /// Every object of the bucket with its content.
    pub fn objects(&self) -> BTreeMap<String, Vec<u8>> {
        let bucket = self.folder.join(BUCKET);
        let mut found = BTreeMap::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&bucket).unwrap().to_str().unwrap();
                // What the service keeps for itself; parts of unfinished uploads are told by `unfinished`.
                if name.starts_with(".sgwtmp") {
                    continue;
                }
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.insert(name.to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        found
    }

    /// What is in the bucket becomes something else, as by a broken disk.
    pub fn overwrite(&self, name: &str, content: &[u8]) {
        let path = self.folder.join(BUCKET).join(name);
        assert!(path.is_file(), "{name}");
        fs::write(path, content).unwrap();
    }

    /// Somebody else puts an object there. Only a service that asks for no signature takes it.
    pub fn put(&self, name: &str, content: &[u8]) {
        let mut service = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = content.len();
        write!(
            service,
            "PUT /{BUCKET}/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )
        .unwrap();
        service.write_all(content).unwrap();
        let mut answer = String::new();
        service.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Parts of uploads that were neither finished nor given up.
    pub fn unfinished(&self) -> usize {
        fn files(folder: &Path) -> usize {
            let entries = fs::read_dir(folder).into_iter().flatten().flatten();
            entries
                .map(|entry| {
                    let path = entry.path();
                    if path.is_dir() { files(&path) } else { 1 }
                })
                .sum()
        }
        files(&self.folder.join(BUCKET).join(".sgwtmp"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Nothing.
    Pass,
    /// The service says that it is overloaded.
    Overloaded,
    /// The connection ends after so many bytes of the request's body.
    CutAfter(usize),
    /// The last byte of the answer's body is another one.
    FlipLastByte,
    /// The answer's body ends early.
    Truncate,
    /// The last byte of the request's body is another one.
    FlipSentByte,
    /// No answer until the test lets it go.
    Hold,
    /// Half of the answer, and the rest when the test lets it go.
    Stall,
}

type Rule = Box<dyn FnMut(&str, &str) -> Fate + Send>;

/// A proxy in front of a service, one thread per connection and one connection per request.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

struct State {
    rule: Mutex<Rule>,
    seen: Mutex<Vec<String>>,
    held: Mutex<usize>,
    open: Mutex<bool>,
}

impl Proxy {
    /// `rule` is asked with method and target of each request.
    pub fn start(service: u16, rule: impl FnMut(&str, &str) -> Fate + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            rule: Mutex::new(Box::new(rule)),
            seen: Mutex::default(),
            held: Mutex::default(),
            open: Mutex::new(false),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || {
                    let _ = serve(client, service, &state);
                });
            }
        });
        Self { port, state }
    }

    /// Method and target of every request so far.
    pub fn seen(&self) -> Vec<String> {
        self.state.seen.lock().unwrap().clone()
    }

    /// How many requests are held.
    pub fn held(&self) -> usize {
        *self.state.held.lock().unwrap()
    }

    /// Lets held requests go.
    pub fn let_go(&self) {
        *self.state.open.lock().unwrap() = true;
    }
}

fn serve(mut client: TcpStream, service: u16, state: &State) -> std::io::Result<()> {
    let head = read_head(&mut client)?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut words = text.split_whitespace();
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    state
        .seen
        .lock()
        .unwrap()
        .push(format!("{method} {target}"));
    let fate = (state.rule.lock().unwrap())(method, target);
    let length = header(&text, "content-length").unwrap_or(0);
    if let Fate::CutAfter(bytes) = fate {
        let mut some = vec![0; bytes.min(length)];
        client.read_exact(&mut some)?;
        return client.shutdown(Shutdown::Both);
    }
    let mut body = vec![0; length];
    client.read_exact(&mut body)?;
    match fate {
        Fate::Overloaded => {
            let xml = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
            write!(
                client,
                "HTTP/1.1 503 Slow Down\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{xml}",
                xml.len()
            )?;
            return Ok(());
        }
        Fate::Hold => {
            *state.held.lock().unwrap() += 1;
            while !*state.open.lock().unwrap() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Fate::FlipSentByte => {
            if let Some(last) = body.last_mut() {
                *last ^= 1;
            }
        }
        _ => {}
    }
    let mut upstream = TcpStream::connect(("127.0.0.1", service))?;
    // The service's own words are passed on as they are, but for the end of the connection.
    let head = text.trim_end().to_owned() + "\r\nconnection: close\r\n\r\n";
    upstream.write_all(head.as_bytes())?;
    upstream.write_all(&body)?;
    let head = read_head(&mut upstream)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    match fate {
        Fate::FlipLastByte => {
            if let Some(last) = answer.last_mut() {
                *last ^= 1;
            }
        }
        Fate::Truncate => answer.truncate(answer.len() / 2),
        _ => {}
    }
    client.write_all(&head)?;
    if fate == Fate::Stall {
        let rest = answer.split_off(answer.len() / 2);
        client.write_all(&answer)?;
        *state.held.lock().unwrap() += 1;
        while !*state.open.lock().unwrap() {
            std::thread::sleep(Duration::from_millis(10));
        }
        answer = rest;
    }
    client.write_all(&answer)
}

fn read_head(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(head)
}

fn header(head: &str, name: &str) -> Option<usize> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.eq_ignore_ascii_case(name)).then(|| value.trim().parse().ok())?
    })
}
