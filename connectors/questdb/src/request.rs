//! One request over one connection.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONNECTION, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use prism_schemas::QuestDbAddress;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::error::Error;

/// Who takes no connection within this is not there, however long an answer may take.
const CONNECT: Duration = Duration::from_secs(3);

/// A connection for one request; what fails here has sent nothing.
pub(crate) async fn connect(address: &QuestDbAddress, deadline: Instant) -> Result<SendRequest<Full<Bytes>>, Error> {
    let away = |error: &dyn std::error::Error| Error::away(address, chain(error));
    let within = timeout_at(deadline.min(Instant::now() + CONNECT), TcpStream::connect(&address.host));
    let stream = within.await.map_err(|_| Error::away(address, "no connection in time"))?;
    let stream = stream.map_err(|error| away(&error))?;
    // The last packet of a request must not wait for an acknowledgement.
    stream.set_nodelay(true).map_err(|error| away(&error))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(&error))?;
    tokio::spawn(connection);
    Ok(sender)
}

/// Sends the request and gives status and body. The connection ends with the body.
pub(crate) async fn send(
    address: &QuestDbAddress,
    mut connection: SendRequest<Full<Bytes>>,
    (method, path): (Method, &str),
    query: &[(&str, &str)],
    body: Bytes,
) -> Result<(u16, Incoming), Error> {
    let away = |error: &dyn std::error::Error| Error::away(address, chain(error));
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let target = if query.is_empty() { format!("/{path}") } else { format!("/{path}?{}", query.join("&")) };
    let mut request =
        Request::builder().method(method).uri(target).header(HOST, &address.host).header(CONNECTION, "close");
    if let Some(value) = address.authorization() {
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(Full::new(body)).map_err(|error| away(&error))?;
    let response = connection.send_request(request).await.map_err(|error| away(&error))?;
    Ok((response.status().as_u16(), response.into_body()))
}

/// Asks for a path.
pub(crate) async fn get(
    address: &QuestDbAddress,
    path: &str,
    query: &[(&str, &str)],
    deadline: Instant,
) -> Result<(u16, Incoming), Error> {
    let connection = connect(address, deadline).await?;
    send(address, connection, (Method::GET, path), query, Bytes::new()).await
}

/// The next bytes of a body; `None` after the last.
pub(crate) async fn chunk(address: &QuestDbAddress, body: &mut Incoming) -> Result<Option<Bytes>, Error> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Error::away(address, chain(&error)))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

/// A whole body of at most `limit` bytes.
pub(crate) async fn whole(address: &QuestDbAddress, mut body: Incoming, limit: usize) -> Result<BytesMut, Error> {
    let mut whole = BytesMut::new();
    while let Some(bytes) = chunk(address, &mut body).await? {
        if limit < whole.len() + bytes.len() {
            return Err(Error::too_large(address, limit));
        }
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

/// A value of a query string.
fn encode(value: &str) -> String {
    let mut out = String::with_capacity(value.len() * 2);
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn values_are_encoded() {
        assert_eq!(encode("a = 'é' & b+1"), "a%20%3D%20%27%C3%A9%27%20%26%20b%2B1");
    }
}
