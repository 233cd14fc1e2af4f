//! Whose turn it is to be reconciled. Who has to wait is kept by its name alone, and is woken when its turn comes: thousands
//! may wait for one server, and must cost nobody else anything.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::kinds::ResourceId;

/// The resources whose turn has come and that are on their way.
pub(super) struct Calls {
    turns: Mutex<HashMap<ResourceId, Turn>>,
    /// Wakes a resource; false where it is gone.
    wake: Box<dyn Fn(&ResourceId) -> bool + Send + Sync>,
}

impl Calls {
    pub(super) fn new(wake: impl Fn(&ResourceId) -> bool + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            turns: Mutex::default(),
            wake: Box::new(wake),
        })
    }

    /// The turn to which this resource has been called. It goes to the next where it is not used.
    pub(super) fn take(&self, id: &ResourceId) -> Option<Turn> {
        self.turns.lock().remove(id)
    }

    /// Calls this resource; false where it is gone.
    fn call(&self, id: &ResourceId, turns: &Arc<Turns>) -> bool {
        let turn = Turn(Some(turns.clone()));
        // Called twice, by a connection that it used before, it needs one turn only.
        let other = self.turns.lock().insert(id.clone(), turn);
        drop(other);
        if (self.wake)(id) {
            return true;
        }
        // It may have gone just now, and its turn with it.
        let Some(mut turn) = self.take(id) else {
            return true;
        };
        turn.0 = None;
        false
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").finish_non_exhaustive()
    }
}

/// One of a number of reconciles that may run at one time. When it ends it is the next one's turn.
#[derive(Debug)]
pub struct Turn(Option<Arc<Turns>>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(turns) = self.0.take() {
            turns.pass();
        }
    }
}

/// Bounds how many reconciles run at one time. The others wait, first come, first served.
#[derive(Debug)]
pub(super) struct Turns {
    calls: Arc<Calls>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    taken: usize,
    queue: VecDeque<ResourceId>,
    queued: HashSet<ResourceId>,
}

impl Turns {
    pub(super) fn new(limit: usize, calls: Arc<Calls>) -> Arc<Self> {
        let state = State {
            limit,
            taken: 0,
            queue: VecDeque::new(),
            queued: HashSet::new(),
        };
        Arc::new(Self {
            calls,
            state: Mutex::new(state),
        })
    }

    /// The turn of this resource, if it is now; else it is woken when it is. `called` is the turn to which it was called.
    pub(super) fn enter(self: &Arc<Self>, id: &ResourceId, called: Option<Turn>) -> Option<Turn> {
        let is_of_us = |turn: &Turn| {
            turn.0
                .as_ref()
                .is_some_and(|turns| Arc::ptr_eq(turns, self))
        };
        if let Some(turn) = called.filter(is_of_us) {
            return Some(turn);
        }
        let mut state = self.state.lock();
        if state.taken < state.limit && state.queue.is_empty() {
            state.taken += 1;
            return Some(Turn(Some(self.clone())));
        }
        if state.queued.insert(id.clone()) {
            state.queue.push_back(id.clone());
        }
        None
    }

    /// Changes how many run at one time. Who has a turn keeps it.
    pub(super) fn set_limit(self: &Arc<Self>, limit: usize) {
        self.state.lock().limit = limit;
        while let Some(id) = self.next() {
            self.call(id);
        }
    }

    /// A turn has ended.
    fn pass(self: &Arc<Self>) {
        self.state.lock().taken -= 1;
        if let Some(id) = self.next() {
            self.call(id);
        }
    }

    /// Takes a turn for the one that has waited longest.
    fn next(&self) -> Option<ResourceId> {
        let mut state = self.state.lock();
        if state.taken >= state.limit {
            return None;
        }
        let id = state.queue.pop_front()?;
        state.queued.remove(&id);
        state.taken += 1;
        if state.queue.is_empty() {
            // An empty queue keeps the room that it once needed.
            state.queue = VecDeque::new();
            state.queued = HashSet::new();
        }
        Some(id)
    }

    /// Calls this one, or those after it where it is gone.
    fn call(self: &Arc<Self>, mut id: ResourceId) {
        while !self.calls.call(&id, self) {
            self.state.lock().taken -= 1;
            match self.next() {
                Some(next) => id = next,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls all but those that are gone, and keeps who was called.
    struct Called(Arc<Mutex<Vec<String>>>, Arc<Calls>);

    impl Called {
        fn all_but(gone: &'static str) -> Self {
            let called = Arc::new(Mutex::new(Vec::new()));
            let seen = called.clone();
            let calls = Calls::new(move |id| {
                let is_there = id.name != gone;
                if is_there {
                    seen.lock().push(id.name.clone());
                }
                is_there
            });
            Self(called, calls)
        }

        fn names(&self) -> Vec<String> {
            self.0.lock().clone()
        }
    }

    fn id(name: &str) -> ResourceId {
        ResourceId {
            kind: "DuoStage",
            namespace: "team".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn who_waits_is_called_in_order_and_once() {
        let called = Called::all_but("");
        let turns = Turns::new(1, called.1.clone());
        let first = turns.enter(&id("first"), None);
        assert!(first.is_some());
        for name in ["second", "third", "second"] {
            assert!(turns.enter(&id(name), None).is_none(), "{name}");
        }
        drop(first);
        assert_eq!(called.names(), ["second"]);
        assert!(
            turns.enter(&id("late"), None).is_none(),
            "it is not its turn"
        );
        let second = turns.enter(&id("second"), called.1.take(&id("second")));
        assert!(second.is_some());
        drop(second);
        assert_eq!(called.names(), ["second", "third"]);
    }

    #[test]
    fn a_turn_that_is_not_used_goes_to_the_next() {
        let called = Called::all_but("gone");
        let turns = Turns::new(1, called.1.clone());
        let first = turns.enter(&id("first"), None);
        for name in ["gone", "suspended", "moved", "last"] {
            assert!(turns.enter(&id(name), None).is_none());
        }
        drop(first);
        assert_eq!(called.names(), ["suspended"]);
        drop(called.1.take(&id("suspended")));
        let elsewhere = Turns::new(1, called.1.clone());
        let moved = elsewhere.enter(&id("moved"), called.1.take(&id("moved")));
        assert!(moved.is_some());
        assert_eq!(called.names(), ["suspended", "moved", "last"]);
        drop(called.1.take(&id("last")));
        assert!(turns.enter(&id("first"), None).is_some(), "all are free");
    }

    #[test]
    fn who_is_called_from_two_sides_takes_one_turn() {
        let called = Called::all_but("");
        let (old, new) = (
            Turns::new(1, called.1.clone()),
            Turns::new(1, called.1.clone()),
        );
        let others = [old.enter(&id("a"), None), new.enter(&id("b"), None)];
        assert!(old.enter(&id("moved"), None).is_none());
        assert!(new.enter(&id("moved"), None).is_none());
        drop(others);
        let turn = new.enter(&id("moved"), called.1.take(&id("moved")));
        assert!(turn.is_some());
        assert!(old.enter(&id("a"), None).is_some(), "the old turn is free");
    }

    #[test]
    fn a_limit_that_changes_counts_from_then_on() {
        let called = Called::all_but("");
        let turns = Turns::new(2, called.1.clone());
        let mut running: Vec<_> = ["a", "b"].map(|name| turns.enter(&id(name), None)).into();
        for name in ["c", "d", "e"] {
            assert!(turns.enter(&id(name), None).is_none());
        }
        turns.set_limit(1);
        running.pop();
        assert!(called.names().is_empty());
        turns.set_limit(3);
        assert_eq!(called.names(), ["c", "d"]);
        drop(running);
        assert_eq!(called.names(), ["c", "d", "e"]);
    }
}
