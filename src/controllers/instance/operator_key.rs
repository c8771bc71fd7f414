//! The operator's own key for the server's API, for an Instance whose first admin it has made: asked of a server that runs, with the admin's
//! password, as soon as figures are wanted. It is kept in a Secret, like the data that know it, and made once for the same data. Must never
//! show it, leave one behind that nobody has, or ask again and again with a password that is not the right one.

use super::app_figures::address;
use super::build::{self, secrets};
use super::found::Data;
use super::gates;
use super::keys::Keys;
use super::memory::Remembered;
use super::observed::Observed;
use super::restore::Restores;
use super::server_api::{Said, send};
use super::validate::Validated;
use super::validate::admin::Admin;
use super::validate::monitoring::OperatorKey;
use super::{Controller, Pass, connections};
use crate::crd::SecretText;
use crate::shared::backoff::pause;
use crate::shared::events::Severity;
use crate::shared::names::{ANNOTATION_APPLIED_HASH, manager};
use crate::shared::wish::Kind;
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderName, HeaderValue, ORIGIN};
use hyper::{Method, Request};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Key of the Secret.
pub const TOKEN_KEY: &str = "token";
/// How a key of the application begins.
pub const PREFIX: &str = "pcp_board_";
/// The first pause after a failure, and the longest.
const PAUSES: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];
/// How long a server is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is remembered of the making.
#[derive(Clone, Copy, Debug, Default)]
pub struct Making {
    /// It is there.
    made: bool,
    failures: u32,
    next: Option<Instant>,
}

impl Making {
    fn failed(&mut self) {
        let [first, longest] = PAUSES;
        self.next = Some(Instant::now() + pause(first, longest, self.failures));
        self.failures += 1;
    }
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
enum KeyError {
    #[error("Secret \"{0}\" with the admin's password is not there")]
    NoPassword(String),
    #[error(
        "Secret \"{0}\" is somebody else's, or holds no key; remove it, or name it in spec.auth.operatorTokenSecretRef"
    )]
    Foreign(String),
    #[error("{0}")]
    Api(#[from] crate::shared::api::ApiError),
    #[error("{what}: {why}")]
    Server { what: &'static str, why: String },
}

impl Controller {
    /// Makes it if it is wanted and can be made now. Never fails a pass: figures are all that is missing without it.
    pub(super) async fn make_operator_key(
        &self,
        pass: &Pass<'_>,
        v: &Validated<'_>,
        looked: bool,
        remembered: &mut Remembered,
        keys: &mut Keys,
    ) {
        let name = v.id.names.operator_token();
        let (OperatorKey::Made, Some(admin)) = (&v.monitoring.key, &v.admin) else {
            return;
        };
        let status = pass.instance.status.as_ref();
        let is_there = remembered.operator_key.made || connections::is_known(status, &name);
        let too_soon = remembered
            .operator_key
            .next
            .is_some_and(|at| at > Instant::now());
        if (!is_there || looked) && !too_soon {
            let observed = self.observe(pass);
            if gates::is_bootstrapped(v, status, &observed) {
                let restored = Restores::of(pass.instance, &observed);
                let data = gates::data(&observed);
                let of = build::migration::hash(TOKEN_KEY, data, restored.data(status));
                match self.key(v, admin, &observed, of).await {
                    Ok(made) => {
                        remembered.operator_key = Making {
                            made,
                            ..Making::default()
                        };
                    }
                    Err(error) => self.key_failed(pass, &error, remembered),
                }
            }
        }
        if (is_there || remembered.operator_key.made)
            && let Some(names) = &mut keys.names
        {
            names.insert(name);
        }
    }

    fn key_failed(&self, pass: &Pass<'_>, error: &KeyError, remembered: &mut Remembered) {
        let making = &mut remembered.operator_key;
        let first = making.failures == 0;
        making.failed();
        let text = format!(
            "the operator has no key for the server, whose runs, queue and cost are not exported: {error}"
        );
        if first {
            self.announce(pass.seen, Severity::Warning, "ApiAccessMissing", &text);
        }
        tracing::warn!(instance = %pass.seen.key, %error, "no key for the server");
    }

    /// True if it is there now; false if nobody can be asked for it.
    async fn key(
        &self,
        v: &Validated<'_>,
        admin: &Admin<'_>,
        observed: &Observed,
        of: String,
    ) -> Result<bool, KeyError> {
        let (api, kind) = (&self.context.api, Kind::of::<Secret>());
        let (namespace, name) = (v.id.namespace, v.id.names.operator_token());
        let live = api.get(&kind, namespace, &name).await?;
        if let Some(live) = &live {
            let ours = &live["metadata"]["annotations"][ANNOTATION_APPLIED_HASH];
            if *ours == *of {
                return Ok(true);
            }
            if ours.is_null() {
                return Err(KeyError::Foreign(name));
            }
        }
        let pod = observed
            .serving()
            .find_map(|p| address(&p.view, v.network.listen));
        let Some(server) = pod else {
            return Ok(false);
        };
        let password = api.get(&kind, namespace, &admin.password.name).await?;
        let password = password
            .as_ref()
            .map(Data::of_secret)
            .and_then(|data| data.text(&admin.password.key).map(str::to_owned))
            .map(SecretText::from)
            .ok_or_else(|| KeyError::NoPassword(admin.password.name.clone().into_owned()))?;
        let session = Session::open(server, admin.email, &password).await?;
        let (id, token) = session
            .make_key(&format!("operator of {namespace}/{}", v.id.name))
            .await?;
        let body = secrets::operator_token(&v.id, &of, &token);
        let stored = match &live {
            None => api.create(&kind, namespace, manager::INSTANCE, &body).await,
            Some(live) => {
                // It is for other data: those of before a restore, or of another database.
                let mut patch = body.clone();
                patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
                patch["metadata"]["uid"] = live["metadata"]["uid"].clone();
                api.merge_patch(&kind, namespace, &name, manager::INSTANCE, &patch)
                    .await
            }
        };
        if let Err(error) = stored {
            session.revoke(&id).await;
            session.close().await;
            // Somebody was faster, and has stored another one.
            return if error.is_conflict() {
                Ok(false)
            } else {
                Err(error.into())
            };
        }
        session.close().await;
        tracing::info!(instance = %v.id.name, namespace, "made a key for the server");
        Ok(true)
    }
}

/// The admin, signed in.
struct Session {
    server: SocketAddr,
    cookies: HeaderValue,
}

impl Session {
    async fn open(
        server: SocketAddr,
        email: &str,
        password: &SecretText,
    ) -> Result<Self, KeyError> {
        let what = "sign-in";
        let login = json!({"email": email, "password": password.reveal()});
        let said = ask(
            server,
            what,
            Method::POST,
            "/api/auth/sign-in/email",
            None,
            Some(&login),
        )
        .await?;
        if said.status.as_u16() != 200 {
            return Err(refused(what, &said));
        }
        let cookies: Vec<&str> = said
            .headers
            .get_all("set-cookie")
            .iter()
            .filter_map(|c| c.to_str().ok()?.split(';').next())
            .collect();
        let mut cookies =
            HeaderValue::from_str(&cookies.join("; ")).map_err(|_| KeyError::Server {
                what,
                why: "a session that is no text".to_owned(),
            })?;
        cookies.set_sensitive(true);
        Ok(Self { server, cookies })
    }

    /// Its id and the key.
    async fn make_key(&self, name: &str) -> Result<(String, SecretText), KeyError> {
        let what = "making a key";
        // It stays for as long as the data that know it.
        let wanted = json!({"name": name, "expiresAt": null});
        let said = self
            .ask(what, Method::POST, "/api/board-api-keys", Some(&wanted))
            .await?;
        let text = |field: &str| said.body[field].as_str().unwrap_or_default().to_owned();
        let token = text("token");
        if said.status.as_u16() != 201 || !token.starts_with(PREFIX) {
            return Err(refused(what, &said));
        }
        Ok((text("id"), SecretText::from(token)))
    }

    async fn revoke(&self, id: &str) {
        let path = format!("/api/board-api-keys/{id}");
        if let Err(error) = self
            .ask("revoking a key", Method::DELETE, &path, None)
            .await
        {
            tracing::warn!(%error, "a key for the server is left behind");
        }
    }

    async fn close(&self) {
        let nothing = json!({});
        if let Err(error) = self
            .ask(
                "sign-out",
                Method::POST,
                "/api/auth/sign-out",
                Some(&nothing),
            )
            .await
        {
            tracing::debug!(%error, "the session ends by itself");
        }
    }

    async fn ask(
        &self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Said, KeyError> {
        ask(self.server, what, method, path, Some(&self.cookies), body).await
    }
}

async fn ask(
    server: SocketAddr,
    what: &'static str,
    method: Method,
    path: &str,
    cookies: Option<&HeaderValue>,
    body: Option<&Value>,
) -> Result<Said, KeyError> {
    let failed = |why: String| KeyError::Server { what, why };
    let mut request = Request::builder().method(method).uri(path);
    // A mutation wants an origin that the server trusts: its own.
    let origin = format!("http://localhost:{}", server.port());
    let headers: [(HeaderName, &str); 2] = [(ORIGIN, &origin), (CONTENT_TYPE, "application/json")];
    for (name, value) in headers {
        request = request.header(name, value);
    }
    if let Some(cookies) = cookies {
        request = request.header(COOKIE, cookies);
    }
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = request
        .body(body.into())
        .map_err(|e| failed(e.to_string()))?;
    send(server, request, PATIENCE).await.map_err(failed)
}

/// The server's words for a refusal. An answer that was expected to hold a key is not shown.
fn refused(what: &'static str, said: &Said) -> KeyError {
    let words = said.body["message"]
        .as_str()
        .or(said.body["error"].as_str());
    let words = crate::shared::conditions::quote(words.unwrap_or("no words"));
    KeyError::Server {
        what,
        why: format!("HTTP {}: \"{words}\"", said.status.as_u16()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::server_api::tests::{http, served};
    use super::*;

    #[tokio::test]
    async fn an_admin_who_signs_in_gets_a_key_that_never_expires() {
        let server = served(|asked| {
            let signed_in = asked.to_lowercase().contains("cookie: s=1\r\n");
            let path = asked.split(' ').nth(1).unwrap_or_default();
            match path {
                "/api/auth/sign-in/email" if asked.contains(r#""password":"right""#) => {
                    "HTTP/1.1 200 OK\r\nset-cookie: s=1; Path=/; HttpOnly\r\ncontent-length: 2\r\n\r\n{}".to_owned()
                }
                "/api/auth/sign-in/email" => http("401 Unauthorized", r#"{"message":"Invalid email or password"}"#),
                "/api/board-api-keys" if signed_in && asked.contains(r#""expiresAt":null"#) => {
                    http("201 Created", r#"{"id":"k1","token":"pcp_board_abc"}"#)
                }
                _ => http("403 Forbidden", r#"{"error":"no"}"#),
            }
        })
        .await;
        let right = SecretText::from("right".to_owned());
        let session = Session::open(server, "a@b", &right).await.unwrap();
        let (id, token) = session.make_key("operator").await.unwrap();
        assert_eq!((&*id, token.reveal()), ("k1", "pcp_board_abc"));

        let wrong = SecretText::from("hunter2".to_owned());
        let error = Session::open(server, "a@b", &wrong)
            .await
            .err()
            .unwrap()
            .to_string();
        assert_eq!(error, "sign-in: HTTP 401: \"Invalid email or password\"");
    }

    #[test]
    fn pauses_grow_up_to_an_hour() {
        let mut making = Making::default();
        let mut pauses = vec![];
        for _ in 0..8 {
            making.failed();
            let pause = making.next.unwrap() - Instant::now();
            pauses.push((pause.as_secs_f64() / 60.0).round());
        }
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    }
}
