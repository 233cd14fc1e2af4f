//! What readings and own writes make of a list.

use std::collections::BTreeSet;

use super::*;

#[derive(Clone, Debug, PartialEq)]
struct Row(Uuid, String);

impl Listed for Row {
    fn uuid(&self) -> Uuid {
        self.0
    }
    fn label(&self) -> &str {
        &self.1
    }
    fn concerns_somebody(&self, _: &Memory) -> bool {
        true
    }
}

fn row(n: u128, name: &str) -> Arc<Row> {
    Arc::new(Row(Uuid::from_u128(n), name.to_owned()))
}

fn listing(rows: &[Arc<Row>], complete: bool) -> Rows<Row> {
    let listing = Listing {
        keys: rows.iter().map(|row| row.0).collect(),
        rows: rows.to_vec(),
        unreadable: HashSet::new(),
        complete,
    };
    Rows {
        listing,
        left_out: HashSet::from([hash("nobody's")]),
    }
}

fn read(list: &List<Row>, rows: &[Arc<Row>]) -> Vec<Arc<Row>> {
    let began = list.begins();
    let doubtful = list.ends(began, Ok(listing(rows, true)));
    list.done(began, Duration::ZERO);
    doubtful
}

fn changed(n: u128, label: &str) -> (Uuid, String) {
    (Uuid::from_u128(n), label.to_owned())
}

fn differences(list: &List<Row>) -> BTreeSet<(Uuid, String)> {
    let found = list.take_differences().into_iter();
    found.map(|found| (found.uuid, found.label)).collect()
}

#[test]
fn what_came_went_or_was_renamed_is_a_change_and_nothing_else() {
    let list = List::default();
    read(&list, &[row(1, "same"), row(2, "old"), row(3, "gone")]);
    assert_eq!(
        list.take_differences(),
        [],
        "the first reading changes nothing"
    );
    read(&list, &[row(1, "same"), row(2, "new"), row(4, "came")]);
    let changes = differences(&list);
    let expected = [
        changed(2, "new"),
        changed(2, "old"),
        changed(3, "gone"),
        changed(4, "came"),
    ];
    assert_eq!(changes, BTreeSet::from(expected));
    assert_eq!(list.labelled("old"), []);
    assert_eq!(list.labelled("new"), [row(2, "new")]);
}

#[test]
fn an_own_write_counts_more_than_the_list_that_was_read_meanwhile() {
    let list = List::default();
    read(&list, &[row(1, "one"), row(2, "two")]);
    let began = list.begins();
    list.note(Uuid::from_u128(1), Some(row(1, "renamed")));
    list.note(Uuid::from_u128(2), None);
    list.ends(began, Ok(listing(&[row(1, "one"), row(2, "two")], true)));
    assert_eq!(list.take_differences(), []);
    assert_eq!(list.get(Uuid::from_u128(1)), Some(row(1, "renamed")));
    assert_eq!(list.get(Uuid::from_u128(2)), None);
}

#[test]
fn a_row_that_is_as_it_was_is_not_kept_twice() {
    let list = List::default();
    let first = row(1, "same");
    read(&list, std::slice::from_ref(&first));
    assert!(Arc::ptr_eq(&list.kept((*first).clone()), &first));
    assert!(!Arc::ptr_eq(&list.kept((*row(1, "other")).clone()), &first));
}

#[test]
fn a_row_that_a_moving_list_does_not_show_is_doubtful_and_not_gone() {
    let list = List::default();
    read(&list, &[row(1, "one"), row(2, "two")]);
    let began = list.begins();
    let doubtful = list.ends(began, Ok(listing(&[row(1, "new")], false)));
    assert_eq!(doubtful, [row(2, "two")]);
    assert_eq!(list.get(Uuid::from_u128(2)), Some(row(2, "two")));
    assert_eq!(list.get(Uuid::from_u128(1)), Some(row(1, "new")));
}

#[test]
fn what_nobody_has_to_do_with_is_known_to_be_there() {
    let list = List::default();
    read(&list, &[row(1, "one")]);
    assert!(list.left_out("nobody's"));
    assert!(!list.left_out("one") && !list.left_out("other"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_to_those_who_waited_for_it_and_asked_for_anew_by_others() {
    let list = List::<Row>::default();
    assert_eq!(list.state(None, None), State::NotYet);
    let waits_since = Instant::now();
    let began = list.begins();
    let refused = Error::NotFound;
    list.ends(began, Err(refused.clone()));
    assert!(!list.is_wanted());
    let state = list.state(None, Some(waits_since));
    assert_eq!(state, State::Refused(refused));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    assert_eq!(list.state(None, None), State::NotYet);
    assert!(list.is_wanted());
    assert_eq!(list.state(None, Some(Instant::now())), State::NotYet);
}

#[test]
fn what_was_rehearsed_is_newer_than_whatever_the_server_says() {
    let list = List::default();
    read(&list, &[row(1, "old"), row(2, "gone"), row(3, "real")]);
    list.rehearse(Uuid::from_u128(1), Some(row(1, "new")));
    list.rehearse(Uuid::from_u128(2), None);
    list.rehearse(Uuid::from_u128(4), Some(row(4, "made")));
    list.note(Uuid::from_u128(1), Some(row(1, "old")));
    read(&list, &[row(1, "old"), row(2, "gone"), row(3, "real")]);
    let get = |n| list.get(Uuid::from_u128(n));
    assert_eq!(get(1), Some(row(1, "new")));
    assert_eq!((get(2), get(4)), (None, Some(row(4, "made"))));
    assert_eq!(list.labelled("old"), []);
    let rehearsed = |n| list.rehearsed(Uuid::from_u128(n)).is_some();
    assert_eq!([1, 2, 3, 4].map(rehearsed), [true, false, false, true]);
}

#[tokio::test(start_paused = true)]
async fn a_difference_tells_when_the_row_was_last_seen_before() {
    let list = List::default();
    read(&list, &[row(1, "one"), row(2, "two")]);
    let first = list.looked_at();
    tokio::time::advance(Duration::from_secs(10)).await;
    list.corrects(Uuid::from_u128(1), Some((*row(1, "new")).clone()));
    let since = |list: &List<Row>| -> BTreeSet<_> {
        let found = list.take_differences().into_iter();
        found.map(|found| found.since).collect()
    };
    assert_eq!(since(&list), BTreeSet::from([first]));
    let look = Instant::now();
    list.looked(look, Duration::from_secs(1));
    tokio::time::advance(Duration::from_secs(10)).await;
    read(&list, &[row(1, "new")]);
    assert_eq!(since(&list), BTreeSet::from([Some(look)]));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_a_moving_list_left_in_doubt_was_last_seen_by_the_reading_before() {
    let list = List::default();
    read(&list, &[row(1, "one")]);
    let first = list.looked_at();
    tokio::time::advance(Duration::from_secs(10)).await;
    let began = list.begins();
    list.ends(began, Ok(listing(&[], false)));
    list.corrects(Uuid::from_u128(1), None);
    list.done(began, Duration::ZERO);
    let since: Vec<_> = list
        .take_differences()
        .iter()
        .map(|found| found.since)
        .collect();
    assert_eq!(since, [first]);
    assert_eq!(list.looked_at(), Some(began));
}
