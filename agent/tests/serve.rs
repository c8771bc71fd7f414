//! The server's container, with a small program that does what the application's server does where it matters here: it
//! listens on loopback, says how it is, ends on SIGTERM, and takes the next port if its own is taken.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Container, PATIENCE, Site};

/// `END`: exit code after SIGTERM. `LEAVES`: leaves a child behind that ends at once. `STARTS`: milliseconds before it
/// listens. It says whether it may schedule.
const SERVER: &str = r#"
const { createServer } = require('http');
const { spawn } = require('child_process');
const env = process.env;
const port = Number(env.PORT);
const server = createServer((request, response) => {
  if (request.url === '/api/health' && request.headers.host === 'localhost') {
    response.end(JSON.stringify({ status: 'ok', scheduler: env.HEARTBEAT_SCHEDULER_ENABLED }));
  } else if (request.url === '/echo') {
    request.pipe(response);
  } else {
    response.statusCode = 403;
    response.end('{"error":"host"}');
  }
});
let wanted = port;
server.on('error', () => server.listen(++wanted, '127.0.0.1'));
process.on('SIGTERM', () => { console.log('got SIGTERM'); process.exit(Number(env.END || 0)); });
process.on('SIGHUP', () => console.log('got SIGHUP'));
if (env.LEAVES) spawn('sh', ['-c', 'sleep 0.1 & exec true'], { detached: true });
setTimeout(() => server.listen(port, '127.0.0.1', () => console.log('listens')), Number(env.STARTS || 0));
"#;

/// Another address of this machine than the server's.
const POD: &str = "127.0.0.2";

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

struct Pod {
    site: Site,
    port: u16,
    /// Where the agent says who schedules.
    status: u16,
}

impl Pod {
    fn new() -> Self {
        let mut site = Site::new();
        let program = site.root.join("server.cjs");
        fs::write(&program, SERVER).unwrap();
        let port = free_port();
        site.set("PORT", port.to_string());
        site.set(
            "PAPERCLIP_AGENT_SERVER_ARGV",
            format!(r#"["node", "{}"]"#, program.display()),
        );
        Self {
            site,
            port,
            status: 0,
        }
    }

    fn start(&self) -> Container {
        self.site.give_away();
        let forward = format!("--forward={POD}:{}", self.port);
        let agent = self.site.agent();
        self.site
            .start_as(&[agent.to_str().unwrap(), "serve", &forward])
    }

    /// Everything that comes back for a request to the pod's address.
    fn ask(&self, request: &str) -> Option<String> {
        let mut stream = TcpStream::connect((POD, self.port)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        (!text.is_empty()).then_some(text)
    }

    fn health(&self) -> Option<String> {
        self.ask("GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    }

    fn until(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let since = Instant::now();
        while !holds() {
            assert!(since.elapsed() < PATIENCE, "{what}\n{}", self.site.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn until_open(&self) {
        self.until("the way to the server does not open", || {
            self.health().is_some()
        });
    }
}

#[test]
fn a_server_on_loopback_is_reached_through_the_pods_address() {
    let mut pod = Pod::new();
    pod.site.set("STARTS", "1500");
    let container = pod.start();
    // Closed while the server is not there: a probe is refused, and nobody takes its port away.
    std::thread::sleep(Duration::from_millis(700));
    assert!(TcpStream::connect((POD, pod.port)).is_err());
    pod.until_open();
    let health = pod.health().unwrap();
    assert!(health.starts_with("HTTP/1.1 200"), "{health}");

    // What is sent comes back whole, also when one side has said all.
    let body = "x".repeat(300_000);
    let request = format!(
        "POST /echo HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let echo = pod.ask(&request).unwrap();
    assert_eq!(echo.matches('x').count(), body.len());
    assert_eq!(container.stop(), 0);
    assert_eq!(pod.site.result()["outcome"], "done");
}

#[test]
fn signals_go_to_the_server_and_its_exit_code_is_ours() {
    let mut pod = Pod::new();
    pod.site.set("END", "7");
    let mut container = pod.start();
    pod.until_open();
    container.signal(Signal::HUP);
    pod.until("no SIGHUP", || pod.site.log().contains("got SIGHUP"));
    container.signal(Signal::TERM);
    assert_eq!(container.wait().code(), Some(7));
    assert!(pod.site.log().contains("got SIGTERM"));
    let result = pod.site.result();
    assert_eq!(
        (result["code"].as_str(), result["message"].as_str()),
        (
            Some("ServerFailed"),
            Some("the server ended with exit code 7")
        )
    );
}

#[test]
fn what_the_server_leaves_behind_is_collected() {
    let mut pod = Pod::new();
    pod.site.set("LEAVES", "1");
    let container = pod.start();
    pod.until_open();
    pod.until("zombies stay", || container.zombies() == 0);
    // It has been there: an orphan of the server belongs to process 1.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(container.zombies(), 0);
    assert_eq!(container.stop(), 0);
}

#[test]
fn a_port_that_somebody_else_has_is_not_forwarded() {
    let mut pod = Pod::new();
    let stranger = TcpListener::bind(("127.0.0.1", pod.port)).unwrap();
    let answers = std::thread::spawn(move || {
        for stream in stranger.incoming().take(3) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
        }
    });
    pod.site.set("END", "0");
    let mut container = pod.start();
    assert_eq!(container.wait().code(), Some(3), "{}", pod.site.log());
    assert_eq!(pod.site.result()["code"], "WrongPortOwner");
    assert!(
        pod.site.log().contains("got SIGTERM"),
        "the server is ended too"
    );
    answers.join().unwrap();
}

#[test]
fn an_image_without_a_server_is_told() {
    let mut pod = Pod::new();
    pod.site.set("PAPERCLIP_AGENT_SERVER_ARGV", "");
    let mut container = pod.start();
    assert_eq!(container.wait().code(), Some(2));
    assert_eq!(pod.site.result()["code"], "ServerNotFound");

    pod.site
        .set("PAPERCLIP_AGENT_SERVER_ARGV", r#"["no-such-program"]"#);
    let mut container = pod.start();
    assert_eq!(container.wait().code(), Some(2));
    assert_eq!(pod.site.result()["code"], "ServerNotFound");
}

/// Pods of one installation: they share a database, and each has its server.
struct Fleet {
    database: Pod,
    _postgres: Container,
}

impl Fleet {
    fn new() -> Self {
        let mut database = Pod::new();
        let postgres = database.site.start_ready();
        let url = format!(
            "postgres://paperclip:s3cret%2F%C3%B6ne%40@127.0.0.1:{}/paperclip?sslmode=disable",
            database.site.port
        );
        database.site.set("DATABASE_URL", url);
        Self {
            database,
            _postgres: postgres,
        }
    }

    /// A pod of this name, started with these flags.
    fn start(&self, name: &str, flags: &[&str]) -> (Pod, Container) {
        let mut pod = Pod::new();
        let url = self.database.site.variable("DATABASE_URL");
        pod.site.set("DATABASE_URL", url);
        pod.site.set("PAPERCLIP_AGENT_POD", name);
        let status = free_port();
        pod.site
            .set("PAPERCLIP_AGENT_STATUS_PORT", status.to_string());
        pod.status = status;
        pod.site.give_away();
        let agent = pod.site.agent();
        let forward = format!("--forward={POD}:{}", pod.port);
        let mut command = vec![agent.to_str().unwrap(), "serve", &forward];
        command.extend(flags);
        let container = pod.site.start_as(&command);
        (pod, container)
    }
}

impl Pod {
    /// What the server was told, and what the agent says of it.
    fn schedules(&self) -> Option<bool> {
        let health = self.health()?;
        let server = health.contains(r#""scheduler":"true""#);
        let mut stream = TcpStream::connect(("127.0.0.1", self.status)).ok()?;
        stream
            .write_all(b"GET /status HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        let agent = said.contains(r#"{"scheduler":true}"#);
        (server == agent).then_some(server)
    }
}

#[test]
fn of_many_pods_one_schedules_and_another_takes_over_when_it_is_gone() {
    let fleet = Fleet::new();
    let (first, holder) = fleet.start("clip-a", &["--gate=hold"]);
    first.until("the first does not schedule", || {
        first.schedules() == Some(true)
    });
    let (second, other) = fleet.start("clip-b", &["--gate=hold"]);
    second.until("the second does not serve", || {
        second.schedules() == Some(false)
    });
    assert_eq!(first.schedules(), Some(true));

    // Killed: it has no time to say a word.
    holder.kill();
    second.until("nobody takes over", || second.schedules() == Some(true));
    assert!(second.site.log().contains("got SIGTERM"), "started again");
    assert_eq!(other.stop(), 0);
}

#[test]
fn of_a_stateful_set_only_the_first_pod_asks() {
    let fleet = Fleet::new();
    let (second, other) = fleet.start("clip-1", &["--gate=ordinal"]);
    second.until("the second does not serve", || {
        second.schedules() == Some(false)
    });
    // Nobody holds the right, and still it does not take it.
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(second.schedules(), Some(false));
    let (first, holder) = fleet.start("clip-0", &["--gate=ordinal"]);
    first.until("the first does not schedule", || {
        first.schedules() == Some(true)
    });
    // Another kind of workload beside it waits for the right.
    let (third, beside) = fleet.start("clip-x", &["--gate=hold"]);
    third.until("the third does not serve", || {
        third.schedules() == Some(false)
    });
    for container in [other, holder, beside] {
        assert_eq!(container.stop(), 0);
    }
}
