//! A small HTTP server: one connection a thread, ranges, logins, endless answers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::rtsp_server::SELF_SIGNED;

/// What it serves.
#[derive(Clone, Debug)]
pub(super) enum Site {
    /// The files of a folder; those that are not there are 404.
    Folder(PathBuf),
    /// As before, for those who know `operator` and `correct horse`.
    Login(PathBuf),
    /// Always this answer.
    Status(&'static str),
    /// JPEG pictures without end, or until so many were sent.
    Pictures { jpeg: Vec<u8>, count: usize },
}

/// Starts it; returns where.
pub(super) fn serve(site: Site) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let site = site.clone();
            // A client that goes away in the middle is an error here, and right.
            std::thread::spawn(move || answer(connection, &site).ok());
        }
    });
    base
}

/// The same over TLS, with a certificate that nobody signed.
pub(super) fn serve_tls(site: Site) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![CertificateDer::from_pem_slice(SELF_SIGNED.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SELF_SIGNED.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let (site, tls) = (site.clone(), ServerConnection::new(config.clone()).unwrap());
            std::thread::spawn(move || answer(StreamOwned::new(tls, connection), &site).ok());
        }
    });
    base
}

fn answer(connection: impl Read + Write, site: &Site) -> std::io::Result<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let header = |name: &str| {
            lines.iter().skip(1).find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        let path = lines[0].split(' ').nth(1).unwrap_or_default();
        let path = path.trim_start_matches('/').split('?').next().unwrap_or_default();
        let connection = connection.get_mut();
        match site {
            Site::Status(status) => write!(connection, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")?,
            Site::Login(_) if header("authorization").as_deref() != Some("Basic b3BlcmF0b3I6Y29ycmVjdCBob3JzZQ==") => {
                write!(
                    connection,
                    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"clips\"\r\nContent-Length: 0\r\n\r\n"
                )?;
            }
            Site::Folder(folder) | Site::Login(folder) => match std::fs::read(folder.join(path)) {
                Ok(bytes) => send_file(connection, &bytes, header("range"))?,
                Err(_) => write!(connection, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?,
            },
            Site::Pictures { jpeg, count } => {
                write!(
                    connection,
                    "HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\nConnection: close\r\n\r\n"
                )?;
                for _ in 0..*count {
                    write!(
                        connection,
                        "--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
                        jpeg.len()
                    )?;
                    connection.write_all(jpeg)?;
                    connection.write_all(b"\r\n")?;
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                return Ok(());
            }
        }
    }
}

fn send_file(connection: &mut impl Write, bytes: &[u8], range: Option<String>) -> std::io::Result<()> {
    let range = range.and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let first: usize = first.parse().ok()?;
        let last = last.parse().map_or(bytes.len(), |last: usize| last + 1).min(bytes.len());
        (first < last).then_some(first..last)
    });
    let Some(range) = range else {
        write!(connection, "HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n\r\n", bytes.len())?;
        return connection.write_all(bytes);
    };
    write!(
        connection,
        "HTTP/1.1 206 Partial Content\r\nAccept-Ranges: bytes\r\nContent-Length: {}\r\n\
         Content-Range: bytes {}-{}/{}\r\n\r\n",
        range.len(),
        range.start,
        range.end - 1,
        bytes.len()
    )?;
    connection.write_all(&bytes[range])
}
