//! Servers that answer badly on purpose, for tests of what a client lets happen to itself.
//!
//! Each speaks just as much HTTP as that takes. Where no rule says otherwise it is an authentik that holds nothing: it
//! answers the probe, its lists are empty, and it says of all that is written that it is there.

mod body;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

/// Which requests a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requests {
    /// Every one.
    All,
    /// Those for the server's version, with which a connection is probed.
    Probe,
    /// Reads of a page of a collection.
    Lists,
    /// Those that are no reads.
    Writes,
    /// All but those for the version.
    NoProbe,
}

/// How requests are answered.
#[derive(Clone, Debug)]
pub enum Manner {
    /// Never. The connection stays open.
    Never,
    /// As without this rule, so much later.
    Late(Duration),
    /// With an object of about this many bytes: what a reader looks for, and an array of small numbers.
    Numbers(usize),
    /// With half of such an object, after which nothing more comes.
    Half(usize),
    /// With a page of so many rows. Endless pages say that there is one more, every time.
    Rows {
        /// What each row is like.
        row: Row,
        /// How many there are on a page.
        rows: usize,
        /// Whether the pages have no end.
        endless: bool,
    },
    /// With the token that came with the request in all texts of the answer; writes are refused. One row of each list is
    /// named [`ECHOED`], so that something can stand for it.
    EchoToken,
    /// With 503 and `Retry-After`, in seconds.
    Unavailable {
        /// The seconds.
        retry_after: u64,
    },
}

/// What a row is like.
#[derive(Clone, Copy, Debug)]
pub enum Row {
    /// With a name of so many bytes.
    Named(usize),
    /// With arrays of so many items wherever there may be one.
    Arrays(usize),
}

/// The name of the row in which a token is echoed.
pub const ECHOED: &str = "echoed";

/// How a server is set up.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    rules: Vec<(Requests, Manner)>,
}

impl Builder {
    /// Answers these requests in this manner. Of several rules for one request the first counts, and each
    /// [`Manner::Late`] before it.
    #[must_use]
    pub fn on(mut self, requests: Requests, manner: Manner) -> Self {
        self.rules.push((requests, manner));
        self
    }

    /// Starts listening on a free port of the loopback interface.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn launch(self) -> Hostile {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let asked = watch::Sender::new(Vec::new());
        let task = tokio::spawn(accept(listener, Arc::new(self.rules), asked.clone()));
        Hostile {
            address,
            asked,
            task,
        }
    }
}

/// A running server. It stops when it is dropped.
pub struct Hostile {
    address: SocketAddr,
    /// Every request so far.
    asked: watch::Sender<Vec<Asked>>,
    task: JoinHandle<()>,
}

impl Hostile {
    /// Sets up a server that does no harm yet.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until it has been asked this often. False when the time is over first.
    pub async fn asked(&self, what: Requests, least: usize, timeout: Duration) -> bool {
        let count = |asked: &Vec<Asked>| asked.iter().filter(|asked| what.matches(asked)).count();
        let mut asked = self.asked.subscribe();
        let enough = asked.wait_for(|asked| count(asked) >= least);
        tokio::time::timeout(timeout, enough)
            .await
            .is_ok_and(|outcome| outcome.is_ok())
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What is kept of a request.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    target: String,
}

impl Asked {
    /// The number of the page, where one is asked for.
    fn page(&self) -> Option<u64> {
        let (_, query) = self.target.split_once('?')?;
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == "page")?.1.parse().ok()
    }
}

impl Requests {
    fn matches(self, asked: &Asked) -> bool {
        let read = asked.method == "GET";
        let probe = asked.target.contains("/admin/version/");
        match self {
            Self::All => true,
            Self::Probe => probe,
            Self::NoProbe => !probe,
            Self::Writes => !read,
            Self::Lists => read && asked.page().is_some(),
        }
    }
}

struct Request {
    asked: Asked,
    token: String,
    body: Value,
}

struct Answer {
    status: &'static str,
    /// One more header, with its line's end.
    header: String,
    body: String,
    /// Whether only half of the body is sent.
    half: bool,
}

impl Answer {
    fn new(status: &'static str, body: impl ToString) -> Self {
        Self {
            status,
            header: String::new(),
            body: body.to_string(),
            half: false,
        }
    }
}

/// Serves connections until the task is aborted, which aborts them too.
async fn accept(
    listener: TcpListener,
    rules: Arc<Vec<(Requests, Manner)>>,
    asked: watch::Sender<Vec<Asked>>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                connections.spawn(serve(stream, rules.clone(), asked.clone()));
            },
        }
    }
}

/// Answers the requests of one connection, until the client goes or gets none.
async fn serve(
    stream: TcpStream,
    rules: Arc<Vec<(Requests, Manner)>>,
    asked: watch::Sender<Vec<Asked>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let request = read(&mut stream).await?;
        asked.send_modify(|asked| asked.push(request.asked.clone()));
        let Some(answer) = answer(&rules, &request).await else {
            return until_closed(&mut stream).await;
        };
        let head = format!(
            "HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{}\r\n",
            answer.status,
            answer.body.len(),
            answer.header
        );
        stream.write_all(head.as_bytes()).await.ok()?;
        let body = answer.body.as_bytes();
        if answer.half {
            stream.write_all(&body[..body.len() / 2]).await.ok()?;
            stream.flush().await.ok()?;
            return until_closed(&mut stream).await;
        }
        stream.write_all(body).await.ok()?;
        stream.flush().await.ok()?;
    }
}

/// Holds a connection open for as long as the client does.
async fn until_closed(stream: &mut BufReader<TcpStream>) -> Option<()> {
    tokio::io::copy(stream, &mut tokio::io::sink()).await.ok()?;
    None
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut parts = lines.first()?.split(' ').map(str::to_owned);
    let asked = Asked {
        method: parts.next()?,
        target: parts.next()?,
    };
    let header = |name: &str| {
        let mut headers = lines.iter().filter_map(|line| line.split_once(':'));
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value.trim()).to_owned()
    };
    let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(Request {
        asked,
        token: header("authorization")
            .trim_start_matches("Bearer ")
            .to_owned(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// The answer to a request, once it is time for it; none where it gets none.
async fn answer(rules: &[(Requests, Manner)], request: &Request) -> Option<Answer> {
    for (requests, manner) in rules {
        if !requests.matches(&request.asked) {
            continue;
        }
        match manner {
            Manner::Never => return None,
            Manner::Late(latency) => tokio::time::sleep(*latency).await,
            manner => return Some(badly(manner, request)),
        }
    }
    Some(well(request))
}

fn badly(manner: &Manner, request: &Request) -> Answer {
    let read = request.asked.method == "GET";
    let ok = |body: String| Answer::new(if read { "200 OK" } else { "201 Created" }, body);
    match *manner {
        Manner::Never | Manner::Late(_) => well(request),
        Manner::Numbers(bytes) => ok(body::numbers(bytes)),
        Manner::Half(bytes) => Answer {
            half: true,
            ..ok(body::numbers(bytes))
        },
        Manner::Rows { row, rows, endless } => {
            let next = request.asked.page().unwrap_or(1) + 1;
            let next = if endless { next } else { 0 };
            ok(body::page(next, row, rows))
        }
        Manner::EchoToken if request.asked.target.contains("/used_by/") => {
            ok(body::echoed_users(&request.token))
        }
        Manner::EchoToken if read => ok(body::echo(&request.token)),
        Manner::EchoToken => {
            let said = &request.token;
            Answer::new("400 Bad Request", json!({"name": [said], "detail": said}))
        }
        Manner::Unavailable { retry_after } => Answer {
            header: format!("retry-after: {retry_after}\r\n"),
            ..Answer::new("503 Service Unavailable", "{}")
        },
    }
}

/// As an authentik that holds nothing.
fn well(request: &Request) -> Answer {
    let asked = &request.asked;
    let mut row = request.body.clone();
    match asked.method.as_str() {
        "GET" if Requests::Probe.matches(asked) => Answer::new("200 OK", body::version("2026.5.0")),
        "GET" if asked.target.contains('?') => {
            Answer::new("200 OK", body::page(0, Row::Named(0), 0))
        }
        "GET" => Answer::new("404 Not Found", json!({"detail": "Not found."})),
        "DELETE" => Answer::new("204 No Content", ""),
        "POST" => {
            row["pk"] = json!(Uuid::new_v4());
            Answer::new("201 Created", row)
        }
        _ => Answer::new("200 OK", row),
    }
}
