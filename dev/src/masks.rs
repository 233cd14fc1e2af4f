//! What programs print, made equal from run to run, to compare it with what pages show of it.

use regex::Regex;

/// What is of one run only, and what stands in its place. The width of a column follows what is in it, so many spaces are one.
const MASKS: [(&str, &str); 5] = [
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "UUID"),
    (r"\b\d+\.\d+\.\d+\.\d+(:\d+)?\b", "ADDRESS"),
    (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME"),
    (r"\b(\d+m)?\d+(\.\d+)? ?(ms|s|m)\b", "AGE"),
    (r"\s+", " "),
];

/// The lines without what is of one run only. Events, which come last, are put in the order of the alphabet: those of one moment
/// come in any.
///
/// # Panics
/// Never: the masks are regular expressions.
pub fn masked<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let masks = MASKS.map(|(mask, name)| (Regex::new(mask).expect("it is one"), name));
    let one = |line: &str| {
        let line = masks.iter().fold(line.to_owned(), |line, (mask, name)| {
            mask.replace_all(&line, *name).into_owned()
        });
        line.trim_end().to_owned()
    };
    let mut lines: Vec<_> = lines.into_iter().map(one).collect();
    if let Some(events) = lines.iter().position(|line| line.starts_with("LAST SEEN")) {
        lines[events..].sort_unstable();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_masked_and_nothing_else() {
        let one = [
            "default   InSync   2026.5.0-rc1   http://127.0.0.1:80   1m5s",
            "by a from 10.0.0.1 at 2026-05-11T09:30:00Z",
        ];
        let other = [
            "default InSync 2026.5.0-rc1 http://127.0.0.1:42887 3s",
            "by a from 10.0.0.20 at 2027-01-01T00:00:00Z",
        ];
        assert_eq!(masked(one), masked(other));
        let third = [
            "default InSync 2026.4.0 http://127.0.0.1:42887 3s",
            other[1],
        ];
        assert_ne!(masked(one), masked(third));
    }

    #[test]
    fn only_events_are_put_in_order() {
        let lines = ["b", "a", "LAST SEEN", "2s B", "1s A"];
        assert_eq!(masked(lines), ["b", "a", "AGE A", "AGE B", "LAST SEEN"]);
    }
}
