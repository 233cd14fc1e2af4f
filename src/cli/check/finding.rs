//! What was found, and what to do about it.

use serde::Serialize;

/// How it is with one thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It can't be known. That is no reason for worry.
    Unknown,
    /// It works, and should be otherwise.
    Warning,
    /// It does not work.
    Failure,
}

/// How it is with one thing, and what to do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The thing.
    pub check: &'static str,
    /// How it is with it.
    pub verdict: Verdict,
    /// What was found.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_do: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, message: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            message: message.into(),
            to_do: None,
        }
    }

    /// As it should be.
    pub fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, message)
    }

    /// It can't be known, for this reason.
    pub fn unknown(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Unknown, message)
    }

    /// It should be otherwise.
    pub fn warning(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warning, message)
    }

    /// It does not work.
    pub fn failure(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Verdict::Failure, message)
    }

    /// With what to do about it.
    pub fn so(mut self, to_do: impl Into<String>) -> Self {
        self.to_do = Some(to_do.into());
        self
    }
}

/// How it is with one permission.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// The token's user has it.
    Granted,
    /// The token's user lacks it.
    Missing,
    /// It can't be known without a write.
    Unknown,
    /// This release knows nothing that it could be about.
    Absent,
}

/// A permission, and whether the token's user has it.
#[derive(Clone, Debug, Serialize)]
pub struct Permitted {
    /// `app_label.codename`.
    pub name: String,
    /// The kind that needs it; nothing where several share it.
    pub kind: Option<&'static str>,
    /// How it is with it.
    pub state: State,
}

/// All that was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The base URL that was asked.
    pub url: String,
    /// The worst of the findings; what is unknown does not count.
    pub verdict: Verdict,
    /// authentik's version, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The name of the token's user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// How long a small request takes, in milliseconds: the median.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<u64>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Each permission that the operator can make use of.
    pub permissions: Vec<Permitted>,
    /// Each that only some commands need.
    pub optional: Vec<Permitted>,
}
