//! The conversation that makes an account and lets it claim the installation, as a browser leads it.

use std::time::Duration;

use http::HeaderValue;
use http_body_util::Full;
use hyper::header::{CONNECTION, CONTENT_TYPE, COOKIE, HOST, ORIGIN, SET_COOKIE};
use hyper::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bootstrap::admin::Admin;
use crate::result::{Exit, Reason, one_line};
use crate::server::http::{Answer, HttpError, send};

const WITHIN: Duration = Duration::from_secs(30);
/// Tries while the server says that there were too many.
const TRIES: u32 = 5;
/// Longest pause that the server may ask for.
const LONGEST_PAUSE: u64 = 30;

/// A signed-in session; its text is secret.
pub struct Session(HeaderValue);

/// Why the claim was not made.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The server gave no answer.
    #[error("{what}: {error}")]
    Http {
        /// What was asked for.
        what: &'static str,
        /// Why there is no answer.
        error: HttpError,
    },
    /// The server does not take e-mail, name or password.
    #[error("the server does not take this admin: {0}")]
    Refused(String),
    /// There is an account with this address, and the password is not its.
    #[error(
        "an account with this e-mail address exists, and its password is another one; name that password, or another address"
    )]
    OtherPassword,
    /// Somebody else has become the admin.
    #[error("somebody else has claimed this installation")]
    ClaimedByOthers,
    /// Anything else.
    #[error("{what}: HTTP {status} {words}")]
    Unexpected {
        /// What was asked for.
        what: &'static str,
        /// Status of the answer.
        status: u16,
        /// The server's words.
        words: String,
    },
}

impl Reason for ClaimError {
    fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::OtherPassword => "InvalidAdmin",
            Self::ClaimedByOthers => "ClaimedByOthers",
            Self::Http { .. } | Self::Unexpected { .. } => "ClaimFailed",
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Self::Refused(_) | Self::OtherPassword => Exit::WrongInput,
            Self::ClaimedByOthers => Exit::Refused,
            Self::Http { .. } | Self::Unexpected { .. } => Exit::Temporary,
        }
    }
}

/// Makes the account, or signs in if it is there already: an earlier try may have come so far.
pub async fn session(port: u16, admin: &Admin) -> Result<Session, ClaimError> {
    let (email, password) = (&admin.email, &admin.password);
    let account = json!({"name": admin.name, "email": email, "password": password});
    let answer = post(port, "sign-up", "/api/auth/sign-up/email", None, &account).await?;
    match answer.status {
        200 => return cookies("sign-up", &answer),
        422 if code(&answer).starts_with("USER_ALREADY_EXISTS") => {}
        400 | 422 => return Err(ClaimError::Refused(words(&answer))),
        _ => return Err(unexpected("sign-up", &answer)),
    }
    let login = json!({"email": email, "password": password});
    let answer = post(port, "sign-in", "/api/auth/sign-in/email", None, &login).await?;
    match answer.status {
        200 => cookies("sign-in", &answer),
        401 => Err(ClaimError::OtherPassword),
        _ => Err(unexpected("sign-in", &answer)),
    }
}

/// Makes the session's account the first admin.
pub async fn claim(port: u16, session: &Session) -> Result<(), ClaimError> {
    let answer = post(
        port,
        "claim",
        "/api/bootstrap/claim",
        Some(session),
        &json!({}),
    )
    .await?;
    match answer.status {
        200 => Ok(()),
        409 => Err(ClaimError::ClaimedByOthers),
        _ => Err(unexpected("claim", &answer)),
    }
}

async fn post(
    port: u16,
    what: &'static str,
    path: &str,
    session: Option<&Session>,
    body: &Value,
) -> Result<Answer, ClaimError> {
    let malformed = |error: http::Error| ClaimError::Http {
        what,
        error: HttpError::Malformed(error.to_string()),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        let host = format!("127.0.0.1:{port}");
        let mut request = Request::post(path)
            .header(HOST, &host)
            // A mutation wants an origin that the server trusts: its own.
            .header(ORIGIN, format!("http://{host}"))
            .header(CONTENT_TYPE, "application/json")
            .header(CONNECTION, "close");
        if let Some(Session(cookie)) = session {
            request = request.header(COOKIE, cookie);
        }
        let request = request
            .body(Full::from(body.to_string()))
            .map_err(malformed)?;
        let answer = send(port, request, WITHIN)
            .await
            .map_err(|error| ClaimError::Http { what, error })?;
        if answer.status != 429 || tries == TRIES {
            return Ok(answer);
        }
        sleep(pause(&answer.headers)).await;
    }
}

fn pause(headers: &HeaderMap) -> Duration {
    let asked = ["x-retry-after", "retry-after"]
        .into_iter()
        .find_map(|name| headers.get(name)?.to_str().ok()?.parse::<u64>().ok());
    Duration::from_secs(asked.unwrap_or(10).clamp(1, LONGEST_PAUSE))
}

/// The cookies of an answer, as they are sent back.
fn cookies(what: &'static str, answer: &Answer) -> Result<Session, ClaimError> {
    let pairs: Vec<&str> = answer
        .headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok()?.split(';').next())
        .map(str::trim)
        .collect();
    let joined = HeaderValue::from_str(&pairs.join("; ")).ok();
    match joined.filter(|_| !pairs.is_empty()) {
        Some(mut cookie) => {
            cookie.set_sensitive(true);
            Ok(Session(cookie))
        }
        None => Err(ClaimError::Unexpected {
            what,
            status: answer.status,
            words: "no session came with it".to_owned(),
        }),
    }
}

fn code(answer: &Answer) -> String {
    answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// The server's message; what else is in an answer may be a secret.
fn words(answer: &Answer) -> String {
    let said = answer.json();
    let text = [&said["message"], &said["error"]]
        .into_iter()
        .find_map(Value::as_str)
        .unwrap_or_default();
    one_line(text).chars().take(256).collect()
}

fn unexpected(what: &'static str, answer: &Answer) -> ClaimError {
    ClaimError::Unexpected {
        what,
        status: answer.status,
        words: words(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        Answer {
            status,
            headers: map,
            body: body.to_owned().into(),
        }
    }

    #[test]
    fn the_cookies_go_back_without_their_attributes() {
        let both = answer(
            200,
            &[
                ("set-cookie", "a=1; Path=/; HttpOnly"),
                ("set-cookie", "b=2"),
            ],
            "{}",
        );
        assert_eq!(cookies("sign-in", &both).unwrap().0, "a=1; b=2");
        assert!(cookies("sign-in", &answer(200, &[], "{}")).is_err());
    }

    #[test]
    fn the_server_says_how_long_to_wait_within_reason() {
        let asks = |text: &str| pause(&answer(429, &[("x-retry-after", text)], "").headers);
        assert_eq!(asks("7"), Duration::from_secs(7));
        assert_eq!(asks("86400"), Duration::from_secs(30));
        assert_eq!(asks("soon"), Duration::from_secs(10));
    }

    #[test]
    fn of_an_answer_only_the_message_is_told() {
        let said = answer(500, &[], r#"{"message":"no\nway","token":"hunter2"}"#);
        assert_eq!(
            unexpected("claim", &said).to_string(),
            "claim: HTTP 500 no way"
        );
    }
}
