//! A camera's network side: its RTSP server on its own port, and a listener that never answers.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use gstreamer::{self as gst, glib, prelude::*};
use gstreamer_app::AppSrc;
use gstreamer_rtsp_server::{
    RTSPAuth, RTSPFilterResult, RTSPMedia, RTSPMediaFactory, RTSPServer, RTSPToken, gio, gst_rtsp::RTSPAuthMethod,
    prelude::*,
};

use crate::{
    camera::Camera,
    config::{Codec, Login, LoginMethod},
    feed::Signal,
};

/// The role of who has logged in.
const ROLE: &str = "viewer";

/// A camera cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("camera {camera} cannot listen on {address}: {reason}")]
pub struct DoorError {
    /// The camera's name.
    pub camera: String,
    /// Where it should listen.
    pub address: SocketAddr,
    /// What the system said.
    pub reason: String,
}

/// The longest that a camera's thread may take for what it is asked to do.
const LOOP_TIMEOUT: Duration = Duration::from_secs(5);

/// The thread that does all of one camera's RTSP work. The server's objects are touched on it only: closing a client
/// while another thread serves it ends in a crash. A thread of its own, because answering a request waits for the
/// client's pipeline.
#[derive(Debug)]
struct RtspLoop {
    context: glib::MainContext,
    main: glib::MainLoop,
    thread: Option<thread::JoinHandle<()>>,
}

impl RtspLoop {
    fn start() -> std::io::Result<Self> {
        let context = glib::MainContext::new();
        let main = glib::MainLoop::new(Some(&context), false);
        let running = main.clone();
        let thread = thread::Builder::new().name("rtsp".into()).spawn(move || running.run())?;
        Ok(Self { context, main, thread: Some(thread) })
    }

    /// Does something on the thread; `None` if it does not come to it in time.
    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (done, result) = mpsc::channel();
        let mut work = Some(work);
        // An idle source, because invoking would run the work right here while the loop has not begun yet.
        let source = glib::idle_source_new(None, glib::Priority::DEFAULT, move || {
            if let Some(work) = work.take() {
                // Nobody waits any more after the time-out.
                let _ = done.send(work());
            }
            glib::ControlFlow::Break
        });
        source.attach(Some(&self.context));
        result.recv_timeout(LOOP_TIMEOUT).ok()
    }
}

impl Drop for RtspLoop {
    fn drop(&mut self) {
        let main = self.main.clone();
        if let (Some(()), Some(thread)) = (self.run(move || main.quit()), self.thread.take()) {
            let _ = thread.join();
        } else {
            tracing::warn!("a camera's thread does not end; it is left alone");
        }
    }
}

/// Who may look.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// Everybody.
    Open,
    /// Whoever has the login.
    Login(Login),
    /// Nobody: a login is demanded and none is right.
    Nobody,
}

/// An RTSP server on one port.
#[derive(Debug)]
pub(crate) struct Door {
    camera: Weak<Camera>,
    rtsp: RtspLoop,
    server: RTSPServer,
    /// The listening socket in the main context; gone when the camera refuses connections.
    listening: Option<glib::Source>,
    /// Ends sessions whose clients have vanished.
    cleaning: glib::Source,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Door {
    /// Listens; port 0 lets the system choose.
    pub(crate) fn open(
        camera: &Arc<Camera>,
        address: SocketAddr,
        access: &Access,
        signals: &mpsc::Sender<Signal>,
    ) -> Result<Self, DoorError> {
        let fail = |error: std::io::Error| DoorError {
            camera: camera.config.name.clone(),
            address,
            reason: error.to_string(),
        };
        let rtsp = RtspLoop::start().map_err(fail)?;
        let factory = factory(camera, signals);
        let server = RTSPServer::new();
        server.set_address(&address.ip().to_string());
        if let Some(threads) = server.thread_pool() {
            // None of its own: clients are served by the thread that accepts them.
            threads.set_max_threads(0);
        }
        if let Some(auth) = auth(access) {
            server.set_auth(Some(&auth));
            factory.add_role_from_structure(
                &gst::Structure::builder(ROLE)
                    .field("media.factory.access", true)
                    .field("media.factory.construct", true)
                    .build(),
            );
        }
        if let Some(mounts) = server.mount_points() {
            mounts.add_factory(&camera.config.mount(), factory);
        }
        let sessions = server.session_pool();
        let cleaning = glib::timeout_source_new(Duration::from_secs(5), None, glib::Priority::DEFAULT, move || {
            if let Some(sessions) = &sessions {
                sessions.cleanup();
            }
            glib::ControlFlow::Continue
        });
        cleaning.attach(Some(&rtsp.context));
        let mut door = Self { camera: Arc::downgrade(camera), rtsp, server, listening: None, cleaning, address };
        door.listen(&camera.config.name)?;
        Ok(door)
    }

    /// Takes connections, on the same port as before if there was one.
    pub(crate) fn listen(&mut self, camera: &str) -> Result<(), DoorError> {
        let fail = |reason: &str| DoorError { camera: camera.to_owned(), address: self.address, reason: reason.into() };
        self.server.set_service(&self.address.port().to_string());
        let source = self.server.create_source(gio::Cancellable::NONE).map_err(|error| fail(error.message()))?;
        let port = u16::try_from(self.server.bound_port()).map_err(|_| fail("no port was bound"))?;
        self.address.set_port(port);
        source.attach(Some(&self.rtsp.context));
        self.listening = Some(source);
        Ok(())
    }

    /// Takes no new connections.
    pub(crate) fn stop_listening(&mut self) {
        if let Some(source) = self.listening.take() {
            let dropped = self.rtsp.run(move || source.destroy());
            warn_if_late(dropped);
        }
    }

    /// Cuts every connection.
    fn cut(&self) {
        if let Some(camera) = self.camera.upgrade() {
            camera.feed().release();
        }
        let server = self.server.clone();
        let cut = self.rtsp.run(move || {
            for client in server.client_filter(Some(&mut |_, _| RTSPFilterResult::Ref)) {
                client.close();
            }
            if let Some(sessions) = server.session_pool() {
                sessions.filter(Some(&mut |_, _| RTSPFilterResult::Remove));
            }
        });
        warn_if_late(cut);
    }
}

fn warn_if_late(done: Option<()>) {
    if done.is_none() {
        tracing::warn!("a camera's thread is busy with a request for longer than {LOOP_TIMEOUT:?}");
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop_listening();
        self.cut();
        self.cleaning.destroy();
    }
}

fn auth(access: &Access) -> Option<RTSPAuth> {
    let auth = RTSPAuth::new();
    match access {
        Access::Open => return None,
        Access::Nobody => auth.set_supported_methods(RTSPAuthMethod::Digest),
        Access::Login(login) => {
            let token = RTSPToken::builder().field("media.factory.role", ROLE).build();
            match login.method {
                LoginMethod::Basic => {
                    auth.set_supported_methods(RTSPAuthMethod::Basic);
                    auth.add_basic(&RTSPAuth::make_basic(&login.username, &login.password), &token);
                }
                LoginMethod::Digest => {
                    auth.set_supported_methods(RTSPAuthMethod::Digest);
                    auth.add_digest(&login.username, &login.password, &token);
                }
            }
        }
    }
    Some(auth)
}

/// Makes a pipeline for each client, so that each begins at a key frame of its own.
fn factory(camera: &Arc<Camera>, signals: &mpsc::Sender<Signal>) -> RTSPMediaFactory {
    let codec = camera.format().codec;
    let payloader = match codec {
        Codec::H264 => "rtph264pay aggregate-mode=zero-latency",
        Codec::H265 => "rtph265pay aggregate-mode=zero-latency",
    };
    let caps = crate::encode::byte_stream_caps(codec);
    let factory = RTSPMediaFactory::new();
    factory.set_shared(false);
    factory.set_clock(Some(&gst::SystemClock::obtain()));
    factory.set_launch(&format!(
        "( appsrc name=feed is-live=true format=time block=false max-bytes=0 caps=\"{caps}\" ! {payloader} name=pay0 \
         pt=96 )"
    ));
    let camera = Arc::downgrade(camera);
    let signals = signals.clone();
    factory.connect_media_configure(move |_, media| {
        admit(&camera, media);
        // Without a feed there is nobody to wake.
        let _ = signals.send(Signal::Look);
    });
    factory
}

fn admit(camera: &Weak<Camera>, media: &RTSPMedia) {
    let source = media.element().downcast::<gst::Bin>().ok().and_then(|bin| bin.by_name("feed"));
    let (Some(camera), Some(source)) = (camera.upgrade(), source.and_downcast::<AppSrc>()) else { return };
    let id = camera.feed().add(source);
    let camera = Arc::downgrade(&camera);
    media.connect_unprepared(move |_| {
        if let Some(camera) = camera.upgrade() {
            camera.feed().remove(id);
        }
    });
}

/// Accepts connections and never answers.
#[derive(Debug)]
pub(crate) struct SilentDoor {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl SilentDoor {
    pub(crate) fn open(camera: &str, address: SocketAddr) -> Result<Self, DoorError> {
        let fail = |error: std::io::Error| DoorError { camera: camera.into(), address, reason: error.to_string() };
        let listener = TcpListener::bind(address).map_err(fail)?;
        let ended = Arc::new(AtomicBool::new(false));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let (stop, kept) = (Arc::clone(&ended), Arc::clone(&connections));
        let thread = thread::Builder::new()
            .name("silence".into())
            .spawn(move || {
                for connection in listener.incoming() {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    kept.lock().unwrap_or_else(PoisonError::into_inner).extend(connection);
                }
            })
            .map_err(fail)?;
        Ok(Self { address, ended, thread: Some(thread), connections })
    }

    /// How many clients wait for an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for SilentDoor {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        // A connection of our own wakes the thread; if it cannot be made, the thread is not waiting either.
        let woken = TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            let _ = thread.join();
        }
    }
}
