//! Durations: no text makes reading them panic, and what is sent in place of a text means the same as it.
#![no_main]

use authentik_stage_operator::authentik::duration::{microseconds, understood};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let time = microseconds(text);
    let sent = understood(text);
    assert_eq!(time.is_some(), sent.is_some(), "{text:?}");
    let (Some(time), Some(sent)) = (time, sent) else {
        return;
    };
    assert_eq!(microseconds(&sent), Some(time), "{text:?} became {sent:?}");
    assert_eq!(understood(&sent).as_ref(), Some(&sent), "{text:?}");
    // authentik's own largest.
    assert!(time.abs() <= 86_400_000_000 * 1_000_000_000, "{text:?}");
    let whole = format!("microseconds={time}");
    // Below this every whole number of microseconds is a number of its own.
    if time.abs() < 1 << 53 {
        assert_eq!(microseconds(&whole), Some(time), "{text:?}");
    }
});
