//! Requests that carry rows, sent by a thread of its own: one is filled while another is under way.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use prism_schemas::QuestDbAddress;
use questdb::ingress::ProtocolVersion;
use serde::Deserialize;
use ureq::{Agent, Error, Timeout};

use super::QuestDbError;

/// A connection must stand, and a short answer come, within this.
const PATIENCE: Duration = Duration::from_secs(5);
/// A request may take this long, and longer by its size.
const REQUEST: Duration = Duration::from_secs(10);
/// Bytes that a server takes in a second at least.
const RATE: usize = 1 << 20;

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
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

/// A thread that sends.
pub(super) struct Connection {
    requests: SyncSender<Arc<Vec<u8>>>,
    answers: Receiver<Answer>,
}

impl Connection {
    /// Does not connect yet.
    pub(super) fn new(address: &QuestDbAddress) -> Connection {
        let (requests, to_send) = sync_channel::<Arc<Vec<u8>>>(1);
        let (answer, answers) = sync_channel(1);
        let address = address.clone();
        std::thread::spawn(move || {
            let agent = agent();
            for body in to_send {
                if answer.send(post(&agent, &address, &body)).is_err() {
                    return;
                }
            }
        });
        Connection { requests, answers }
    }

    /// Sends a request; to be called only when the one before it is answered.
    pub(super) fn send(&self, body: Arc<Vec<u8>>) {
        // The thread ends only after this end of the channel, or with a panic, which `answer` notices.
        let _ = self.requests.send(body);
    }

    /// The answer to the request under way, if it comes in time.
    pub(super) fn answer(&self, wait: Duration) -> Option<Answer> {
        match self.answers.recv_timeout(wait) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Answer::Refused("the connection's thread panicked".into())),
        }
    }
}

fn agent() -> Agent {
    Agent::config_builder().timeout_connect(Some(PATIENCE)).http_status_as_error(false).build().new_agent()
}

fn post(agent: &Agent, address: &QuestDbAddress, body: &[u8]) -> Answer {
    let timeout = REQUEST + Duration::from_secs((body.len() / RATE) as u64);
    let mut request = agent.post(address.url("write")).config().timeout_global(Some(timeout)).build();
    request = request.query("precision", "n").header("Content-Type", "text/plain; charset=utf-8");
    if let Some(value) = address.authorization() {
        request = request.header("Authorization", value);
    }
    match request.send(body) {
        Err(error) if is_before_sending(&error) => Answer::NotNow(error.to_string()),
        Err(error) => Answer::Unknown(error.to_string()),
        Ok(mut response) => {
            let status = response.status().as_u16();
            match response.body_mut().with_config().limit(1 << 20).lossy_utf8(true).read_to_string() {
                Ok(text) => judge(status, &text),
                // The status alone says that rows were taken.
                Err(_) if (200..300).contains(&status) => Answer::Taken,
                Err(error) => Answer::Unknown(error.to_string()),
            }
        }
    }
}

/// Whether no byte of a request can have reached the server.
fn is_before_sending(error: &Error) -> bool {
    match error {
        Error::HostNotFound | Error::ConnectionFailed | Error::BadUri(_) => true,
        Error::Timeout(when) => matches!(when, Timeout::Connect | Timeout::Resolve),
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// How QuestDB explains that it did not take rows.
#[derive(Deserialize)]
struct Explanation {
    code: String,
    message: String,
}

/// Only QuestDB's own explanation is a refusal: anything else comes from what stands between.
fn judge(status: u16, text: &str) -> Answer {
    if (200..300).contains(&status) {
        return Answer::Taken;
    }
    let short: String = text.chars().take(300).collect();
    match (status, serde_json::from_str::<Explanation>(text)) {
        (401 | 403, _) => Answer::Login,
        (408 | 425 | 429 | 503, _) => Answer::NotNow(format!("status {status}: {short}")),
        // Its own trouble, such as a full disk.
        (_, Ok(explanation)) if 500 <= status || explanation.code == "internal error" => {
            Answer::NotNow(explanation.message)
        }
        (_, Ok(explanation)) => Answer::Refused(explanation.message),
        (400..500, Err(_)) => Answer::NotNow(format!("status {status}, not from QuestDB: {short}")),
        // A proxy that gave up waiting does not know what became of the request.
        (_, Err(_)) => Answer::Unknown(format!("status {status}, not from QuestDB: {short}")),
    }
}

/// The newest line protocol that both sides speak; the server must answer.
pub(super) fn protocol(address: &QuestDbAddress) -> Result<ProtocolVersion, QuestDbError> {
    let away = |detail: String| QuestDbError::Away { address: address.to_string(), detail };
    let request = agent().get(address.url("settings")).config().timeout_global(Some(PATIENCE)).build();
    let mut response = request.call().map_err(|error| away(error.to_string()))?;
    if response.status() == 404 {
        return Ok(ProtocolVersion::V1);
    }
    let text = response.body_mut().read_to_string().map_err(|error| away(error.to_string()))?;
    let settings: serde_json::Value =
        serde_json::from_str(&text).map_err(|_| away(format!("status {}, not from QuestDB", response.status())))?;
    let versions = settings.pointer("/config/line.proto.support.versions").and_then(|versions| versions.as_array());
    let has_second = versions.is_some_and(|versions| versions.iter().any(|version| version.as_u64() == Some(2)));
    Ok(if has_second { ProtocolVersion::V2 } else { ProtocolVersion::V1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_questdbs_own_word_is_a_refusal() {
        let json = |code: &str| format!("{{\"code\":\"{code}\",\"message\":\"m\",\"line\":1,\"errorId\":\"x\"}}");
        let not_now = |answer: Answer| matches!(answer, Answer::NotNow(_));
        let unknown = |answer: Answer| matches!(answer, Answer::Unknown(_));
        assert_eq!((judge(204, ""), judge(200, "{}")), (Answer::Taken, Answer::Taken));
        assert_eq!(judge(400, &json("invalid")), Answer::Refused("m".into()));
        // A text that only mentions the words is no trouble of the server's.
        let quoted = "{\"code\":\"invalid\",\"message\":\"\\\"code\\\":\\\"internal error\\\"\"}";
        assert!(matches!(judge(400, quoted), Answer::Refused(_)));
        assert!(not_now(judge(500, &json("internal error"))) && not_now(judge(400, &json("internal error"))));
        assert!(not_now(judge(429, "slow down")) && not_now(judge(503, "<html>")) && not_now(judge(404, "<html>")));
        assert!(unknown(judge(502, "<html>Bad Gateway")) && unknown(judge(504, "")));
        assert_eq!((judge(401, ""), judge(403, "<html>")), (Answer::Login, Answer::Login));
    }
}
