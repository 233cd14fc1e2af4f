//! How many bytes of answers may be in memory at once.

use std::{fmt, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of a [`Budget`] that nobody has chosen: two pages of the largest size.
const DEFAULT_BYTES: u32 = 8 * 1024 * 1024;

/// The bytes of answers that may be in flight over all clients that share it. Whoever comes first is served first.
///
/// The first 64 KiB of an answer are free, so that small answers never wait.
#[derive(Clone)]
pub struct Budget {
    permits: Arc<Semaphore>,
    bytes: u32,
}

impl Budget {
    /// A budget of that many bytes. An answer that needs more than all of them gets all of them.
    pub fn of(bytes: u32) -> Budget {
        Budget {
            permits: Arc::new(Semaphore::new(bytes as usize)),
            bytes,
        }
    }
}

impl Default for Budget {
    fn default() -> Budget {
        Budget::of(DEFAULT_BYTES)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Budget({} bytes)", self.bytes)
    }
}

/// One client's way to the budget. A client takes one share at a time: whoever has many large answers under way
/// stands in the line once, as everybody else.
pub(super) struct Purse {
    budget: Budget,
    turn: Arc<Semaphore>,
}

impl Purse {
    pub fn new(budget: &Budget) -> Purse {
        Purse {
            budget: budget.clone(),
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// Waits until that many bytes are there, and takes them all at once: who waited with a part of them in hand
    /// could wait for ever.
    pub async fn take(&self, bytes: usize) -> Share {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = bytes.min(self.budget.bytes);
        // Neither is ever closed.
        let turn = self.turn.clone().acquire_owned().await.ok();
        let permits = self.budget.permits.clone();
        Share {
            permit: permits.acquire_many_owned(bytes).await.ok(),
            _turn: turn,
        }
    }
}

/// Bytes that are taken until this is dropped.
pub(super) struct Share {
    permit: Option<OwnedSemaphorePermit>,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Share {
    /// Gives back what is not needed of it.
    pub fn shrink(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.permit {
            let rest = permit.num_permits().saturating_sub(bytes);
            drop(permit.split(rest));
        }
    }
}
