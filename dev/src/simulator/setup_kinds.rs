//! The kinds of stages through which users set up their second factors.

use super::fields::{Field, FieldKind};
use super::kinds::{DUO, Kind};
use super::versions::Rules;
use serde_json::{Value, json};

/// All of them that exist in the release.
pub(crate) fn all(rules: &Rules) -> Vec<Kind> {
    let mut kinds = vec![
        duo(rules),
        totp(rules),
        statics(rules),
        webauthn(rules),
        sms(rules),
    ];
    if rules.email_class {
        kinds.push(email(rules));
    }
    kinds
}

pub(crate) const USER_VERIFICATION: &[&str] = &["required", "preferred", "discouraged"];
const REQUIRED: FieldKind = FieldKind::Text { blank: false };
const OPTIONAL: FieldKind = FieldKind::Text { blank: true };

/// What a browser is told of the keys that are meant.
pub(crate) fn hints(name: &'static str) -> Field {
    let kind = FieldKind::Choices {
        of: vec!["security-key", "client-device", "hybrid"],
        may_be_empty: true,
    };
    Field::new(name, kind, json!([]))
}

/// The fields that all of these kinds have, and those of one.
fn with_common(rules: &Rules, own: Vec<Field>) -> Vec<Field> {
    let blank = rules.blank_friendly_name;
    let none = if blank { json!("") } else { Value::Null };
    let mut fields = vec![
        Field::new("configure_flow", FieldKind::Flow, Value::Null).nullable(true),
        Field::new("friendly_name", FieldKind::Text { blank }, none).nullable(!blank),
    ];
    fields.extend(own);
    fields
}

fn duo(rules: &Rules) -> Kind {
    let fields = vec![
        Field::new("client_id", REQUIRED, Value::Null).required(),
        Field::new("client_secret", REQUIRED, Value::Null)
            .required()
            .write_only(),
        Field::new("api_hostname", REQUIRED, Value::Null).required(),
        Field::new("admin_integration_key", OPTIONAL, json!("")),
        Field::new("admin_secret_key", OPTIONAL, json!("")).write_only(),
    ];
    Kind {
        route: Some("authenticator/duo"),
        app: "authentik_stages_authenticator_duo",
        model: DUO,
        class: "AuthenticatorDuoStage",
        component: "ak-stage-authenticator-duo-form",
        verbose_name: "Duo Authenticator Setup Stage",
        fields: with_common(rules, fields),
        user_settings: Some("ak-user-settings-authenticator-duo"),
        device: Some("duodevice"),
    }
}

fn totp(rules: &Rules) -> Kind {
    let digits = FieldKind::Choice(&["6", "8"]);
    // Stages that come with the server are made without the API, which has no default.
    let fields = vec![Field::new("digits", digits, json!("6")).required()];
    Kind {
        route: Some("authenticator/totp"),
        app: "authentik_stages_authenticator_totp",
        model: "authenticatortotpstage",
        class: "AuthenticatorTOTPStage",
        component: "ak-stage-authenticator-totp-form",
        verbose_name: "TOTP Authenticator Setup Stage",
        fields: with_common(rules, fields),
        user_settings: Some("ak-user-settings-authenticator-totp"),
        device: None,
    }
}

fn statics(rules: &Rules) -> Kind {
    let length = FieldKind::Integer {
        least: 0,
        most: rules.longest_static_token,
    };
    let fields = vec![
        Field::new("token_count", FieldKind::POSITIVE, json!(6)),
        Field::new("token_length", length, json!(12)),
    ];
    Kind {
        route: Some("authenticator/static"),
        app: "authentik_stages_authenticator_static",
        model: "authenticatorstaticstage",
        class: "AuthenticatorStaticStage",
        component: "ak-stage-authenticator-static-form",
        verbose_name: "Static Authenticator Setup Stage",
        fields: with_common(rules, fields),
        user_settings: Some("ak-user-settings-authenticator-static"),
        device: None,
    }
}

fn webauthn(rules: &Rules) -> Kind {
    let requirement = FieldKind::Choice(USER_VERIFICATION);
    let attachment = FieldKind::Choice(&["platform", "cross-platform"]);
    let mut fields = vec![
        Field::new("user_verification", requirement.clone(), json!("preferred")),
        Field::new("authenticator_attachment", attachment, Value::Null).nullable(true),
        Field::new("resident_key_requirement", requirement, json!("preferred")),
    ];
    if rules.webauthn_hints {
        let distinct = "prevent_duplicate_devices";
        fields.push(hints("hints"));
        fields.push(Field::new(distinct, FieldKind::Boolean, json!(true)));
    }
    if rules.device_types {
        let types = "device_type_restrictions";
        fields.push(Field::new(types, FieldKind::DeviceTypes, json!([])));
    }
    if rules.webauthn_attempts {
        fields.push(Field::new("max_attempts", FieldKind::POSITIVE, json!(0)));
    }
    Kind {
        route: Some("authenticator/webauthn"),
        app: "authentik_stages_authenticator_webauthn",
        model: rules.webauthn_model,
        class: "AuthenticatorWebAuthnStage",
        component: "ak-stage-authenticator-webauthn-form",
        verbose_name: "WebAuthn Authenticator Setup Stage",
        fields: with_common(rules, fields),
        user_settings: Some("ak-user-settings-authenticator-webauthn"),
        device: None,
    }
}

fn sms(rules: &Rules) -> Kind {
    let provider = FieldKind::Choice(&["twilio", "generic"]);
    let auth_type = FieldKind::Choice(&["basic", "bearer"]);
    let fields = vec![
        Field::new("provider", provider, Value::Null).required(),
        Field::new("from_number", REQUIRED, Value::Null).required(),
        Field::new("account_sid", REQUIRED, Value::Null).required(),
        Field::new("auth", REQUIRED, Value::Null).required(),
        Field::new("auth_password", OPTIONAL, json!("")),
        Field::new("auth_type", auth_type, json!("basic")),
        Field::new("verify_only", FieldKind::Boolean, json!(false)),
        Field::new("mapping", FieldKind::WebhookMapping, Value::Null).nullable(true),
    ];
    Kind {
        route: Some("authenticator/sms"),
        app: "authentik_stages_authenticator_sms",
        model: "authenticatorsmsstage",
        class: "AuthenticatorSMSStage",
        component: "ak-stage-authenticator-sms-form",
        verbose_name: "SMS Authenticator Setup Stage",
        fields: with_common(rules, fields),
        user_settings: Some("ak-user-settings-authenticator-sms"),
        device: Some("smsdevice"),
    }
}

fn email(rules: &Rules) -> Kind {
    let sender = json!("system@authentik.local");
    let fields = vec![
        Field::new("use_global_settings", FieldKind::Boolean, json!(false)),
        Field::new("host", REQUIRED, json!("localhost")),
        Field::new("port", FieldKind::INTEGER, json!(25)),
        Field::new("username", OPTIONAL, json!("")),
        Field::new("password", OPTIONAL, json!("")),
        Field::new("use_tls", FieldKind::Boolean, json!(false)),
        Field::new("use_ssl", FieldKind::Boolean, json!(false)),
        Field::new("timeout", FieldKind::INTEGER, json!(10)),
        Field::new("from_address", FieldKind::Email, sender),
        Field::new("subject", REQUIRED, json!("authentik Sign-in code")),
        Field::new("token_expiry", FieldKind::Duration, json!("minutes=30")),
        Field::new("template", REQUIRED, json!("email/email_otp.html")),
    ];
    Kind {
        route: Some("authenticator/email"),
        app: "authentik_stages_authenticator_email",
        model: "authenticatoremailstage",
        class: "AuthenticatorEmailStage",
        component: "ak-stage-authenticator-email-form",
        verbose_name: "Email Authenticator Setup Stage",
        fields: with_common(rules, fields),
        user_settings: Some("ak-user-settings-authenticator-email"),
        device: Some("emaildevice"),
    }
}
