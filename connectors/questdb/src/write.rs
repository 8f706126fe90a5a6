//! Rows on their way to QuestDB, and what became of them.

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::error::Error;
use crate::{Client, request};

/// Most bytes of what a server says about rows.
const SAID_BYTES_MAX: usize = 1 << 20;

/// What became of a request that carries rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// Its rows are committed.
    Taken,
    /// They are not; the same request may be taken later.
    NotNow(String),
    /// Nobody knows: they may be committed, or may yet be while the server still works on them.
    Unknown(String),
    /// The server refuses the login.
    Login,
    /// The server will never take these rows: it says why.
    Refused(String),
}

/// How QuestDB explains that it did not take rows. Gateways explain themselves with a code and a message too, but none
/// with an `errorId`.
#[derive(Deserialize)]
struct Explanation {
    code: String,
    message: String,
    #[serde(rename = "errorId")]
    _error_id: String,
}

impl Client {
    /// Sends rows in the line protocol, times in nanoseconds.
    pub async fn write(&self, lines: Bytes, deadline: Instant) -> Written {
        let address = self.address();
        let connection = match request::connect(address, deadline).await {
            Ok(connection) => connection,
            Err(error) => return Written::NotNow(error.detail()),
        };
        let within = timeout_at(deadline, async {
            let path = (Method::POST, "write");
            let (status, body) = request::send(address, connection, path, &[("precision", "n")], lines).await?;
            Ok((status, request::whole(address, body, SAID_BYTES_MAX).await))
        });
        match within.await.unwrap_or_else(|_| Err(Error::late(address))) {
            Ok((status, Ok(text))) => judge(status, &String::from_utf8_lossy(&text)),
            // The status alone says that rows were taken.
            Ok((200..300, Err(_))) => Written::Taken,
            Ok((_, Err(error))) | Err(error) => Written::Unknown(error.detail()),
        }
    }

    /// The versions of the line protocol that the server reads.
    pub async fn line_protocols(&self, deadline: Instant) -> Result<Vec<u64>, Error> {
        let address = self.address();
        let within = timeout_at(deadline, async {
            let (status, body) = request::get(address, "settings", &[], deadline).await?;
            let text = request::whole(address, body, SAID_BYTES_MAX).await?;
            let settings = serde_json::from_slice::<serde_json::Value>(&text);
            let versions = match (status, settings) {
                (401 | 403, _) => return Err(Error::Login { address: address.to_string() }),
                // Older servers have no settings.
                (404, _) => None,
                (_, Ok(settings)) => settings.pointer("/config/line.proto.support.versions").cloned(),
                (_, Err(_)) => return Err(self.strange(status, &text)),
            };
            let versions = versions.as_ref().and_then(serde_json::Value::as_array);
            Ok(versions.map_or(vec![1], |versions| versions.iter().filter_map(serde_json::Value::as_u64).collect()))
        });
        within.await.unwrap_or_else(|_| Err(Error::late(address)))
    }
}

/// Only QuestDB's own explanation is a refusal: anything else comes from what stands between.
fn judge(status: u16, text: &str) -> Written {
    if (200..300).contains(&status) {
        return Written::Taken;
    }
    let short: String = text.chars().take(300).collect();
    match (status, serde_json::from_str::<Explanation>(text)) {
        (401 | 403, _) => Written::Login,
        (408 | 425 | 429 | 503, _) => Written::NotNow(format!("status {status}: {short}")),
        // Its own trouble, such as a full disk.
        (_, Ok(explanation)) if 500 <= status || explanation.code == "internal error" => {
            Written::NotNow(explanation.message)
        }
        (_, Ok(explanation)) => Written::Refused(explanation.message),
        (400..500, Err(_)) => Written::NotNow(format!("status {status}, not from QuestDB: {short}")),
        // A proxy that gave up waiting does not know what became of the request.
        (_, Err(_)) => Written::Unknown(format!("status {status}, not from QuestDB: {short}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questdbs_own_word_is_a_refusal() {
        let json = |code: &str| format!("{{\"code\":\"{code}\",\"message\":\"m\",\"line\":1,\"errorId\":\"x\"}}");
        let not_now = |answer: Written| matches!(answer, Written::NotNow(_));
        let unknown = |answer: Written| matches!(answer, Written::Unknown(_));
        assert_eq!((judge(204, ""), judge(200, "{}")), (Written::Taken, Written::Taken));
        assert_eq!(judge(400, &json("invalid")), Written::Refused("m".into()));
        // A text that only mentions the words is no trouble of the server's.
        let quoted = r#"{"code":"invalid","message":"\"code\":\"internal error\"","errorId":"x"}"#;
        assert!(matches!(judge(400, quoted), Written::Refused(_)));
        assert!(not_now(judge(400, r#"{"code":"invalid","message":"a gateway's"}"#)));
        assert!(unknown(judge(500, r#"{"code":"internal error","message":"a gateway's"}"#)));
        assert!(not_now(judge(500, &json("internal error"))) && not_now(judge(400, &json("internal error"))));
        assert!(not_now(judge(429, "slow down")) && not_now(judge(503, "<html>")) && not_now(judge(404, "<html>")));
        assert!(unknown(judge(502, "<html>Bad Gateway")) && unknown(judge(504, "")));
        assert_eq!((judge(401, ""), judge(403, "<html>")), (Written::Login, Written::Login));
    }
}
