//! Terraform states: none makes the reading panic, no error tells a value of one, and whatever an object is called, the command that
//! lets Terraform forget it is one line whose last word a shell takes for one.
#![no_main]

use arbitrary::Arbitrary;
use authentik_stage_operator::export::terraform::read;
use libfuzzer_sys::fuzz_target;

const KIND: &str = "authentik_stage_authenticator_duo";

/// Stands for a secret: a state holds all that Terraform knows.
const SECRET: &str = "a-value-that-nothing-may-tell";

#[derive(Arbitrary, Debug)]
enum State {
    Text(Vec<u8>),
    Named {
        name: String,
        module: Option<String>,
        key: String,
        id: String,
    },
    Ends(String),
}

impl State {
    fn text(self) -> Vec<u8> {
        match self {
            State::Text(text) => text,
            State::Named {
                name,
                module,
                key,
                id,
            } => {
                let attributes = serde_json::json!({"id": id, "client_secret": SECRET});
                let instance = serde_json::json!({"index_key": key, "attributes": attributes});
                let resource = serde_json::json!({
                    "mode": "managed", "type": KIND, "name": name, "module": module, "instances": [instance],
                });
                let state = serde_json::json!({"version": 4, "resources": [resource]});
                state.to_string().into_bytes()
            }
            State::Ends(rest) => {
                let rest = rest.replace('$', SECRET);
                format!(
                    r#"{{"version": 4, "resources": [{{"mode": "managed", "type": "{KIND}", {rest}"#
                )
                .into_bytes()
            }
        }
    }
}

fuzz_target!(|state: State| {
    match read(&state.text(), &[KIND]) {
        Ok(held) => {
            for command in held.iter().map(|held| held.forget()) {
                assert!(!command.chars().any(char::is_control), "{command:?}");
                let word = command.strip_prefix("terraform state rm ");
                is_one_word(word.expect("it lets Terraform forget"));
            }
        }
        Err(why) => assert!(!why.contains(SECRET), "{why}"),
    }
});

/// Whether a shell takes it for one word and nothing else: between quotes, but for quotes that are escaped.
fn is_one_word(word: &str) {
    let inside = word
        .strip_prefix('\'')
        .and_then(|word| word.strip_suffix('\''));
    let inside = inside.expect("it is quoted");
    assert!(!inside.replace(r"'\''", "").contains('\''), "{word}");
}
