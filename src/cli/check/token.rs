//! Whose the token is, and when it ends.

use jiff::Timestamp;

use super::{
    finding::Finding,
    seen::{Seen, Token, User},
};
use crate::authentik::{DeniedKind, Error};

const TOKEN: &str = "token";
const EXPIRY: &str = "expiry";

/// Less time than this is too little to be at ease.
const SOON_DAYS: i64 = 7;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

const RENEW: &str = "make a token that does not expire, or put the next one into the Secret in time (docs/token.md)";

/// Whether the token is accepted, and whose it is.
pub fn whose(seen: &Seen) -> Finding {
    match &seen.user {
        Some(Ok(user)) => Finding::ok(TOKEN, format!("accepted; it is {}'s", named(user))),
        Some(Err(error)) => refused(error),
        None => match &seen.version {
            Err(error @ Error::AccessDenied { .. }) => refused(error),
            _ => Finding::unknown(TOKEN, "not asked, for authentik was not reached"),
        },
    }
}

fn named(user: &User) -> String {
    match user.kind.as_str() {
        "" => user.name.to_string(),
        kind => format!("{} ({kind})", user.name),
    }
}

fn refused(error: &Error) -> Finding {
    match error {
        Error::AccessDenied {
            kind: DeniedKind::Token,
            ..
        } => Finding::failure(TOKEN, error.to_string()).so(
            "make a token with the intent API Token, of an active user, and give that; it may have expired or been deleted",
        ),
        _ => Finding::unknown(TOKEN, error.to_string()),
    }
}

/// When the token ends.
pub fn expiry(seen: &Seen, now: Timestamp) -> Finding {
    match &seen.tokens {
        None => Finding::unknown(EXPIRY, "not asked"),
        Some(Err(error)) => Finding::unknown(
            EXPIRY,
            format!("the token may not see when it expires: {error}"),
        ),
        Some(Ok(tokens)) => of_all(tokens, now),
    }
}

/// authentik does not tell which of a user's tokens asks, so what is said holds of each of them.
fn of_all(tokens: &[Token], now: Timestamp) -> Finding {
    let live: Vec<_> = tokens.iter().filter(|token| !is_over(token, now)).collect();
    if live.is_empty() {
        return Finding::unknown(EXPIRY, "authentik shows none of the user's API tokens");
    }
    if live.iter().all(|token| token.expires == Some(false)) {
        return Finding::ok(EXPIRY, "the token does not expire");
    }
    let ends = live.iter().filter(|token| token.expires != Some(false));
    let mut ends: Vec<_> = ends.filter_map(|token| Some((token.at?, token))).collect();
    ends.sort_by_key(|(at, _)| *at);
    match (ends.as_slice(), live.len()) {
        ([], _) => Finding::unknown(EXPIRY, "authentik does not say when the token expires"),
        ([(at, _)], 1) => one(*at, now),
        ([(at, token), ..], many) => {
            let when = format!(
                "the user has {many} API tokens, and authentik does not say which of them this is; the first that expires, {}, does so {}",
                token.name,
                told(*at, now)
            );
            match is_soon(*at, now) {
                true => Finding::warning(EXPIRY, when).so(RENEW),
                false => Finding::ok(EXPIRY, when),
            }
        }
    }
}

fn one(at: Timestamp, now: Timestamp) -> Finding {
    let when = format!("the token expires {}", told(at, now));
    match is_soon(at, now) {
        true => Finding::warning(EXPIRY, when).so(RENEW),
        false => Finding::ok(EXPIRY, when),
    }
}

fn is_over(token: &Token, now: Timestamp) -> bool {
    token.expires == Some(true) && token.at.is_some_and(|at| at <= now)
}

fn is_soon(at: Timestamp, now: Timestamp) -> bool {
    at.as_second() - now.as_second() < SOON_DAYS * SECONDS_A_DAY
}

/// A time, and how far away it is.
fn told(at: Timestamp, now: Timestamp) -> String {
    let at_second = at.as_second();
    let left = at_second - now.as_second();
    let second = Timestamp::from_second(at_second).unwrap_or(at);
    match left / SECONDS_A_DAY {
        _ if left < 0 => format!("at {second}, which is over"),
        0 => format!("at {second}, in {} hours", left / 3600),
        1 => format!("at {second}, in 1 day"),
        days => format!("at {second}, in {days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{authentik::Shown, cli::check::finding::Verdict};

    fn token(expires: Option<bool>, days: Option<i64>) -> Token {
        let at = days.map(|days| Timestamp::from_second(days * SECONDS_A_DAY).unwrap());
        Token {
            name: Shown::fixed("a"),
            expires,
            at,
        }
    }

    fn verdict(tokens: &[Token]) -> Verdict {
        of_all(tokens, Timestamp::UNIX_EPOCH).verdict
    }

    #[test]
    fn a_token_that_ends_within_a_week_is_a_warning() {
        let on = |days| [token(Some(true), Some(days))];
        assert_eq!(verdict(&on(1)), Verdict::Warning);
        assert_eq!(verdict(&on(6)), Verdict::Warning);
        assert_eq!(verdict(&on(7)), Verdict::Ok);
        // authentik keeps a date also of what does not end.
        assert_eq!(verdict(&[token(Some(false), Some(1))]), Verdict::Ok);
    }

    #[test]
    fn what_is_not_told_is_unknown() {
        assert_eq!(verdict(&[]), Verdict::Unknown);
        assert_eq!(verdict(&[token(None, None)]), Verdict::Unknown);
        assert_eq!(verdict(&[token(Some(true), None)]), Verdict::Unknown);
        // The token that asks is none of those that are over.
        assert_eq!(verdict(&[token(Some(true), Some(-1))]), Verdict::Unknown);
    }

    #[test]
    fn of_several_the_first_to_end_counts() {
        let (soon, late) = (token(Some(true), Some(2)), token(Some(false), None));
        assert_eq!(verdict(&[late.clone(), soon]), Verdict::Warning);
        assert_eq!(verdict(&[late, token(Some(true), Some(30))]), Verdict::Ok);
    }
}
