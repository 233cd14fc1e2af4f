//! What resources were last told of their connection.

use std::sync::Arc;

use super::{declared::Allowed, handle::Known, server::Server};
use crate::plan::failure::Failure;

/// What was last told to the resources of a connection.
#[derive(Debug)]
pub(super) struct Told {
    pub server: Option<Arc<Server>>,
    pub failure: Option<Failure>,
    pub allowed: Allowed,
}

impl Told {
    /// Whether nothing else is known now.
    pub fn is(&self, known: &Known) -> bool {
        let same_server = match (&self.server, &known.server) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        };
        same_server
            && self.failure == known.failure
            && known.allowed.as_ref() == Some(&self.allowed)
    }
}
