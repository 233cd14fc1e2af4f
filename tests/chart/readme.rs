//! The README, done as it is written: its commands run, and what it shows of their output is what they print.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use devkit::{
    kubernetes::{User, helm, helm_command},
    masks::masked,
    simulator::{Simulator, Version},
};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    release::{Release, listening},
    rendering::{NAMESPACE, chart, succeed},
};

const README: &str = include_str!("../../README.md");

/// The chart of the release, which the test takes from this repository.
const CHART: &str = "oci://registry.example.com/charts/authentik-stage-operator";
/// The placeholders in commands and manifests.
const URL: &str = "https://authentik.example.com";
const TOKEN: &str = "YOUR-API-TOKEN";

/// A command, with the lines that are shown as its output where some are.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    output: Option<Vec<String>>,
}

/// What the README holds in blocks.
#[derive(Debug, Default, PartialEq)]
struct Story {
    /// Manifests, by the name of the file that the text before them gives.
    files: Vec<(String, String)>,
    steps: Vec<Step>,
}

impl Story {
    /// Reads every block. A kind of block that nothing is known of is an error, so that none stays untried.
    fn read(markdown: &str) -> Result<Self, String> {
        let mut story = Self::default();
        let mut block: Option<(String, String)> = None;
        let mut file = String::new();
        for event in Parser::new(markdown) {
            match event {
                Event::Code(code) if code.ends_with(".yaml") => file = code.into_string(),
                Event::Start(Tag::CodeBlock(kind)) => {
                    let kind = match kind {
                        CodeBlockKind::Fenced(kind) => kind.into_string(),
                        CodeBlockKind::Indented => "indented".to_owned(),
                    };
                    block = Some((kind, String::new()));
                }
                Event::Text(text) => {
                    if let Some((_, content)) = &mut block {
                        content.push_str(&text);
                    }
                }
                Event::End(TagEnd::CodeBlock) => {
                    let (kind, content) = block.take().expect("a block has begun");
                    story.add(&kind, content, &file)?;
                }
                _ => {}
            }
        }
        Ok(story)
    }

    fn add(&mut self, kind: &str, content: String, file: &str) -> Result<(), String> {
        match kind {
            "yaml" => self.files.push((file.to_owned(), content)),
            "sh" => self.steps.extend(content.lines().map(|line| Step {
                command: line.to_owned(),
                output: None,
            })),
            "console" => self.add_session(&content)?,
            // The forge draws it.
            "mermaid" => {}
            other => {
                return Err(format!(
                    "no test knows what to do with a block of {other:?}: {content}"
                ));
            }
        }
        Ok(())
    }

    /// Commands behind `$`, each with its output below it.
    fn add_session(&mut self, content: &str) -> Result<(), String> {
        let mut session: Vec<Step> = Vec::new();
        for line in content.lines() {
            match (line.strip_prefix("$ "), session.last_mut()) {
                (Some(command), _) => session.push(Step {
                    command: command.to_owned(),
                    output: Some(Vec::new()),
                }),
                (
                    None,
                    Some(Step {
                        output: Some(output),
                        ..
                    }),
                ) => output.push(line.to_owned()),
                _ => return Err(format!("a session begins with a command: {line}")),
            }
        }
        self.steps.extend(session);
        Ok(())
    }
}

/// A cluster, an authentik, and a folder in which the commands run.
struct Reader {
    release: Release,
    simulator: Simulator,
    folder: PathBuf,
    package: PathBuf,
    program: Option<tokio::process::Child>,
}

impl Reader {
    async fn new(story: &Story) -> Self {
        let release = Release::new().await;
        let simulator = Simulator::start(Version::V2026_5).await;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("readme");
        // What an earlier run has left may be of another README.
        let _ = fs::remove_dir_all(&folder);
        let programs = folder.join("bin");
        fs::create_dir_all(&programs).expect("the folder can be made");
        symlink(helm().expect("Helm is built"), programs.join("helm")).expect("it can be linked");
        symlink(release.0.kubectl(), programs.join("kubectl")).expect("it can be linked");
        for (name, manifest) in &story.files {
            let manifest = manifest.replace(URL, &simulator.url());
            fs::write(folder.join(name), manifest).expect("it can be written");
        }
        let package = packaged(&folder);
        Self {
            release,
            simulator,
            folder,
            package,
            program: None,
        }
    }

    /// Runs a command of the README and returns what it printed.
    fn shell(&self, command: &str) -> String {
        let command = command
            .replace(CHART, &self.package.to_string_lossy())
            .replace(TOKEN, self.simulator.token());
        let path = std::env::var("PATH").expect("there is a path");
        let programs = self.folder.join("bin");
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &command]).current_dir(&self.folder);
        for of in [
            self.release.0.kubectl_command([""; 0]),
            helm_command([""; 0]),
        ] {
            let set = of
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?)));
            shell.envs(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        shell
            .env("KUBECONFIG", self.release.0.kubeconfig(User::Admin))
            .env("PATH", format!("{}:{path}", programs.display()));
        succeed(&mut shell, "").replace(&self.simulator.url(), URL)
    }

    /// What has happened when a reader has got to this command.
    async fn before(&mut self, command: &str) {
        if command.starts_with("kubectl create secret") {
            // There are no nodes: the test runs the program of the pods that were installed.
            let mut values = json!({});
            listening(&mut values);
            self.program = Some(self.release.program(&values));
        } else if command.starts_with("kubectl get events") {
            self.weaken().await;
        } else if command == "kubectl get avs typo" {
            self.apply_typo();
        }
    }

    /// Somebody changes the stage in authentik, and the operator has put it right.
    async fn weaken(&self) {
        let token = self.token_of("alice").await;
        let stage = self.kubectl(&["get", "avs/mfa", "--output=jsonpath={.status.stage.uuid}"]);
        let path = format!("stages/authenticator/validate/{stage}/");
        let skip = json!({"not_configured_action": "skip"});
        self.ask(&token, Method::PATCH, &path, &skip).await;
        for reason in ["FactorWeakened", "DriftCorrected"] {
            let of_it = format!("--field-selector=involvedObject.name=mfa,reason={reason}");
            self.kubectl(&["wait", "--for=create", "--timeout=60s", "events", &of_it]);
        }
    }

    /// A token of another administrator.
    async fn token_of(&self, name: &str) -> String {
        let ours = self.simulator.token();
        let user = json!({"username": name, "name": name, "is_active": true, "type": "internal"});
        let user = self.ask(ours, Method::POST, "core/users/", &user).await["pk"].clone();
        let groups = "core/groups/?name=authentik%20Admins";
        let groups = self.ask(ours, Method::GET, groups, &Value::Null).await;
        let group = groups["results"][0]["pk"]
            .as_str()
            .expect("a group")
            .to_owned();
        let join = format!("core/groups/{group}/add_user/");
        self.ask(ours, Method::POST, &join, &json!({"pk": user}))
            .await;
        let token = json!({"identifier": name, "user": user, "intent": "api", "expiring": false});
        self.ask(ours, Method::POST, "core/tokens/", &token).await;
        let key = format!("core/tokens/{name}/view_key/");
        let key = self.ask(ours, Method::GET, &key, &Value::Null).await;
        key["key"].as_str().expect("a token").to_owned()
    }

    async fn ask(&self, token: &str, method: Method, path: &str, body: &Value) -> Value {
        let url = format!("{}/api/v3/{path}", self.simulator.url());
        let mut request = reqwest::Client::new()
            .request(method, url)
            .bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await.expect("authentik answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        let text = answer.text().await.expect("a text");
        serde_json::from_str(&text).unwrap_or_default()
    }

    fn apply_typo(&self) {
        let stage = json!({
            "apiVersion": "authentik-operator.io/v1alpha1", "kind": "AuthenticatorValidateStage",
            "metadata": {"name": "typo"},
            "spec": {"configurationStages": [{"name": "default-authenticator-topt-setup"}]},
        });
        let apply = ["apply", "--server-side", "--filename=-"];
        succeed(
            &mut self.release.0.kubectl_command(apply),
            &stage.to_string(),
        );
        let told =
            "--for=jsonpath={.status.conditions[?(@.type==\"Ready\")].reason}=ReferenceNotFound";
        self.kubectl(&["wait", told, "--timeout=60s", "avs/typo"]);
    }

    fn kubectl(&self, args: &[&str]) -> String {
        succeed(&mut self.release.0.kubectl_command(args), "")
    }
}

/// The chart as a package.
fn packaged(folder: &Path) -> PathBuf {
    let mut package = helm_command(["package", "--destination"]);
    succeed(package.arg(folder).arg(chart()), "");
    folder.join(format!(
        "authentik-stage-operator-{}.tgz",
        env!("CARGO_PKG_VERSION")
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readme_does_what_it_says() {
    let story = Story::read(README).unwrap_or_else(|error| panic!("README.md: {error}"));
    let mut reader = Reader::new(&story).await;
    let (mut ran, mut shown) = (0, 0);
    for Step { command, output } in &story.steps {
        // Those targets take minutes; tests/pages.rs looks whether they are there.
        if command.starts_with("make ") {
            continue;
        }
        reader.before(command).await;
        let printed = reader.shell(command);
        ran += 1;
        if let Some(output) = output {
            let wanted = masked(output.iter().map(String::as_str));
            assert_eq!(
                masked(printed.lines()),
                wanted,
                "{command} prints:\n{printed}"
            );
            shown += 1;
        }
    }
    assert!(ran > 5 && shown > 3, "{:?}", story.steps);
}

#[test]
fn the_readme_installs_this_version() {
    let story = Story::read(README).expect("it is known");
    let installs = |step: &&Step| step.command.starts_with("helm install");
    let install = story
        .steps
        .iter()
        .find(installs)
        .expect("it installs the chart");
    let version = format!("{CHART} --version {} ", env!("CARGO_PKG_VERSION"));
    assert!(install.command.contains(&version), "{}", install.command);
    assert!(
        install
            .command
            .contains(&format!("--namespace {NAMESPACE} "))
    );
}

#[test]
fn a_block_that_is_not_known_is_refused() {
    for unknown in [
        "```\nls\n```",
        "```bash\nls\n```",
        "text\n\n    ls\n",
        "```console\nls\n```",
    ] {
        assert!(Story::read(unknown).is_err(), "{unknown}");
    }
    let step = |command: &str, output| Step {
        command: command.to_owned(),
        output,
    };
    let story = Story::read("```sh\nls\n```\n```console\n$ ls\na  1s\n```").expect("it is known");
    let output = Some(vec!["a  1s".to_owned()]);
    assert_eq!(story.steps, [step("ls", None), step("ls", output)]);
}
