//! Proxies of HTTP and SOCKS5 on this machine, well-behaved and not.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

/// A user and password with characters that an address must encode.
pub(crate) const LOGIN: (&str, &str) = ("us@er", "hunter2:");
/// As the variable has them, and as HTTP does.
pub(crate) const ENCODED: &str = "us%40er:hunter2%3A";
const BASIC: &str = "Basic dXNAZXI6aHVudGVyMjo=";

/// What it does with who comes.
#[derive(Clone, Copy)]
pub(crate) enum Manner {
    /// Makes tunnels by CONNECT, and forwards other requests; for who has the password, if so.
    Http { is_closed: bool },
    /// Answers this to every request.
    Answers(&'static str),
    /// Takes connections, and says nothing.
    Silent,
    /// Answers so, for who has the password, if so; 0 makes a tunnel.
    Socks { is_closed: bool, reply: u8 },
}

/// A proxy from which every name is at one address.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) async fn start(manner: Manner, to: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let told = asked.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who comes may leave in the middle.
                tokio::spawn(serve(stream, manner, to, told.clone()));
            }
        });
        Proxy { address, asked }
    }

    /// What was asked for so far, without repetitions.
    pub(crate) fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked.dedup();
        asked
    }
}

async fn serve(
    mut stream: TcpStream,
    manner: Manner,
    to: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let begun = match manner {
        Manner::Silent => std::future::pending().await,
        Manner::Socks { is_closed, reply } => match socks(&mut stream, is_closed, reply, &asked).await? {
            true => Vec::new(),
            false => return Ok(()),
        },
        Manner::Answers(answer) => {
            head(&mut stream).await?;
            stream.write_all(answer.as_bytes()).await?;
            return Ok(());
        }
        Manner::Http { is_closed } => {
            let head = head(&mut stream).await?;
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let has_password = head.contains(&format!(": {BASIC}\r\n"));
            if is_closed && !has_password {
                let refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"corp\"\r\n\
                    content-length: 0\r\n\r\n";
                stream.write_all(refusal.as_bytes()).await?;
                return Ok(());
            }
            let of = target.trim_start_matches("http://").split('/').next().unwrap_or_default();
            asked.lock().unwrap().push(format!("{method} {of}"));
            match method {
                "CONNECT" => {
                    stream.write_all(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 corp\r\n\r\n").await?;
                    Vec::new()
                }
                _ => head.into_bytes(),
            }
        }
    };
    let mut there = TcpStream::connect(to).await?;
    there.write_all(&begun).await?;
    copy_bidirectional(&mut stream, &mut there).await.map(|_| ())
}

async fn head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// RFC 1928 and 1929; whether a tunnel begins.
async fn socks(
    stream: &mut TcpStream,
    is_closed: bool,
    reply: u8,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<bool> {
    let bytes = async |stream: &mut TcpStream| {
        let mut bytes = vec![0; stream.read_u8().await?.into()];
        stream.read_exact(&mut bytes).await?;
        Ok::<_, std::io::Error>(bytes)
    };
    stream.read_u8().await?;
    let methods = bytes(stream).await?;
    let method = if is_closed { 2 } else { 0 };
    if !methods.contains(&method) {
        stream.write_all(&[5, 0xff]).await?;
        return Ok(false);
    }
    stream.write_all(&[5, method]).await?;
    if is_closed {
        stream.read_u8().await?;
        let login = (bytes(stream).await?, bytes(stream).await?);
        let is_known = login == (LOGIN.0.into(), LOGIN.1.into());
        stream.write_all(&[1, u8::from(!is_known)]).await?;
        if !is_known {
            return Ok(false);
        }
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await?;
    let host = match request[3] {
        1 => {
            let mut address = [0; 4];
            stream.read_exact(&mut address).await?;
            std::net::Ipv4Addr::from(address).to_string()
        }
        _ => String::from_utf8_lossy(&bytes(stream).await?).into_owned(),
    };
    let port = stream.read_u16().await?;
    asked.lock().unwrap().push(format!("{host}:{port}"));
    stream.write_all(&[5, reply, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    Ok(reply == 0)
}
