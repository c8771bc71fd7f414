//! Takes secrets out of text that another program wrote, before it is logged.

use std::borrow::Cow;

/// What stands in the place of a secret.
const MASK: &str = "***";

/// Knows which texts are secret.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// A redactor for these secrets. The user info of every connection string is taken out anyway.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        // Replacing texts of one or two characters would make every line unreadable.
        let mut secrets: Vec<String> = secrets
            .into_iter()
            .filter(|secret| secret.len() > 2)
            .collect();
        // The longest first: one may be a part of another.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.dedup();
        Self { secrets }
    }

    /// The text without secrets.
    pub fn clean<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MASK));
            }
        }
        if text.contains("://") {
            Cow::Owned(without_user_info(&text))
        } else {
            text
        }
    }
}

/// Replaces `user:password` in everything that looks like a URL.
fn without_user_info(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        clean.push_str(before);
        let end = after
            .find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`'))
            .unwrap_or(after.len());
        let (url, remainder) = after.split_at(end);
        match url.rsplit_once('@') {
            Some((_, host)) => {
                clean.push_str(MASK);
                clean.push('@');
                clean.push_str(host);
            }
            None => clean.push_str(url),
        }
        rest = remainder;
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_and_the_user_info_of_any_url_disappear() {
        let redactor = Redactor::new(["s@cret".to_owned(), "s%40cret".to_owned()]);
        assert_eq!(redactor.clean("login s@cret failed"), "login *** failed");
        assert_eq!(
            redactor.clean(
                "at postgres://u:other/p@ss@db:5432/x, then \"redis://a:b@c\" and http://plain/"
            ),
            "at postgres://***@db:5432/x, then \"redis://***@c\" and http://plain/"
        );
    }

    #[test]
    fn text_without_secrets_is_not_changed() {
        assert_eq!(
            Redactor::new(["x".to_owned()]).clean("Applying 278 migrations, mail to a@b"),
            "Applying 278 migrations, mail to a@b"
        );
    }
}
