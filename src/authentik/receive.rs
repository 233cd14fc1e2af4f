//! The body of one answer: bounded in size, in time, and together with all others.

use std::{pin::pin, time::Duration};

use futures::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};

use super::budget::{Purse, Share};

/// Bytes of a body that need no share of the budget.
pub(super) const FREE: usize = 64 * 1024;

/// A body that needs a share of the budget has to be complete this long after its first byte, waits for the share
/// not counted: who sends slowly must not hold what others wait for.
const PACE: Duration = Duration::from_secs(3);

/// How much of a body is read.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub bytes: usize,
    /// Whether the rest of a longer body is left unread; else a longer body is [`Broken::TooLarge`].
    pub cut: bool,
}

/// A body that has been read.
pub(super) struct Received {
    pub bytes: Vec<u8>,
    /// False where the body was cut.
    pub whole: bool,
    /// Held for as long as the bytes.
    share: Option<Share>,
}

impl Received {
    /// Whether it needed a share of the budget.
    pub fn is_large(&self) -> bool {
        self.share.is_some()
    }

    /// A body that is there already.
    pub fn whole(bytes: Vec<u8>) -> Received {
        Received {
            bytes,
            whole: true,
            share: None,
        }
    }
}

/// Why a body was not read.
#[derive(Debug, PartialEq)]
pub(super) enum Broken<E> {
    Connection(E),
    TooLarge,
    TooSlow,
    /// The request's own time is over.
    TimedOut,
}

/// Reads a body. `expected` is the length that was announced.
pub(super) async fn receive<B: AsRef<[u8]>, E>(
    chunks: impl Stream<Item = Result<B, E>>,
    expected: Option<u64>,
    bound: Bound,
    purse: &Purse,
    mut deadline: Instant,
) -> Result<Received, Broken<E>> {
    let expected = expected.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if !bound.cut && expected.is_some_and(|bytes| bytes > bound.bytes) {
        return Err(Broken::TooLarge);
    }
    let most = expected.unwrap_or(bound.bytes).min(bound.bytes);
    let mut body = Received::whole(Vec::new());
    let mut chunks = pin!(chunks);
    let (mut begun, mut pace) = (None, None);
    while let Some(chunk) = next(&mut chunks, deadline, pace).await? {
        let begun = *begun.get_or_insert_with(Instant::now);
        let chunk = chunk.as_ref();
        let fits = bound.bytes - body.bytes.len();
        if chunk.len() > fits && !bound.cut {
            return Err(Broken::TooLarge);
        }
        if body.share.is_none() && body.bytes.len() + chunk.len().min(fits) > FREE {
            let asked = Instant::now();
            body.share = Some(share(purse, most.saturating_sub(FREE), deadline).await?);
            deadline += asked.elapsed();
            pace = Some(begun + PACE + asked.elapsed());
        }
        append(&mut body.bytes, &chunk[..chunk.len().min(fits)], most);
        if chunk.len() > fits {
            body.whole = false;
            break;
        }
    }
    let needed = body.bytes.len().saturating_sub(FREE);
    if let Some(share) = &mut body.share {
        share.shrink(needed);
    }
    Ok(body)
}

/// Waits for a share. A server whose last large answer was good has the request's time for it once more; who has yet to show
/// that waits no longer than the request may take.
async fn share<E>(purse: &Purse, bytes: usize, deadline: Instant) -> Result<Share, Broken<E>> {
    let now = Instant::now();
    let end = match purse.is_proven() {
        true => deadline + deadline.saturating_duration_since(now),
        false => deadline,
    };
    let share = timeout_at(end, purse.take(bytes)).await;
    share.map_err(|_| Broken::TimedOut)
}

async fn next<B, E>(
    chunks: &mut (impl Stream<Item = Result<B, E>> + Unpin),
    deadline: Instant,
    pace: Option<Instant>,
) -> Result<Option<B>, Broken<E>> {
    let end = pace.map_or(deadline, |pace| pace.min(deadline));
    match timeout_at(end, chunks.next()).await {
        Ok(chunk) => chunk.transpose().map_err(Broken::Connection),
        Err(_) if end < deadline => Err(Broken::TooSlow),
        Err(_) => Err(Broken::TimedOut),
    }
}

/// Grows the body without ever making room for more than it may have.
fn append(bytes: &mut Vec<u8>, chunk: &[u8], most: usize) {
    let needed = bytes.len() + chunk.len();
    if needed > bytes.capacity() {
        let room = needed.max((bytes.capacity() * 2).min(most));
        bytes.reserve_exact(room - bytes.len());
    }
    bytes.extend_from_slice(chunk);
}
