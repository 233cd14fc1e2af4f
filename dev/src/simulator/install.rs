//! What a server holds after its installation.

use super::state::State;
use super::tables::Table;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

#[derive(Deserialize)]
struct Defaults {
    flows: Vec<DefaultFlow>,
    stages: Vec<DefaultStage>,
    bindings: Vec<DefaultBinding>,
}

#[derive(Deserialize)]
struct DefaultFlow {
    slug: String,
    name: String,
    title: String,
    designation: String,
    authentication: String,
    policies: usize,
}

#[derive(Deserialize)]
struct DefaultStage {
    name: String,
    model: String,
}

#[derive(Deserialize)]
struct DefaultBinding {
    flow: String,
    stage: String,
    order: i64,
}

/// Set-up stages of a fresh server that users find in their settings.
const USER_STAGES: [(&str, &str, &str); 4] = [
    (
        "default-authenticator-static-setup",
        "default-authenticator-static-setup",
        "Static tokens",
    ),
    (
        "default-authenticator-totp-setup",
        "default-authenticator-totp-setup",
        "TOTP Device",
    ),
    (
        "default-authenticator-webauthn-setup",
        "default-authenticator-webauthn-setup",
        "WebAuthn device",
    ),
    (
        "default-authentication-password",
        "default-password-change",
        "",
    ),
];

/// The flows of the default brand.
const BRAND_FLOWS: [(&str, &str); 3] = [
    ("flow_authentication", "default-authentication-flow"),
    ("flow_invalidation", "default-invalidation-flow"),
    ("flow_user_settings", "default-user-settings-flow"),
];

/// Scopes of OpenID, and what keeps their mappings as they are.
const SCOPES: [(&str, &str); 3] = [
    ("openid", "goauthentik.io/providers/oauth2/scope-openid"),
    ("email", "goauthentik.io/providers/oauth2/scope-email"),
    ("profile", "goauthentik.io/providers/oauth2/scope-profile"),
];

impl State {
    /// Adds the flows, stages and bindings that a fresh server has.
    pub(crate) fn install(&mut self) {
        let defaults: Defaults = serde_json::from_str(include_str!("seed/defaults.json"))
            .expect("the seed is well-formed");
        for flow in &defaults.flows {
            self.install_flow(flow);
        }
        self.install_stages(&defaults.stages);
        self.install_rows();
        for binding in defaults.bindings {
            let (target, stage) = (self.slugs[&binding.flow], self.names[&binding.stage]);
            self.bind(target, stage, binding.order, super::bindings::defaults());
        }
    }

    fn install_flow(&mut self, flow: &DefaultFlow) {
        if flow.slug == "default-provider-invalidation-flow"
            && !self.rules.provider_invalidation_flow
        {
            return;
        }
        let totp = flow.slug == "default-authenticator-totp-setup";
        let title = if totp {
            self.rules.totp_flow_title
        } else {
            &flow.title
        };
        let fields = json!({
            "name": flow.name, "slug": flow.slug, "title": title,
            "designation": flow.designation, "authentication": flow.authentication,
        });
        let Value::Object(fields) = fields else {
            return;
        };
        let pk = self.add_flow(fields);
        let policies = (0..flow.policies).map(|_| Uuid::new_v4()).collect();
        if let Some(flow) = self.flows.get_mut(&pk) {
            flow.policies = policies;
        }
    }

    /// The default brand, and some of the mappings that come with the server.
    fn install_rows(&mut self) {
        let mut brand = Map::from_iter([
            ("domain".to_owned(), json!("authentik-default")),
            ("default".to_owned(), json!(true)),
        ]);
        brand.extend(BRAND_FLOWS.map(|(field, flow)| (field.to_owned(), json!(self.slugs[flow]))));
        self.add_row(Table::Brand, brand);
        for (scope, managed) in SCOPES {
            let name = format!("authentik default OAuth Mapping: OpenID '{scope}'");
            let mapping = Map::from_iter([
                ("name".to_owned(), json!(name)),
                ("expression".to_owned(), json!("return {}")),
            ]);
            let id = self.add_row(Table::ScopeMapping, mapping);
            if let Some(row) = self.rows.get_mut(&id) {
                row.managed = Some(managed);
            }
        }
    }

    fn install_stages(&mut self, stages: &[DefaultStage]) {
        let mut order: Vec<&DefaultStage> = stages.iter().collect();
        if !self.rules.authentication_stages_first {
            order.sort_by_key(|stage| !stage.name.ends_with("-setup"));
            order[..3].sort_by_key(|stage| &stage.name);
        }
        for stage in order {
            let kind = self.kind_of_model(&stage.model);
            self.add_stage(kind, stage.name.clone(), Map::new());
        }
        for (stage, flow, friendly_name) in USER_STAGES {
            let (pk, flow) = (self.names[stage], self.slugs[flow]);
            if let Some(stage) = self.stages.get_mut(&pk) {
                stage
                    .fields
                    .insert("configure_flow".to_owned(), json!(flow));
                stage
                    .fields
                    .insert("friendly_name".to_owned(), json!(friendly_name));
            }
        }
    }

    fn kind_of_model(&self, model: &str) -> usize {
        let webauthn = model == "authenticatorwebauthnstage";
        let model = if webauthn {
            self.rules.webauthn_model
        } else {
            model
        };
        self.kinds
            .iter()
            .position(|kind| kind.model == model)
            .expect("every default stage has a kind")
    }
}
