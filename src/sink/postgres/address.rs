//! Where a PostgreSQL server is, as a URL says it, and how safely it is spoken to.
//!
//! Invariant: no password is shown, whatever is wrong with the URL. Limits: of libpq's parameters those that
//! `tokio-postgres` knows, `sslmode` in all its modes and `sslrootcert`; no certificates of clients.

use std::convert::Infallible;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use postgres::Config;
use postgres::config::{Host, SslMode};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{JobError, JobResult};

/// How long an attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So long nothing may be heard of a server that should have answered: a cut link is noticed.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// A server and a database, as given: `postgresql://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`. Not looked at before
/// [`Address::of`]; not shown with its password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

impl FromStr for Url {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Url, Infallible> {
        Ok(Url(text.to_owned()))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Address::of(self) {
            Ok(address) => formatter.write_str(&address.shown),
            Err(_) => formatter.write_str("postgresql://…"),
        }
    }
}

/// A URL, understood.
#[derive(Clone)]
pub struct Address {
    pub(super) config: Config,
    pub(super) tls: MakeRustlsConnect,
    /// Without the password.
    pub(super) shown: String,
}

/// What is asked of a server's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    /// Nothing: who listens in learns nothing, who stands in between everything.
    Anyone,
    /// That an authority which is trusted made it.
    Authority,
    /// That it was made for this host, too.
    Host,
}

impl Address {
    /// Understands a URL, and reads no certificates.
    pub fn check(url: &Url) -> JobResult<()> {
        Address::understood(url).map(drop)
    }

    /// Understands a URL and reads the certificates that it names.
    pub fn of(url: &Url) -> JobResult<Address> {
        let (config, trust, roots) = Address::understood(url)?;
        let shown = shown(&config);
        let tls = MakeRustlsConnect::new(tls(trust, roots.as_deref()).map_err(|error| error.at(shown.clone()))?);
        Ok(Address { config, tls, shown })
    }

    /// Where the server is, whom to trust, and the file of authorities.
    fn understood(url: &Url) -> JobResult<(Config, Trust, Option<PathBuf>)> {
        const REMEDY: &str = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters as %XX; after a ? \
                              sslmode, sslrootcert, connect_timeout, options and others, separated by &";
        let refused = || JobError::configuration("this is no URL of a PostgreSQL database").remedy(REMEDY);
        if !["postgresql://", "postgres://"].iter().any(|scheme| url.0.starts_with(scheme)) {
            return Err(refused());
        }
        let (place, parameters) = url.0.split_once('?').unwrap_or((&url.0, ""));
        let (mut ssl_mode, mut roots, mut rest) = ("prefer".to_owned(), None, Vec::new());
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
            match name {
                "sslmode" => ssl_mode = value,
                "sslrootcert" => roots = Some(PathBuf::from(value)).filter(|path| path != Path::new("system")),
                _ => rest.push(parameter),
            }
        }
        // What the parser says may hold a part of the password, so it is not told.
        let mut config: Config = format!("{place}?{}", rest.join("&")).parse().map_err(|_| refused())?;
        if config.get_hosts().is_empty() {
            config.host("localhost");
        }
        let (mode, trust) = match ssl_mode.as_str() {
            "disable" => (SslMode::Disable, Trust::Anyone),
            "allow" | "prefer" => (SslMode::Prefer, Trust::Anyone),
            // As libpq has it: whoever names an authority means it.
            "require" if roots.is_none() => (SslMode::Require, Trust::Anyone),
            "require" | "verify-ca" => (SslMode::Require, Trust::Authority),
            "verify-full" => (SslMode::Require, Trust::Host),
            _ => {
                let error = JobError::configuration("sslmode in the URL of PostgreSQL is none that there is");
                return Err(error.remedy("disable, prefer, require, verify-ca or verify-full"));
            }
        };
        config.ssl_mode(mode).tcp_user_timeout(SILENCE_MAX);
        config.keepalives_idle(KEEPALIVE_IDLE).keepalives_interval(KEEPALIVE_INTERVAL);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        Ok((config, trust, roots))
    }
}

fn shown(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => String::new(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().map_or_else(String::new, |user| format!("{user}@"));
    format!("postgresql://{user}{host}:{port}/{}", config.get_dbname().unwrap_or_default())
}

fn tls(trust: Trust, roots: Option<&Path>) -> JobResult<ClientConfig> {
    let refused = |error: rustls::Error| JobError::job(format!("TLS cannot be set up: {error}"));
    let provider = Arc::new(ring::default_provider());
    let authority = match trust {
        Trust::Anyone => None,
        Trust::Authority | Trust::Host => {
            let roots = Arc::new(trusted(roots)?);
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
            Some(verifier.map_err(|error| refused(rustls::Error::General(error.to_string())))?)
        }
    };
    let verifier = Verifier { authority, is_host_checked: trust == Trust::Host, provider: Arc::clone(&provider) };
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let dangerous = versions.map_err(refused)?.dangerous();
    Ok(dangerous.with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// The authorities of a file, or those that the system trusts.
fn trusted(file: Option<&Path>) -> JobResult<RootCertStore> {
    let certificates = match file {
        Some(path) => {
            let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
            read.map_err(|error| {
                JobError::configuration(format!("cannot read the certificates of sslrootcert: {error}"))
            })?
        }
        None => rustls_native_certs::load_native_certs().certs,
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(certificates);
    match added {
        0 => Err(JobError::configuration("there is no authority whose certificates could be trusted")
            .remedy("name a file in PEM format with sslrootcert=FILE, or install ca-certificates")),
        _ => Ok(roots),
    }
}

/// Asks of a certificate what `sslmode` says.
#[derive(Debug)]
struct Verifier {
    authority: Option<Arc<WebPkiServerVerifier>>,
    is_host_checked: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(authority) = &self.authority else { return Ok(ServerCertVerified::assertion()) };
        match authority.verify_server_cert(certificate, intermediates, host, ocsp_response, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.is_host_checked => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> JobResult<Address> {
        Address::of(&url.parse().unwrap())
    }

    #[test]
    fn a_password_is_shown_nowhere() {
        for url in [
            "postgresql://me:s3cret@db:5433/shop?sslmode=require",
            "postgresql://me:s3cret@db/shop?sslmode=s3cret",
            "postgresql://me:s3?cret@db/shop",
            "postgresql://me:s3cret@db:s3cret/shop",
            "postgresql://me:s3cret@db/shop?s3cret=1",
            "me:s3cret@db",
            "postgresql://db/shop?password=s3cret",
        ] {
            let shown = match address(url) {
                Ok(address) => address.shown,
                Err(error) => error.to_string(),
            };
            let debugged = format!("{:?}", url.parse::<Url>().unwrap());
            assert!(!shown.contains("cret") && !debugged.contains("cret"), "{shown} {debugged}");
        }
        let shown = |url| address(url).unwrap().shown;
        assert_eq!(shown("postgresql://me:s3cret@db:5433/shop"), "postgresql://me@db:5433/shop");
        assert_eq!(shown("postgres://"), "postgresql://localhost:5432/");
    }

    #[test]
    fn sslmode_says_what_is_asked_of_a_server() {
        let mode = |url| address(url).unwrap().config.get_ssl_mode();
        assert_eq!(mode("postgresql://db"), SslMode::Prefer);
        assert_eq!(mode("postgresql://db?sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("postgresql://db?sslmode=require&connect_timeout=3"), SslMode::Require);
        for (url, says) in [
            ("postgresql://db?sslmode=verify-full&sslrootcert=/none", "cannot read the certificates of sslrootcert"),
            ("postgresql://db?sslmode=require&sslrootcert=/dev/null", "no authority"),
            ("postgresql://db?sslmode=on", "sslmode"),
            ("mysql://db", "no URL of a PostgreSQL"),
        ] {
            let error = address(url).err().unwrap().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
