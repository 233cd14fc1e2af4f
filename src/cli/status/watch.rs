//! Goes on with what changes: a table that is drawn anew, or a line a change.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use futures::{
    StreamExt,
    stream::{BoxStream, SelectAll, select_all},
};
use jiff::Timestamp;
use kube::{
    core::DynamicObject,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio::time::sleep;

use super::{
    read::{self, OfKind},
    row::Row,
    write,
};
use crate::{
    authentik::one_line,
    cli::{
        output::{Ended, Failed, Out},
        signals::Signals,
    },
    offline::PAGE,
};

/// How long changes are gathered before the table is drawn anew.
const GATHER: Duration = Duration::from_millis(100);

/// Empties the screen and begins at its top. What has left the screen stays for who scrolls back.
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

type Key = (String, String, String);

/// What a watch of one kind has shown.
type Told = (String, Result<Event<DynamicObject>, watcher::Error>);

/// Shows the resources, and what becomes of them, until Ctrl-C. Kinds whose CRDs are not there are passed over.
///
/// # Errors
/// Where they can't be listed at the beginning, or nobody reads on.
pub async fn watch(out: &mut Out, kinds: Vec<OfKind>, is_json: bool) -> Ended {
    let mut signals = Signals::listen()?;
    tokio::select! {
        ended = show(out, kinds, is_json) => ended?,
        () = signals.come() => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(out: &mut Out, kinds: Vec<OfKind>, is_json: bool) -> Result<(), Failed> {
    let mut board = Board {
        draws: !is_json && io::stdout().is_terminal(),
        is_json,
        ..Board::default()
    };
    let mut watched = Vec::new();
    for (of, rows) in read::listed(kinds).await? {
        for row in rows {
            board.changed(out, row)?;
        }
        watched.push(stream(of));
    }
    board.follow(out, select_all(watched)).await
}

fn stream(of: OfKind) -> BoxStream<'static, Told> {
    let config = watcher::Config::default().page_size(PAGE);
    let events = watcher(of.api, config).default_backoff();
    events.map(move |event| (of.kind.clone(), event)).boxed()
}

fn trouble(kind: &str, error: &str) -> String {
    format!("{kind} is not watched at the moment: {error}")
}

/// What is known of all resources.
#[derive(Default)]
struct Board {
    rows: BTreeMap<Key, Row>,
    /// Those that a list which has not ended has shown, by kind.
    listed: BTreeMap<String, BTreeMap<Key, Row>>,
    /// Why a kind is not watched at the moment.
    trouble: BTreeMap<String, String>,
    draws: bool,
    is_json: bool,
}

impl Board {
    async fn follow(
        &mut self,
        out: &mut Out,
        mut events: SelectAll<BoxStream<'static, Told>>,
    ) -> Result<(), Failed> {
        if self.draws {
            self.draw(out)?;
        }
        let mut is_due = false;
        loop {
            let told = tokio::select! {
                biased;
                told = events.next() => told,
                () = sleep(GATHER), if is_due => {
                    is_due = false;
                    self.draw(out)?;
                    continue;
                }
            };
            match told {
                Some((kind, told)) => is_due |= self.take(out, kind, told)?,
                // Without a single kind there is nothing to come.
                None => return Ok(()),
            }
        }
    }

    /// Takes what was told. Says whether the table is to be drawn.
    fn take(
        &mut self,
        out: &mut Out,
        kind: String,
        told: Result<Event<DynamicObject>, watcher::Error>,
    ) -> Result<bool, Failed> {
        let event = match told {
            Ok(event) => event,
            Err(error) => {
                return Ok(self.note(kind, one_line(&error.to_string())));
            }
        };
        match event {
            Event::Apply(object) => self.changed(out, Row::of(&kind, &object)),
            Event::Delete(object) => self.gone(out, &Row::of(&kind, &object).key()),
            // A try, which may fail as the one before.
            Event::Init => {
                self.listed.insert(kind, BTreeMap::new());
                Ok(false)
            }
            Event::InitApply(object) => {
                let row = Row::of(&kind, &object);
                self.listed.entry(kind).or_default().insert(row.key(), row);
                Ok(false)
            }
            Event::InitDone => {
                let was_troubled = self.trouble.remove(&kind).is_some();
                Ok(self.relisted(out, &kind)? || (was_troubled && self.draws))
            }
        }
    }

    /// What a whole list has shown, and no longer shows.
    fn relisted(&mut self, out: &mut Out, kind: &str) -> Result<bool, Failed> {
        let listed = self.listed.remove(kind).unwrap_or_default();
        let known = self.rows.keys().filter(|(of, ..)| of == kind);
        let lost = known.filter(|key| !listed.contains_key(key));
        let lost: Vec<_> = lost.cloned().collect();
        let mut is_due = false;
        for key in lost {
            is_due |= self.gone(out, &key)?;
        }
        for row in listed.into_values() {
            is_due |= self.changed(out, row)?;
        }
        Ok(is_due)
    }

    fn changed(&mut self, out: &mut Out, row: Row) -> Result<bool, Failed> {
        let key = row.key();
        if self.rows.get(&key) == Some(&row) {
            return Ok(false);
        }
        if !self.draws {
            write::change(out, &row, false, self.is_json)?;
            out.flush()?;
        }
        self.rows.insert(key, row);
        Ok(self.draws)
    }

    fn gone(&mut self, out: &mut Out, key: &Key) -> Result<bool, Failed> {
        let Some(row) = self.rows.remove(key) else {
            return Ok(false);
        };
        if !self.draws {
            write::change(out, &row, true, self.is_json)?;
            out.flush()?;
        }
        Ok(self.draws)
    }

    fn draw(&self, out: &mut Out) -> Result<(), Failed> {
        // Past the filter of colours: without them the screen is emptied too.
        io::stdout().write_all(CLEAR.as_bytes())?;
        let rows: Vec<_> = self.rows.values().cloned().collect();
        write::table(out, &rows, Timestamp::now())?;
        for (kind, error) in &self.trouble {
            writeln!(out, "{}", trouble(kind, error))?;
        }
        Ok(out.flush()?)
    }

    /// Says once what is in the way: below the table, or where errors go. It is tried again by itself.
    fn note(&mut self, kind: String, error: String) -> bool {
        if self.trouble.get(&kind) == Some(&error) {
            return false;
        }
        if !self.draws {
            // Where nobody reads this, there is nobody to tell.
            let _ = writeln!(io::stderr(), "{}", trouble(&kind, &error));
        }
        self.trouble.insert(kind, error);
        self.draws
    }
}
