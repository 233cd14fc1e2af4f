//! What is read about people, their devices, what they have done and the token's own user: no answer makes it panic, and no
//! error tells the token or a value of a device.
#![no_main]

use arbitrary::Arbitrary;
use authentik_stage_operator::authentik::{
    Error,
    fuzzing::{self, Answer, TOKEN},
};
use libfuzzer_sys::fuzz_target;

/// Most bytes of an error's text: it goes into a report.
const LONGEST: usize = 8 * 1024;

/// Stands for a code or a phone number.
const VALUE: &str = "a-code-that-nothing-may-tell";

#[derive(Arbitrary, Debug)]
struct Told {
    status: u16,
    user: u64,
    begins_as: Beginning,
    body: String,
}

#[derive(Arbitrary, Debug)]
enum Beginning {
    Nothing,
    People,
    Devices,
    Account,
    Tokens,
    Description,
    Log,
}

impl Beginning {
    fn text(&self) -> &'static str {
        match self {
            Beginning::Nothing => "",
            Beginning::People => {
                r#"{"pagination": {"next": 0, "count": 1}, "results": [{"pk": 7, "username": ""#
            }
            Beginning::Devices => {
                r#"[{"pk": 7, "confirmed": true, "type": "authentik_stages_authenticator_totp.TOTPDevice", "name": ""#
            }
            Beginning::Account => r#"{"user": {"pk": 7, "username": ""#,
            Beginning::Tokens => {
                r#"{"pagination": {"next": 0, "count": 1}, "results": [{"user": 7, "intent": "api", "identifier": ""#
            }
            Beginning::Log => {
                r#"{"pagination": {"next": 0, "count": 1}, "results": [{"action": "model_updated", "created": "2026-01-01T12:00:08Z", "context": {"http_request": {"method": "PATCH"}}, "user": {"pk": 7, "username": ""#
            }
            Beginning::Description => r#"{"parses": ["application/json"], "actions": {"PUT": {""#,
        }
    }
}

fuzz_target!(|told: Told| {
    let body = format!("{}{}", told.begins_as.text(), told.body);
    let body = body.replace('$', TOKEN).replace('#', VALUE);
    let answer = Answer {
        status: told.status,
        content_type: "application/json",
        retry_after: None,
        location: None,
        body: &body,
    };
    let results = [
        fuzzing::read_people(&answer).map(|people| {
            assert!(people.rows.len() + people.unreadable.len() <= people.keys.len());
            for person in &people.rows {
                clean(fuzzing::show(&person.username).as_str());
            }
        }),
        fuzzing::read_devices(&answer).map(|devices| {
            // The class is the only text that is kept of one.
            let classes = devices.iter().filter_map(|device| device.class.as_deref());
            assert!(classes.into_iter().all(|class| !class.contains('.')));
        }),
        fuzzing::read_whoami(&answer).map(|user| {
            let texts = user.system_permissions.iter().chain(&user.kind);
            for text in texts.chain([&user.username]) {
                clean(fuzzing::show(text).as_str());
            }
        }),
        fuzzing::read_tokens(&answer, told.user).map(|tokens| {
            for token in &tokens.rows {
                clean(fuzzing::show(&token.identifier).as_str());
            }
        }),
        fuzzing::read_log(&answer).map(|log| {
            for entry in &log {
                for text in [&entry.username, &entry.address, &entry.agent] {
                    clean(fuzzing::show(text).as_str());
                }
            }
        }),
        fuzzing::read_description(&answer, "PUT").map(drop),
    ];
    results
        .into_iter()
        .filter_map(Result::err)
        .for_each(|error| says_little(&error));
});

fn says_little(error: &Error) {
    let text = error.to_string();
    assert!(text.len() < LONGEST, "{} bytes", text.len());
    assert!(!format!("{error:?}").contains(TOKEN), "{error:?}");
    clean_line(&text);
}

fn clean(text: &str) {
    assert!(
        text.chars().count() <= 300 && !text.contains(TOKEN),
        "{text}"
    );
    clean_line(text);
}

fn clean_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}
