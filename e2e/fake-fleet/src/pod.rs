//! One pod's port for the operator.

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use crds::{
    EngineChoice,
    report::{ModelPhase, ModelReport, Phase, PodReport, Rates, SourceReport, SourceState},
};
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{Pod, Secret};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_rustls::TlsAcceptor;

use crate::{
    Error,
    fleet::{Behaviour, Binding, Name, State},
};

/// From a binding to its first frame.
const OPENS: Duration = Duration::from_millis(300);

/// What a pod can take.
const CAPACITY: Rates =
    Rates { streams: 0, milli_inferences_per_second: 4_000_000, decode_micros_per_second: 8_000_000 };

/// What a stream takes.
const DEMAND: Rates = Rates { streams: 1, milli_inferences_per_second: 10_000, decode_micros_per_second: 20_000 };

/// Where a pod answers, and with what.
pub(crate) struct Place {
    pub(crate) name: Name,
    pub(crate) address: SocketAddr,
    pub(crate) secret: String,
}

impl Place {
    /// Of a pod that runs.
    pub(crate) fn of(pod: &Pod) -> Option<Self> {
        let (spec, status) = (pod.spec.as_ref()?, pod.status.as_ref()?);
        if status.phase.as_deref() != Some("Running") {
            return None;
        }
        let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
        let port = ports.into_iter().find(|port| port.name.as_deref() == Some("status"))?.container_port;
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == "tls")?;
        Some(Self {
            name: (pod.metadata.namespace.clone()?, pod.metadata.name.clone()?),
            address: SocketAddr::new(status.pod_ip.as_deref()?.parse().ok()?, port.try_into().ok()?),
            secret: volume.secret.as_ref()?.secret_name.clone()?,
        })
    }
}

/// The pod's side of TLS; nothing if the Secret does not hold it.
pub(crate) fn tls(secret: &Secret) -> Option<Arc<ServerConfig>> {
    let data = secret.data.as_ref()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&data.get("ca.crt")?.0) {
        roots.add(certificate.ok()?).ok()?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().ok()?;
    let chain = vec![CertificateDer::from_pem_slice(&data.get("tls.crt")?.0).ok()?];
    let key = PrivateKeyDer::from_pem_slice(&data.get("tls.key")?.0).ok()?;
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).ok().map(Arc::new)
}

/// Answers until it is dropped.
pub(crate) async fn answer(place: &Place, tls: Arc<ServerConfig>, state: Arc<Mutex<State>>) -> Result<(), Error> {
    let listener = TcpListener::bind(place.address).await.map_err(Error::io(place.address.to_string()))?;
    let session = jiff::Timestamp::now().as_millisecond();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, _) = listener.accept().await.map_err(Error::io(place.address.to_string()))?;
        let (acceptor, state, name) = (TlsAcceptor::from(tls.clone()), state.clone(), place.name.clone());
        connections.spawn(async move {
            // Whoever may not ask is sent away by the handshake.
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service =
                service_fn(move |request: Request<Incoming>| respond(request, state.clone(), name.clone(), session));
            // The operator may end the connection when it likes.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    state: Arc<Mutex<State>>,
    name: Name,
    session: i64,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let behaviour = state.lock().unwrap_or_else(PoisonError::into_inner).behaviour(&name.1);
    if behaviour == Behaviour::Hangs {
        std::future::pending::<()>().await;
    }
    if request.uri().path() != crds::report::PATH {
        let mut response = Response::new(Full::new(Bytes::new()));
        *response.status_mut() = hyper::StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let report = report(&state.lock().unwrap_or_else(PoisonError::into_inner), &name, behaviour, session);
    Ok(Response::new(Full::new(serde_json::to_vec(&report).unwrap_or_default().into())))
}

fn report(state: &State, name: &Name, behaviour: Behaviour, session: i64) -> PodReport {
    let fails = behaviour == Behaviour::FailsToLoad;
    let model = if fails {
        ModelReport {
            generation: 1,
            phase: ModelPhase::Failed,
            reason: Some("DigestMismatch".to_owned()),
            message: Some("the file that the URL gives has another digest".to_owned()),
            digest: None,
        }
    } else {
        let digest = Some(format!("sha256:{}", "0".repeat(64)));
        let in_use = ModelReport { generation: 1, phase: ModelPhase::Ready, digest, ..ModelReport::default() };
        match behaviour {
            Behaviour::KeepsTheOld => ModelReport {
                phase: ModelPhase::Failed,
                reason: Some("SelfTestFailed".to_owned()),
                message: Some("the new revision finds nothing in a picture that has something in it".to_owned()),
                ..in_use
            },
            _ => in_use,
        }
    };
    let bindings = state.bindings.get(name).into_iter().flatten();
    PodReport {
        pod: name.1.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        session,
        model,
        engine: Some(EngineChoice::Native),
        capacity: (!fails).then_some(CAPACITY),
        sources: bindings.map(|((source, epoch), binding)| of_source(source, *epoch, *binding, behaviour)).collect(),
        ..PodReport::default()
    }
}

fn of_source(source: &Name, epoch: i64, binding: Binding, behaviour: Behaviour) -> SourceReport {
    let age = Instant::now().duration_since(binding.since);
    let is_away = behaviour == Behaviour::Flaps && age.as_secs() % 2 == 1;
    let streams = age >= OPENS && behaviour != Behaviour::SeesNothing && !is_away;
    let warm = streams && behaviour != Behaviour::NeverWarms;
    let bare = SourceReport {
        namespace: source.0.clone(),
        name: source.1.clone(),
        epoch,
        phase: match (binding.active, warm) {
            (true, _) => Phase::Active,
            (false, true) => Phase::Warm,
            (false, false) => Phase::Warming,
        },
        state_ms: match behaviour {
            Behaviour::Flaps => age.subsec_millis().into(),
            _ => u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        },
        ..SourceReport::default()
    };
    if streams {
        SourceReport {
            state: SourceState::Streaming,
            last_frame_ms: Some(jiff::Timestamp::now().as_millisecond()),
            demand: Some(DEMAND),
            width: Some(1_920),
            height: Some(1_080),
            codec: Some("H264".to_owned()),
            ..bare
        }
    } else if is_away {
        SourceReport {
            state: SourceState::Backoff,
            reason: Some("ConnectionLost".to_owned()),
            message: Some("the camera closed the connection".to_owned()),
            ..bare
        }
    } else if behaviour == Behaviour::SeesNothing {
        SourceReport {
            state: SourceState::Backoff,
            reason: Some("HostUnreachable".to_owned()),
            message: Some("no route to the camera".to_owned()),
            ..bare
        }
    } else {
        bare
    }
}
