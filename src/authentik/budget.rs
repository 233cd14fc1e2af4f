//! How many bytes of answers may be in memory at once.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of each line of a [`Budget`] that nobody has chosen: a page of the largest size.
const DEFAULT_BYTES: u32 = 4 * 1024 * 1024;

/// The bytes of answers that may be in flight over all clients that share it. Whoever comes first is served first.
///
/// The first 64 KiB of an answer are free, so that small answers never wait. For larger ones there are two lines with as many
/// bytes each: one for servers whose last large answer was good, and one for all others. So who answers badly or slowly
/// holds up only those that do so too, or have yet to show that they don't.
#[derive(Clone)]
pub struct Budget {
    proven: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
    bytes: u32,
}

impl Budget {
    /// A budget of that many bytes for each of the two lines. An answer that needs more than all of them gets all of them.
    pub fn of(bytes: u32) -> Budget {
        let line = || Arc::new(Semaphore::new(bytes as usize));
        Budget {
            proven: line(),
            unproven: line(),
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
        write!(f, "Budget(2 x {} bytes)", self.bytes)
    }
}

/// One client's way to the budget. A client takes one share at a time: whoever has many large answers under way
/// stands in the line once, as everybody else.
pub(super) struct Purse {
    budget: Budget,
    turn: Arc<Semaphore>,
    is_proven: AtomicBool,
}

impl Purse {
    pub fn new(budget: &Budget) -> Purse {
        Purse {
            budget: budget.clone(),
            turn: Arc::new(Semaphore::new(1)),
            is_proven: AtomicBool::new(false),
        }
    }

    /// Whether the last large answer was good.
    pub fn is_proven(&self) -> bool {
        self.is_proven.load(Ordering::Relaxed)
    }

    /// Notes whether a large answer was good.
    pub fn prove(&self, is_good: bool) {
        self.is_proven.store(is_good, Ordering::Relaxed);
    }

    /// Waits until that many bytes are there, and takes them all at once: who waited with a part of them in hand
    /// could wait for ever.
    pub async fn take(&self, bytes: usize) -> Share {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let bytes = bytes.min(self.budget.bytes);
        // None of them is ever closed.
        let turn = self.turn.clone().acquire_owned().await.ok();
        let line = match self.is_proven() {
            true => self.budget.proven.clone(),
            false => self.budget.unproven.clone(),
        };
        Share {
            permit: line.acquire_many_owned(bytes).await.ok(),
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
