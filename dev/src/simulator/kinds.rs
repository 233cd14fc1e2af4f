//! The kinds of stages: their names in the API and their fields.

use super::fields::{Field, FieldKind};
use super::versions::Rules;
use serde_json::{Value, json};

/// The validation stage's model.
pub(crate) const VALIDATE: &str = "authenticatorvalidatestage";
/// The Duo stage's model.
pub(crate) const DUO: &str = "authenticatorduostage";

/// A kind of stage.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    /// The path below `stages/`, for kinds that have an endpoint here.
    pub(crate) route: Option<&'static str>,
    pub(crate) app: &'static str,
    pub(crate) model: &'static str,
    /// The model's class, as 404s name it.
    pub(crate) class: &'static str,
    pub(crate) component: &'static str,
    pub(crate) verbose_name: &'static str,
    /// Fields beside those of every stage.
    pub(crate) fields: Vec<Field>,
    /// The component of the user's settings page, for kinds that users set up.
    pub(crate) user_settings: Option<&'static str>,
}

impl Kind {
    /// The fields of a request, in the order of the serializer.
    pub(crate) fn request_fields(&self, rules: &Rules) -> Vec<Field> {
        let mut fields = vec![Field::new("name", FieldKind::StageName, Value::Null).required()];
        if !rules.flow_set_read_only {
            fields.push(Field::new("flow_set", FieldKind::FlowSet, Value::Null));
        }
        fields.extend(self.fields.iter().cloned());
        fields
    }
}

/// All kinds that a server of the release starts with or the recordings create.
pub(crate) fn all(rules: &Rules) -> Vec<Kind> {
    let mut kinds = vec![
        validate(rules),
        duo(rules),
        totp(rules),
        statics(rules),
        webauthn(rules),
        dummy(),
    ];
    kinds.extend(without_endpoint());
    kinds
}

fn validate(rules: &Rules) -> Kind {
    let mut classes = vec!["static", "totp", "webauthn", "duo", "sms"];
    if rules.email_class {
        classes.push("email");
    }
    let mut fields = vec![
        Field::new(
            "not_configured_action",
            FieldKind::NotConfiguredAction,
            json!("skip"),
        ),
        Field::new(
            "device_classes",
            FieldKind::Choices {
                of: classes.clone(),
                may_be_empty: false,
            },
            json!(classes),
        ),
        Field::new("configuration_stages", FieldKind::Stages, json!([])),
        Field::new(
            "last_auth_threshold",
            FieldKind::Duration,
            json!("seconds=0"),
        ),
        Field::new(
            "webauthn_user_verification",
            FieldKind::Choice(USER_VERIFICATION),
            json!("preferred"),
        ),
    ];
    if rules.webauthn_hints {
        fields.push(hints("webauthn_hints"));
    }
    if rules.device_types {
        fields.push(Field::new(
            "webauthn_allowed_device_types",
            FieldKind::DeviceTypes,
            json!([]),
        ));
    }
    Kind {
        route: Some("authenticator/validate"),
        app: "authentik_stages_authenticator_validate",
        model: VALIDATE,
        class: "AuthenticatorValidateStage",
        component: "ak-stage-authenticator-validate-form",
        verbose_name: "Authenticator Validation Stage",
        fields,
        user_settings: None,
    }
}

const USER_VERIFICATION: &[&str] = &["required", "preferred", "discouraged"];

fn hints(name: &'static str) -> Field {
    let of = vec!["security-key", "client-device", "hybrid"];
    Field::new(
        name,
        FieldKind::Choices {
            of,
            may_be_empty: true,
        },
        json!([]),
    )
}

/// The fields of every stage that a user's own flow can set up.
fn configurable(rules: &Rules) -> Vec<Field> {
    let blank = rules.blank_friendly_name;
    let none = if blank { json!("") } else { Value::Null };
    vec![
        Field::new("configure_flow", FieldKind::Flow, Value::Null).nullable(true),
        Field::new("friendly_name", FieldKind::Text { blank }, none).nullable(!blank),
    ]
}

fn duo(rules: &Rules) -> Kind {
    let required = FieldKind::Text { blank: false };
    let optional = FieldKind::Text { blank: true };
    let mut fields = configurable(rules);
    fields.extend([
        Field::new("client_id", required.clone(), Value::Null).required(),
        Field::new("client_secret", required.clone(), Value::Null)
            .required()
            .write_only(),
        Field::new("api_hostname", required, Value::Null).required(),
        Field::new("admin_integration_key", optional.clone(), json!("")),
        Field::new("admin_secret_key", optional, json!("")).write_only(),
    ]);
    Kind {
        route: Some("authenticator/duo"),
        app: "authentik_stages_authenticator_duo",
        model: DUO,
        class: "AuthenticatorDuoStage",
        component: "ak-stage-authenticator-duo-form",
        verbose_name: "Duo Authenticator Setup Stage",
        fields,
        user_settings: Some("ak-user-settings-authenticator-duo"),
    }
}

fn totp(rules: &Rules) -> Kind {
    let mut fields = configurable(rules);
    fields.push(Field::new(
        "digits",
        FieldKind::Choice(&["6", "8"]),
        json!("6"),
    ));
    Kind {
        route: Some("authenticator/totp"),
        app: "authentik_stages_authenticator_totp",
        model: "authenticatortotpstage",
        class: "AuthenticatorTOTPStage",
        component: "ak-stage-authenticator-totp-form",
        verbose_name: "TOTP Authenticator Setup Stage",
        fields,
        user_settings: Some("ak-user-settings-authenticator-totp"),
    }
}

fn statics(rules: &Rules) -> Kind {
    let mut fields = configurable(rules);
    fields.extend([
        Field::new("token_count", FieldKind::Integer, json!(6)),
        Field::new("token_length", FieldKind::Integer, json!(12)),
    ]);
    Kind {
        route: Some("authenticator/static"),
        app: "authentik_stages_authenticator_static",
        model: "authenticatorstaticstage",
        class: "AuthenticatorStaticStage",
        component: "ak-stage-authenticator-static-form",
        verbose_name: "Static Authenticator Setup Stage",
        fields,
        user_settings: Some("ak-user-settings-authenticator-static"),
    }
}

fn webauthn(rules: &Rules) -> Kind {
    const ATTACHMENT: &[&str] = &["platform", "cross-platform"];
    let mut fields = configurable(rules);
    fields.extend([
        Field::new(
            "user_verification",
            FieldKind::Choice(USER_VERIFICATION),
            json!("preferred"),
        ),
        Field::new(
            "authenticator_attachment",
            FieldKind::Choice(ATTACHMENT),
            Value::Null,
        )
        .nullable(true),
        Field::new(
            "resident_key_requirement",
            FieldKind::Choice(USER_VERIFICATION),
            json!("preferred"),
        ),
    ]);
    if rules.webauthn_hints {
        fields.push(hints("hints"));
        fields.push(Field::new(
            "prevent_duplicate_devices",
            FieldKind::Boolean,
            json!(true),
        ));
    }
    if rules.device_types {
        fields.push(Field::new(
            "device_type_restrictions",
            FieldKind::DeviceTypes,
            json!([]),
        ));
    }
    if rules.webauthn_attempts {
        fields.push(Field::new("max_attempts", FieldKind::Integer, json!(0)));
    }
    Kind {
        route: Some("authenticator/webauthn"),
        app: "authentik_stages_authenticator_webauthn",
        model: rules.webauthn_model,
        class: "AuthenticatorWebAuthnStage",
        component: "ak-stage-authenticator-webauthn-form",
        verbose_name: "WebAuthn Authenticator Setup Stage",
        fields,
        user_settings: Some("ak-user-settings-authenticator-webauthn"),
    }
}

fn dummy() -> Kind {
    Kind {
        route: Some("dummy"),
        app: "authentik_stages_dummy",
        model: "dummystage",
        class: "DummyStage",
        component: "ak-stage-dummy-form",
        verbose_name: "Dummy Stage",
        fields: vec![Field::new("throw_error", FieldKind::Boolean, json!(false))],
        user_settings: None,
    }
}

/// Kinds that exist only as the stages of a fresh server.
fn without_endpoint() -> Vec<Kind> {
    [
        (
            "authentik_stages_password",
            "passwordstage",
            "PasswordStage",
            "ak-stage-password-form",
            "Password Stage",
        ),
        (
            "authentik_stages_prompt",
            "promptstage",
            "PromptStage",
            "ak-stage-prompt-form",
            "Prompt Stage",
        ),
        (
            "authentik_stages_consent",
            "consentstage",
            "ConsentStage",
            "ak-stage-consent-form",
            "Consent Stage",
        ),
        (
            "authentik_stages_user_login",
            "userloginstage",
            "UserLoginStage",
            "ak-stage-user-login-form",
            "User Login Stage",
        ),
        (
            "authentik_stages_user_logout",
            "userlogoutstage",
            "UserLogoutStage",
            "ak-stage-user-logout-form",
            "User Logout Stage",
        ),
        (
            "authentik_stages_user_write",
            "userwritestage",
            "UserWriteStage",
            "ak-stage-user-write-form",
            "User Write Stage",
        ),
        (
            "authentik_stages_identification",
            "identificationstage",
            "IdentificationStage",
            "ak-stage-identification-form",
            "Identification Stage",
        ),
    ]
    .into_iter()
    .map(|(app, model, class, component, verbose_name)| Kind {
        route: None,
        app,
        model,
        class,
        component,
        verbose_name,
        fields: Vec::new(),
        user_settings: (model == "passwordstage").then_some("ak-user-settings-password"),
    })
    .collect()
}
