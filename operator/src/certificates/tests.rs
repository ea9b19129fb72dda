#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use rustls::{
    ClientConnection, RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

use super::{
    Authority, Identity,
    authority::{CA_LIFE, SETTLES},
};

const HOST: &str = "people-analytics-tls.yard.vision-operator.dev";

fn stored(authority: &Authority) -> BTreeMap<String, Vec<u8>> {
    authority.secret().into_iter().map(|(name, text)| (name, text.into_bytes())).collect()
}

/// The time of TLS is the real one.
fn now() -> i64 {
    crate::clock::now().as_second()
}

fn server(identity: &Identity, bundle: &str) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_client_cert_verifier(verifier).with_single_cert(chain, key).unwrap())
}

/// Lets the two talk until they agree.
fn agree(
    client: Arc<rustls::ClientConfig>,
    server: Arc<ServerConfig>,
    host: &'static str,
) -> Result<(), rustls::Error> {
    let mut client = ClientConnection::new(client, host.try_into().unwrap()).unwrap();
    let mut server = ServerConnection::new(server).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut &*wire).unwrap();
        server.process_new_packets()?;
        let mut wire = Vec::new();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut &*wire).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn the_operator_and_a_pod_know_each_other() {
    let authority = Authority::new(now()).unwrap();
    let identity = authority.server(HOST, now()).unwrap();
    agree(authority.client(now()).unwrap(), server(&identity, &authority.bundle()), HOST).unwrap();
}

#[test]
fn a_pod_of_another_model_is_not_believed() {
    let authority = Authority::new(now()).unwrap();
    let identity = authority.server("cars-analytics-tls.yard.vision-operator.dev", now()).unwrap();
    let error = agree(authority.client(now()).unwrap(), server(&identity, &authority.bundle()), HOST).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
}

#[test]
fn pods_cannot_ask_each_other() {
    let authority = Authority::new(now()).unwrap();
    let of_pod = authority.server(HOST, now()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.bundle().as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let asks_as_pod = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(of_pod.certificate.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(of_pod.key.as_bytes()).unwrap(),
        )
        .unwrap();
    let error = agree(Arc::new(asks_as_pod), server(&of_pod, &authority.bundle()), HOST).unwrap_err();
    assert!(matches!(error, rustls::Error::InvalidCertificate(_)), "{error}");
}

#[test]
fn a_ca_is_replaced_in_time_and_nobody_is_cut_off_while_it_is() {
    let made = now() - CA_LIFE / 3 * 2;
    let old = Authority::read(&stored(&Authority::new(made).unwrap())).unwrap();
    assert!(old.rotated(made + 1_000).unwrap().is_none());
    let of_pod_before = old.server(HOST, now()).unwrap();
    let both = Authority::read(&stored(&old.rotated(now()).unwrap().unwrap())).unwrap();
    let of_pod_after = both.server(HOST, now()).unwrap();
    // Pods that have not been told of the new CA yet still know the operator, and it knows them.
    agree(both.client(now()).unwrap(), server(&of_pod_before, &old.bundle()), HOST).unwrap();
    agree(both.client(now()).unwrap(), server(&of_pod_after, &both.bundle()), HOST).unwrap();
    // Once all have been, the new one signs.
    let later = now() + SETTLES * 2;
    let signed = both.server(HOST, later).unwrap();
    let der = CertificateDer::from_pem_slice(signed.certificate.as_bytes()).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    assert_eq!(certificate.issuer().to_string(), format!("CN=vision-operator CA {}", now_of(&both)));
}

/// When the newest CA was made, as its name says.
fn now_of(authority: &Authority) -> i64 {
    let der = CertificateDer::from_pem_slice(authority.bundle().as_bytes()).unwrap();
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
    certificate.subject().to_string().rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_secret_that_is_no_ca_is_named() {
    let mut data = stored(&Authority::new(now()).unwrap());
    data.insert("tls.key".to_owned(), b"no key".to_vec());
    let error = Authority::read(&data).err().unwrap().to_string();
    assert!(error.starts_with("tls.key is missing or cannot be read"), "{error}");
}
