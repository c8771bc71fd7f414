//! What a database of somebody else answered, and what that means for people. Pure.

use crate::shared::conditions::quote;
use crate::shared::said::Said;
use crate::shared::views::JobState;

/// Reason of what can only be seen from the server's own pod.
pub const NOT_CHECKED: &str = "NotChecked";

/// What is known of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was not asked yet.
    Pending,
    /// As the status says it.
    Remembered,
    /// Only the server's own pod can ask it.
    WithinPod,
    /// Its certificate is signed by an authority that perhaps the server's pod knows: the agent's words.
    UnknownAuthority(String),
    /// The Job could not ask: why.
    Unasked(String),
    /// The application can live in it.
    Good(Figures),
    /// It cannot.
    Bad {
        /// PascalCase.
        reason: &'static str,
        /// For people, with what to do.
        message: String,
        /// It does not pass by itself.
        lasting: bool,
    },
}

/// What a database told of itself. Of a Job that only ended well, as on a cluster where nothing runs, nothing is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// As the server reports it.
    pub version: Option<String>,
    /// Size in bytes.
    pub bytes: Option<i64>,
    /// `off`, `opportunistic`, `unverified` or `verified`.
    pub encryption: Option<String>,
    /// A pooler in transaction mode is in between.
    pub pooled: Option<bool>,
}

impl Figures {
    /// Major version.
    pub fn major(&self) -> Option<i32> {
        let digits = self.version.as_deref()?.split('.').next()?;
        digits.parse().ok()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = match &self.version {
            Some(version) => format!("PostgreSQL {version} answers"),
            None => "the database answers".to_owned(),
        };
        match self.encryption.as_deref() {
            Some("off") => text += "; not encrypted, the URL has no sslmode",
            Some("opportunistic") => text += "; encrypted if the server can, whoever it is",
            Some("unverified") => text += "; encrypted, whoever the server is",
            Some("verified") => text += "; encrypted, and the server's certificate is verified",
            _ => {}
        }
        if self.pooled == Some(true) {
            text += "; a pooler in transaction mode is in between, so the server prepares no statements";
        }
        text
    }
}

/// Of a Job that has ended.
pub fn of(state: &JobState, said: Option<&Said>) -> Answer {
    match (said, state) {
        (Some(said), _) if said.is_done() => Answer::Good(Figures {
            version: said.text("serverVersion"),
            bytes: said.number("databaseBytes"),
            encryption: said.text("encryption"),
            pooled: said.flag("transactionPooler"),
        }),
        (Some(said), _) => bad(&said.code, &said.message),
        (None, JobState::Failed(why)) => Answer::Unasked(quote(why)),
        (None, _) => Answer::Good(Figures::default()),
    }
}

/// What stands against a database: code of the agent, reason of the condition, what to do, and that it does not pass by itself.
const AGAINST: [(&str, &str, &str, bool); 16] = [
    (
        "DNSFailed",
        "DNSFailed",
        "correct the host in the URL, or its name in DNS",
        false,
    ),
    (
        "Refused",
        "Refused",
        "correct host and port, or open the way in firewalls and NetworkPolicies",
        false,
    ),
    (
        "TimedOut",
        "Timeout",
        "open the way in firewalls and NetworkPolicies",
        false,
    ),
    (
        "NotReady",
        "NotReady",
        "it starts, stops or recovers, which ends by itself",
        false,
    ),
    (
        "TooManyConnections",
        "TooManyConnections",
        "raise the limit of the server or of the role",
        false,
    ),
    (
        "TLSFailed",
        "TLSFailed",
        "correct sslmode in the URL, or the server's certificate",
        true,
    ),
    (
        "TLSRequired",
        "TLSRequired",
        "add sslmode=require or sslmode=verify-full to the URL",
        true,
    ),
    (
        "AuthenticationFailed",
        "AuthenticationFailed",
        "correct user and password in the URL",
        true,
    ),
    (
        "DatabaseNotFound",
        "DatabaseNotFound",
        "create it, or correct its name in the URL",
        true,
    ),
    (
        "ReadOnly",
        "ReadOnly",
        "name the primary server in the URL",
        true,
    ),
    (
        "PermissionDenied",
        "InsufficientRights",
        "make the role the owner of the database, or grant it CREATE",
        true,
    ),
    (
        "ExtensionNotPermitted",
        "InsufficientRights",
        "make the role the owner of the database, or create the extension for it",
        true,
    ),
    (
        "ExtensionNotAvailable",
        "ExtensionsMissing",
        "install PostgreSQL's contrib package on the server",
        true,
    ),
    (
        "InvalidUrl",
        "InvalidValue",
        "write it as postgres://user:password@host:port/database",
        true,
    ),
    (
        "QueryFailed",
        "ConnectionFailed",
        "see the log of the Job",
        false,
    ),
    (
        "ConnectionFailed",
        "ConnectionFailed",
        "see the log of the Job",
        false,
    ),
];

fn bad(code: &str, words: &str) -> Answer {
    let words = quote(words);
    match code {
        "UnknownAuthority" => return Answer::UnknownAuthority(words),
        "Terminated" | "Internal" => return Answer::Unasked(words),
        _ => {}
    }
    let (_, reason, remedy, lasting) = AGAINST
        .into_iter()
        .find(|(known, ..)| *known == code)
        .unwrap_or(AGAINST[AGAINST.len() - 1]);
    Answer::Bad {
        reason,
        message: format!("{words}; {remedy}"),
        lasting,
    }
}

/// What this reason stands for does not pass by itself.
pub fn is_lasting(reason: &str) -> bool {
    AGAINST
        .iter()
        .any(|(_, known, _, lasting)| *known == reason && *lasting)
}
