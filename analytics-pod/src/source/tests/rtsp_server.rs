//! A small RTSP server, and servers that misbehave.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread::JoinHandle,
};

use gstreamer::glib;
use gstreamer_rtsp_server::{self as server, gio, prelude::*};

use super::*;

pub(super) const USER: &str = "operator";
pub(super) const PASSWORD: &str = "correct horse";

/// How the server is to behave.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Behaviour {
    pub(super) login: Option<server::gst_rtsp::RTSPAuthMethod>,
    pub(super) udp_only: bool,
    /// RTSPS, with a certificate that nobody has signed; only with a login.
    pub(super) tls: bool,
}

/// For 127.0.0.1, for 100 years, signed by its own key, which is good for nothing else:
/// `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=127.0.0.1`
pub(super) const SELF_SIGNED: &str = include_str!("self_signed.pem");

/// A server with one stream at `/camera`. Dropping it closes every connection.
pub(super) struct Server {
    scheme: &'static str,
    port: u16,
    context: glib::MainContext,
    main_loop: glib::MainLoop,
    inner: server::RTSPServer,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves moving pictures, encoded and payloaded as `payloader` says.
    pub(super) fn start(payloader: &str, behaviour: Behaviour) -> Self {
        let pictures = "video/x-raw,format=I420,width=320,height=240,framerate=25/1";
        Self::serve(&format!("videotestsrc is-live=true pattern=ball ! {pictures} ! {payloader}"), behaviour)
    }

    /// Serves sound only.
    pub(super) fn start_audio() -> Self {
        Self::serve("audiotestsrc is-live=true ! mulawenc ! rtppcmupay name=pay0 pt=0", Behaviour::default())
    }

    fn serve(media: &str, behaviour: Behaviour) -> Self {
        gst::init().unwrap();
        let server = server::RTSPServer::new();
        server.set_address("127.0.0.1");
        server.set_service("0");
        let factory = server::RTSPMediaFactory::new();
        factory.set_launch(&format!("( {media} )"));
        factory.set_shared(true);
        if behaviour.udp_only {
            factory.set_protocols(server::gst_rtsp::RTSPLowerTrans::UDP);
        }
        if let Some(method) = behaviour.login {
            let auth = server::RTSPAuth::new();
            auth.set_supported_methods(method);
            let token = server::RTSPToken::builder().field("media.factory.role", "viewer").build();
            match method {
                server::gst_rtsp::RTSPAuthMethod::Digest => auth.add_digest(USER, PASSWORD, &token),
                _ => auth.add_basic(&server::RTSPAuth::make_basic(USER, PASSWORD), &token),
            }
            if behaviour.tls {
                auth.set_tls_certificate(Some(&gio::TlsCertificate::from_pem(SELF_SIGNED).unwrap()));
            }
            server.set_auth(Some(&auth));
            factory.add_role_from_structure(
                &gst::Structure::builder("viewer")
                    .field("media.factory.access", true)
                    .field("media.factory.construct", true)
                    .build(),
            );
        }
        server.mount_points().unwrap().add_factory("/camera", factory);
        let context = glib::MainContext::new();
        let main_loop = glib::MainLoop::new(Some(&context), false);
        server.attach(Some(&context)).unwrap();
        let port = u16::try_from(server.bound_port()).unwrap();
        let thread = std::thread::spawn({
            let (context, main_loop) = (context.clone(), main_loop.clone());
            move || context.with_thread_default(|| main_loop.run()).unwrap()
        });
        Self {
            scheme: if behaviour.tls { "rtsps" } else { "rtsp" },
            port,
            context,
            main_loop,
            inner: server,
            thread: Some(thread),
        }
    }

    pub(super) fn uri(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}/{path}", self.scheme, self.port)
    }

    /// Closes every connection without a word.
    pub(super) fn kill_connections(&self) {
        let server = self.inner.clone();
        self.context.invoke(move || {
            server.client_filter(Some(&mut |_, _| server::RTSPFilterResult::Remove));
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_connections();
        self.main_loop.quit();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Accepts connections and answers each piece of what it hears with `answer`.
pub(super) fn listener(answer: Option<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut open: Vec<TcpStream> = Vec::new();
        for mut connection in listener.incoming().flatten() {
            if let Some(answer) = answer {
                let mut heard = [0; 4096];
                let _ = connection.read(&mut heard);
                let _ = connection.write_all(answer.as_bytes());
            }
            open.push(connection);
        }
    });
    address
}

/// A port where nobody listens.
pub(super) fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that answers `OPTIONS` well and everything else with `status`. Returns its URI.
pub(super) fn refusing(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut heard = [0; 4096];
            while let Ok(length @ 1..) = connection.read(&mut heard) {
                let request = String::from_utf8_lossy(&heard[..length]).into_owned();
                let sequence = request.lines().find_map(|line| line.strip_prefix("CSeq: ")).unwrap_or("1").to_owned();
                let status = if request.starts_with("OPTIONS") { "200 OK" } else { status };
                let answer =
                    format!("RTSP/1.0 {status}\r\nCSeq: {sequence}\r\nPublic: OPTIONS, DESCRIBE, SETUP, PLAY\r\n\r\n");
                if connection.write_all(answer.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    format!("rtsp://{address}/camera")
}

/// Stands before `server` and lets no interleaved packet through to the client, as some firewalls do.
pub(super) fn without_interleaved_packets(server: &Server) -> String {
    let upstream = SocketAddr::from(([127, 0, 0, 1], server.port));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut camera = TcpStream::connect(upstream).unwrap();
            let (mut requests, mut to_camera) = (client.try_clone().unwrap(), camera.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut requests, &mut to_camera);
                let _ = to_camera.shutdown(Shutdown::Both);
            });
            std::thread::spawn(move || {
                let mut first = [0];
                while camera.read_exact(&mut first).is_ok() {
                    // RFC 2326, section 10.12: `$`, the channel, two bytes of length, the packet.
                    if first == *b"$" {
                        let mut header = [0; 3];
                        if camera.read_exact(&mut header).is_err() {
                            break;
                        }
                        let length = u64::from(u16::from_be_bytes([header[1], header[2]]));
                        let _ = std::io::copy(&mut (&mut camera).take(length), &mut std::io::sink());
                    } else if client.write_all(&first).is_err() {
                        break;
                    }
                }
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    format!("rtsp://{address}/camera")
}

/// A listener that accepts nothing and whose queue is full.
pub(super) struct BlackHole {
    pub(super) address: SocketAddr,
    _listener: socket2::Socket,
    _waiting: Vec<socket2::Socket>,
}

impl BlackHole {
    pub(super) fn new() -> Self {
        use socket2::{Domain, Socket, Type};
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        // As many as the kernel takes, and one that shows that it takes no more.
        let mut waiting = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = socket.connect_timeout(&address.into(), Duration::from_millis(200)).is_ok();
            waiting.push(socket);
            if !connected {
                return Self { address, _listener: listener, _waiting: waiting };
            }
            assert!(waiting.len() < 64, "the queue does not fill");
        }
    }
}
