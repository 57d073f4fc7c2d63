//! TLS for what does not speak HTTP: the system's root certificates, and a private one beside them.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls_platform_verifier::Verifier;
use tokio_rustls::TlsConnector;

use crate::error::{Error, Result};

/// `ca` is PEM.
pub fn connector(op: &'static str, ca: Option<&str>) -> Result<TlsConnector> {
    let failed = |error: &dyn std::fmt::Display| Error::permanent(op, format!("no TLS client could be made: {error}"));
    let provider = Arc::new(aws_lc_rs::default_provider());
    let roots: Vec<CertificateDer<'static>> = ca
        .map(|ca| CertificateDer::pem_slice_iter(ca.as_bytes()).collect::<Result<_, _>>())
        .transpose()
        .map_err(|error| failed(&error))?
        .unwrap_or_default();
    let verifier = Verifier::new_with_extra_roots(roots, provider.clone()).map_err(|error| failed(&error))?;
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
