//! The simulator as an HTTP server.

use super::accounts;
use super::busy;
use super::http::{Reply, Request};
use super::router;
use super::sets::{self, Gap, HeldSets};
use super::state::State;
use super::versions::Version;
use crate::churn::Churn;
use crate::template::template;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State as Shared};
use axum::http::{HeaderMap, Method, Uri, header};
use axum::response::Response;
use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Large enough for every body that a real server takes.
const LARGEST_BODY: usize = 32 << 20;

/// How long answers take beside their computation. By default no time at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Latency {
    /// Each row of a list, which takes no less than a read all the same.
    pub list_row: Duration,
    /// Any other read.
    pub get: Duration,
    /// A write.
    pub write: Duration,
    /// Whether one request is answered at a time, as one worker does.
    pub serial: bool,
}

impl Latency {
    /// A real server's, as measured on authentik 2024.8 with one worker on two cores.
    pub const MEASURED: Self = Self {
        list_row: Duration::from_micros(3500),
        get: Duration::from_millis(70),
        write: Duration::from_millis(110),
        serial: true,
    };

    fn of(&self, request: &Request, rows: usize) -> Duration {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        match request.is_read() {
            true => self.get.max(self.list_row.saturating_mul(rows)),
            false => self.write,
        }
    }
}

struct App {
    state: Mutex<State>,
    latency: Mutex<Latency>,
    /// The time between a stage's row and its sets.
    gap: Arc<Gap>,
    /// How often each request was answered, by method and path.
    answered: Mutex<BTreeMap<(String, String), u64>>,
    /// Held while a request is answered by a server with one worker.
    worker: tokio::sync::Mutex<()>,
}

impl App {
    fn with(state: State) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            latency: Mutex::default(),
            gap: Arc::default(),
            answered: Mutex::default(),
            worker: tokio::sync::Mutex::default(),
        })
    }

    /// A panic while the state was held is a bug of its own; later requests still get answers.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn latency(&self) -> MutexGuard<'_, Latency> {
        self.latency
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn answered(&self) -> MutexGuard<'_, BTreeMap<(String, String), u64>> {
        self.answered
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A running simulator. It stops when it is dropped.
pub struct Simulator {
    app: Arc<App>,
    address: SocketAddr,
    token: String,
    _stop: oneshot::Sender<()>,
}

impl Simulator {
    /// Starts a fresh server of a release on a free port of the loopback interface.
    ///
    /// # Panics
    /// If the loopback interface has no free port.
    pub async fn start(version: Version) -> Self {
        let token = accounts::random_key();
        let state = State::new(version, token.clone());
        Self::serving(state, token).await
    }

    /// Starts a server as another is at this moment, as one restored from its backup: with the same UUIDs and tokens,
    /// and a life of its own from here on.
    ///
    /// # Panics
    /// If the loopback interface has no free port.
    pub async fn start_from(other: &Self) -> Self {
        let state = other.app.state().clone();
        Self::serving(state, other.token.clone()).await
    }

    async fn serving(state: State, token: String) -> Self {
        let app = App::with(state);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free loopback port");
        let address = listener
            .local_addr()
            .expect("a bound listener has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let router = routes(app.clone());
        tokio::spawn(async move {
            let stop = async {
                // Dropping the sender is the signal.
                let _ = stopped.await;
            };
            axum::serve(listener, router)
                .with_graceful_shutdown(stop)
                .await
        });
        Self {
            app,
            address,
            token,
            _stop: stop,
        }
    }

    /// What it holds.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.app.state()
    }

    /// Where it listens: `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A superuser's API token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Takes the database away or gives it back: reads answer 500, writes an empty 405.
    pub fn set_database_down(&self, down: bool) {
        self.app.state().database_down = down;
    }

    /// Takes Redis away or gives it back: writes take effect and answer an empty 405.
    pub fn set_redis_down(&self, down: bool) {
        self.app.state().redis_down = down;
    }

    /// A token of a new user with these permissions on whole models (`app_label.codename`) only.
    pub fn create_token(&self, permissions: &[&str]) -> String {
        self.app.state().accounts.add_limited(permissions)
    }

    /// Makes a token invalid.
    pub fn revoke_token(&self, token: &str) {
        self.app
            .state()
            .accounts
            .tokens
            .retain(|_, known| known.key != token);
    }

    /// Makes a role that a user has, and returns the role's key.
    pub fn create_role(&self, name: &str, username: &str) -> Uuid {
        self.app.state().accounts.add_role(name, username)
    }

    /// Refuses from now on to delete a stage through which devices are enrolled, as 2026.8 does: with an internal
    /// error, for as long as the devices are there.
    pub fn protect_devices(&self) {
        self.app.state().devices_protected = true;
    }

    /// Writes a stage's row before its sets from now on, with this gap between the two, as a real server does. Who
    /// reads in the gap sees half of the change.
    pub fn write_rows_first(&self, gap: Duration) {
        self.app.state().rows_first = true;
        self.app.gap.set(gap);
    }

    /// Holds the gap between rows and sets open until what it returns is dropped; after that there is none.
    pub fn hold_sets(&self) -> HeldSets {
        self.write_rows_first(Duration::ZERO);
        self.app.gap.clone().hold()
    }

    /// Makes answers take their time from now on.
    pub fn set_latency(&self, latency: Latency) {
        *self.app.latency() = latency;
    }

    /// How often each request has been answered so far: by method, and by path with `{uuid}` for every UUID in it.
    pub fn answered(&self) -> BTreeMap<(String, String), u64> {
        self.app.answered().clone()
    }
}

/// Serves a simulator on a given address until the process ends.
///
/// Without a token, one is made up and told. A busy one is slow, and others make and delete rows there all the time.
///
/// # Errors
/// If the address cannot be bound, or the others find no answer.
pub async fn serve(
    version: Version,
    listen: SocketAddr,
    token: Option<String>,
    busy: bool,
) -> std::io::Result<()> {
    let token = token.unwrap_or_else(|| {
        let token = accounts::random_key();
        println!("token: {token}");
        token
    });
    let listener = TcpListener::bind(listen).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let app = App::with(State::new(version, token.clone()));
    let served = axum::serve(listener, routes(app.clone()));
    let others = async {
        let others = match busy {
            true => occupy(&app, &url, &token).await?,
            false => Vec::new(),
        };
        println!("authentik {version} (simulated) on {url}");
        Ok(others)
    };
    let (_others, ()) = tokio::try_join!(others, served.into_future())?;
    Ok(())
}

/// Lets others in, and makes the server slow once their rows are made.
async fn occupy(app: &App, url: &str, token: &str) -> std::io::Result<Vec<Churn>> {
    let others = busy::begin(url, token).await;
    let others = others.map_err(std::io::Error::other)?;
    app.state().rows_first = true;
    app.gap.set(busy::GAP);
    *app.latency() = busy::LATENCY;
    Ok(others)
}

fn routes(app: Arc<App>) -> Router {
    Router::new()
        .fallback(handle)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(app)
}

async fn handle(
    Shared(app): Shared<Arc<App>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request = decode(&method, &uri, &headers, &body);
    let latency = *app.latency();
    let _worker = if latency.serial {
        Some(app.worker.lock().await)
    } else {
        None
    };
    let request = Arc::new(request);
    let reply = answer(&app, &request).await;
    let pause = latency.of(&request, reply.rows);
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    let answered = (request.method.clone(), template(&request.path));
    *app.answered().entry(answered).or_default() += 1;
    let status = reply.status;
    let (content_type, bytes) = reply.into_bytes(&app.state().rules);
    let mut response = Response::builder().status(status);
    if let Some(content_type) = content_type {
        response = response.header(header::CONTENT_TYPE, content_type);
    }
    response
        .body(bytes.into())
        .expect("statuses and content types are constants")
}

/// Does what is asked, in two steps where a stage's row is written before its sets.
async fn answer(app: &Arc<App>, request: &Arc<Request>) -> Reply {
    let (reply, unwritten) = {
        let mut state = app.state();
        (router::answer(&mut state, request), state.unwritten.take())
    };
    // A server that fails after the row never comes to the sets.
    let Some(unwritten) = unwritten.filter(|_| reply.status < 300) else {
        return reply;
    };
    let (app, request) = (app.clone(), request.clone());
    let rest = async move {
        app.gap.pass().await;
        sets::write(&mut app.state(), &request, reply.status, unwritten)
    };
    // It goes on also where the client has gone.
    match tokio::spawn(rest).await {
        Ok(reply) => reply,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

fn decode(method: &Method, uri: &Uri, headers: &HeaderMap, body: &Bytes) -> Request {
    let header = |name: header::HeaderName| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let query = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes());
    Request {
        method: method.to_string(),
        path: percent_decode(uri.path()),
        query: query.into_owned().collect(),
        authorization: header(header::AUTHORIZATION),
        accept: header(header::ACCEPT),
        accept_language: header(header::ACCEPT_LANGUAGE),
        content_type: header(header::CONTENT_TYPE),
        user_agent: header(header::USER_AGENT),
        body: body.to_vec(),
    }
}

fn percent_decode(path: &str) -> String {
    percent_encoding::percent_decode_str(path)
        .decode_utf8_lossy()
        .into_owned()
}
