//! What looks at a list have found different.

use tokio::time::Instant;
use uuid::Uuid;

/// What readings found different: each row that came, went or changed.
pub type Differences = Vec<Difference>;

/// A row that was found different.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Its UUID.
    pub uuid: Uuid,
    /// Its label.
    pub label: String,
    /// When it was last seen before, at the earliest.
    pub since: Option<Instant>,
}
