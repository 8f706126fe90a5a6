//! Where QuestDB is: `questdb://[user:password@]host:port`.

/// An address of QuestDB's HTTP port.
#[derive(Clone, PartialEq, Eq)]
pub struct QuestDbAddress {
    /// `host:port`.
    pub host: String,
    /// User and password.
    pub login: Option<(String, Secret)>,
}

/// A text that is used and never said: it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text, for whoever it was made for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// An address as it may be said: user and password, if there are any, are left out.
pub fn without_login(address: &str) -> String {
    let Some((login, host)) = address.rsplit_once('@') else { return address.into() };
    // However it is misspelt: nothing between the scheme's name and the host is said.
    match login.split_once(':') {
        Some((scheme, _)) if address.contains("://") => format!("{scheme}://***@{host}"),
        _ => format!("***@{host}"),
    }
}

impl QuestDbAddress {
    /// Reads `questdb://[user:password@]host[:port]`; the port is 9000 unless said. `None` if it is none.
    pub fn parse(text: &str) -> Option<QuestDbAddress> {
        let rest = text.strip_prefix("questdb://")?.trim_end_matches('/');
        let (login, host) = match rest.rsplit_once('@') {
            Some((login, host)) => (Some(login.split_once(':')?), host),
            None => (None, rest),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(is_host) {
            return None;
        }
        let host = if host.contains(':') { host.into() } else { format!("{host}:9000") };
        Some(QuestDbAddress { host, login: login.map(|(user, password)| (user.into(), Secret::new(password))) })
    }

    /// The URL of a path of its HTTP server.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.host)
    }

    /// The value of the header `Authorization`, if there is a login.
    pub fn authorization(&self) -> Option<String> {
        let (user, password) = self.login.as_ref()?;
        Some(format!("Basic {}", base64(format!("{user}:{}", password.expose()).as_bytes())))
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for at in 0..4 {
            out.push(if at <= chunk.len() { DIGITS[(bits >> (18 - 6 * at) & 63) as usize] as char } else { '=' });
        }
    }
    out
}

/// Without the password.
impl std::fmt::Display for QuestDbAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "questdb://{}", self.host)
    }
}

impl std::fmt::Debug for QuestDbAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let parse = |text| QuestDbAddress::parse(text);
        assert_eq!(parse("questdb://127.0.0.1").unwrap().host, "127.0.0.1:9000");
        let with_login = parse("questdb://admin:qu:est@db:19000/").unwrap();
        assert_eq!(with_login.to_string(), "questdb://db:19000");
        assert_eq!(with_login.authorization().unwrap(), "Basic YWRtaW46cXU6ZXN0");
        assert_eq!(format!("{:?}", with_login.login), "Some((\"admin\", ***))");
        for (text, said) in [
            ("questdb://admin:qu:est@db:19000/x y", "questdb://***@db:19000/x y"),
            ("questdb://a:p@ss@db", "questdb://***@db"),
            ("questdb://db", "questdb://db"),
            ("admin:quest@db", "***@db"),
            ("data/store", "data/store"),
        ] {
            assert_eq!(without_login(text), said);
        }
        for bad in ["data/store", "questdb://", "questdb://user@host", "http://host:9000", "questdb://a b"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        for (plain, coded) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }
}
