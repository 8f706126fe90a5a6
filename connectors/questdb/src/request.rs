//! One GET request over one connection.

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONNECTION, HOST};
use hyper_util::rt::TokioIo;
use prism_schemas::QuestDbAddress;
use tokio::net::TcpStream;

use crate::error::Error;

/// Sends the request and gives status and body. The connection ends with the body.
pub(crate) async fn get(
    address: &QuestDbAddress,
    path: &str,
    query: &[(&str, &str)],
) -> Result<(u16, Incoming), Error> {
    let away = |error: &dyn std::error::Error| Error::away(address, chain(error));
    let stream = TcpStream::connect(&address.host).await.map_err(|error| away(&error))?;
    // A request is one packet; without it nothing is gained by waiting.
    stream.set_nodelay(true).map_err(|error| away(&error))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| away(&error))?;
    tokio::spawn(connection);
    let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let mut request = hyper::Request::get(format!("/{path}?{}", query.join("&")))
        .header(HOST, &address.host)
        .header(CONNECTION, "close");
    if let Some(value) = address.authorization() {
        request = request.header(AUTHORIZATION, value);
    }
    let request = request.body(Empty::<Bytes>::new()).map_err(|error| away(&error))?;
    let response = sender.send_request(request).await.map_err(|error| away(&error))?;
    Ok((response.status().as_u16(), response.into_body()))
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
