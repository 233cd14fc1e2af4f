//! What answers are made of.

use futures::stream::{self, StreamExt};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Bytes, Frame};
use hyper::header;
use hyper::{Response, StatusCode};

/// The end of a connection without an answer.
#[derive(Debug)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut on purpose")
    }
}

impl std::error::Error for Cut {}

pub(super) type Body = BoxBody<Bytes, Cut>;
pub(super) type Answer = Result<Response<Body>, Cut>;

pub(super) const HTML: &str = "text/html; charset=utf-8";
pub(super) const JSON: &str = "application/json";
pub(super) const ERROR_PAGE: &str = "<!DOCTYPE html>\n<title>Server Error</title>\n";
pub(super) const THROTTLED: &str = "{\"detail\":\"Request was throttled.\"}";
const CHUNK: usize = 64 << 10;

/// An answer that has come in whole.
pub(super) struct Upstream {
    pub(super) status: StatusCode,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: Bytes,
}

impl Upstream {
    /// The server's answer with another body.
    pub(super) fn with(&self, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }

    /// The server's answer, which ends before the length that it announces.
    pub(super) fn broken_off(&self) -> Response<Body> {
        let half = self.body.slice(..self.body.len() / 2);
        // The pause lets the head and the first half get out before the end.
        let end = stream::once(async {
            tokio::task::yield_now().await;
            Err(Cut)
        });
        let frames = stream::once(std::future::ready(Ok(Frame::data(half)))).chain(end);
        let mut response = self.with(BodyExt::boxed(StreamBody::new(frames)));
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, self.body.len().max(1).into());
        response
    }
}

pub(super) fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed()
}

/// A JSON string, made while it is sent.
pub(super) fn huge(length: usize) -> Body {
    let inner = length.saturating_sub(2);
    let chunks = (0..inner.div_ceil(CHUNK))
        .map(move |chunk| Bytes::from(vec![b'a'; CHUNK.min(inner - chunk * CHUNK)]));
    let quote = || std::iter::once(Bytes::from_static(b"\""));
    let frames = quote()
        .chain(chunks)
        .chain(quote())
        .map(|bytes| Ok(Frame::data(bytes)));
    BodyExt::boxed(StreamBody::new(stream::iter(frames)))
}

pub(super) fn page(status: StatusCode, content_type: &str, body: &str) -> Response<Body> {
    typed(
        status,
        content_type,
        full(Bytes::copy_from_slice(body.as_bytes())),
    )
}

pub(super) fn typed(status: StatusCode, content_type: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if let Ok(content_type) = content_type.parse() {
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
    }
    response
}
