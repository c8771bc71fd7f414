//! The server's API as a person with a key uses it: companies, secrets, agents, files.

use anyhow::{Context as _, Result, ensure};
use http::Request;
use http_body_util::Full;
use paperclip_e2e::harness::{Answer, wait_for};
use serde_json::{Value, json};

use crate::installation::{Installation, MINUTE, NAME};

/// A key of the API that stands in the database.
pub struct Board(String);

impl Board {
    /// Signs in, and has a key made.
    pub async fn new(installed: &Installation<'_>, password: &str) -> Result<Self> {
        let login = json!({"email": "ada@example.com", "password": password});
        let answer = installed
            .request("POST", "/api/auth/sign-in/email", Some(login))
            .await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text());
        let cookies: Vec<&str> = answer
            .headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|value| value.to_str().ok()?.split(';').next())
            .collect();
        let request = Request::post("/api/board-api-keys")
            .header("Cookie", cookies.join("; "))
            .header("Origin", "http://localhost:3100");
        let made = send(installed, request, Some(json!({"name": "test"}))).await?;
        let text = made.text();
        let key = text
            .split(['"', ' '])
            .find(|word| word.starts_with("pcp_board_"));
        Ok(Self(key.context(text.clone())?.to_owned()))
    }

    pub async fn ask(
        &self,
        installed: &Installation<'_>,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Authorization", format!("Bearer {}", self.0));
        let answer = send(installed, request, body).await?;
        ensure!(
            answer.status.is_success(),
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    pub async fn companies(&self, installed: &Installation<'_>) -> Result<Vec<String>> {
        let all = self.ask(installed, "GET", "/api/companies", None).await?;
        let names = all.as_array().into_iter().flatten();
        let mut names: Vec<String> = names
            .filter_map(|company| Some(company["name"].as_str()?.to_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// An agent that prints a stored secret when it runs.
    pub async fn reader(
        &self,
        installed: &Installation<'_>,
        company: &str,
        secret: &str,
    ) -> Result<String> {
        let agent = json!({"name": "reader", "adapterType": "process", "adapterConfig": {
            "command": "printenv", "args": ["OLD_SECRET"],
            "env": {"OLD_SECRET": {"type": "secret_ref", "secretId": secret, "version": "latest"}}}});
        let path = format!("/api/companies/{company}/agents");
        let agent = self.ask(installed, "POST", &path, Some(agent)).await?;
        Ok(agent["id"].as_str().context("no agent")?.to_owned())
    }

    /// What a run of an agent gets to see of a stored secret.
    pub async fn secret_in_a_run(
        &self,
        installed: &Installation<'_>,
        company: &str,
        secret: &str,
    ) -> Result<String> {
        let id = self.reader(installed, company, secret).await?;
        self.run(installed, &id).await
    }

    /// What a run of this agent prints.
    pub async fn run(&self, installed: &Installation<'_>, id: &str) -> Result<String> {
        let path = format!("/api/agents/{id}/heartbeat/invoke");
        let run = self.ask(installed, "POST", &path, Some(json!({}))).await?;
        let id = run["id"].as_str().context(run.to_string())?.to_owned();
        let path = format!("/api/heartbeat-runs/{id}");
        let ended = wait_for("the run to end", MINUTE, async || {
            let run = self.ask(installed, "GET", &path, None).await?;
            let ended = ["succeeded", "failed", "cancelled", "timed_out"];
            let status = run["status"].as_str().unwrap_or_default();
            Ok(ended.contains(&status).then_some(run))
        })
        .await?;
        ensure!(ended["status"] == "succeeded", "{ended}");
        Ok(ended["resultJson"]["stdout"]
            .as_str()
            .unwrap_or_default()
            .trim()
            .to_owned())
    }

    /// Uploads a picture to a company; the path of its content.
    pub async fn upload(
        &self,
        installed: &Installation<'_>,
        company: &str,
        picture: &[u8],
    ) -> Result<String> {
        let mut form = b"--end\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n".to_vec();
        form.extend(picture);
        form.extend(b"\r\n--end--\r\n");
        let request = Request::post(format!("/api/companies/{company}/assets/images"))
            .header("Authorization", format!("Bearer {}", self.0))
            .header("Host", "localhost:3100")
            .header("Content-Type", "multipart/form-data; boundary=end")
            .body(Full::from(form))?;
        let answer = installed.cluster.http(&service(installed), request).await?;
        ensure!(answer.status == 201, "{} {}", answer.status, answer.text());
        let path = answer.json()?["contentPath"].as_str().map(str::to_owned);
        path.context(answer.text())
    }

    /// What is behind a path.
    pub async fn content(&self, installed: &Installation<'_>, path: &str) -> Result<Vec<u8>> {
        let request = Request::get(path)
            .header("Authorization", format!("Bearer {}", self.0))
            .header("Host", "localhost:3100")
            .body(Full::default())?;
        let answer = installed.cluster.http(&service(installed), request).await?;
        ensure!(
            answer.status == 200,
            "{path}: {} {}",
            answer.status,
            answer.text()
        );
        Ok(answer.body.to_vec())
    }
}

fn service(installed: &Installation<'_>) -> String {
    format!("{NAME}.{}.svc.cluster.local:3100", installed.namespace.name)
}

async fn send(
    installed: &Installation<'_>,
    request: http::request::Builder,
    body: Option<Value>,
) -> Result<Answer> {
    let request = request
        .header("Host", "localhost:3100")
        .header("Content-Type", "application/json");
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    installed
        .cluster
        .http(&service(installed), request.body(Full::from(body))?)
        .await
}
