//! A schema registry, asked over HTTP as Confluent's is: the schema of an id, and the id of a schema.
//!
//! Invariant: whoever asks learns what the registry says, or waits: one that is away, busy or broken says nothing, and a
//! schema is unknown only where the registry itself says so. User and password of its address are never shown.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BlockingRetryable, ExponentialBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use serde_json::json;
use ureq::http::{Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, RequestBuilder};

use crate::error::{JobError, JobResult};

/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first wait before it is asked again, and the longest.
const WAITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];
/// How often it is said that it is waited for.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// The longest answer, in bytes, and the most schemas that one may build on.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
const OTHERS_MAX: usize = 64;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";
/// What codes begin with by which a registry says that it has no such thing, rather than that there is no registry.
const NOT_FOUND: std::ops::RangeInclusive<u32> = 40_401..=40_499;

/// Where a registry is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAddress {
    base: String,
    authorization: Option<String>,
}

impl RegistryAddress {
    /// The address that `text` is, `http[s]://[USER:PASSWORD@]HOST[:PORT][/PATH]`.
    pub fn parse(text: &str) -> Option<RegistryAddress> {
        let (scheme, rest) = text.trim_end_matches('/').split_once("://")?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let base = format!("{scheme}://{host}{path}");
        let is_address =
            matches!(scheme, "http" | "https") && base.parse::<Uri>().is_ok_and(|uri| uri.host().is_some());
        let authorization = user.map(|user| {
            let user: Vec<u8> = percent_decode_str(user).collect();
            format!("Basic {}", STANDARD.encode(user))
        });
        is_address.then_some(RegistryAddress { base, authorization })
    }
}

impl fmt::Debug for RegistryAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.base)
    }
}

/// A client of a registry.
#[derive(Debug)]
pub struct Registry {
    address: RegistryAddress,
    agent: Agent,
}

/// Why there is no answer.
#[derive(Debug)]
pub struct Failure {
    /// True where it may pass: whoever waits and asks again may get one.
    passes: bool,
    why: String,
}

/// A schema, and those that it builds on.
#[derive(Debug)]
pub struct Found {
    /// As it was registered.
    pub schema: String,
    /// Every other one whose names it may use.
    pub others: Vec<String>,
}

/// What a registry says, whichever product it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    schema: String,
    references: Vec<Reference>,
    id: u32,
    error_code: u32,
    message: String,
}

#[derive(Debug, Deserialize)]
struct Reference {
    subject: String,
    version: u32,
}

impl Registry {
    /// A client. It connects when it is asked.
    pub fn new(address: &RegistryAddress) -> Registry {
        // Those of the system: reading them takes a moment.
        let is_encrypted = address.base.starts_with("https");
        let trusted = if is_encrypted { rustls_native_certs::load_native_certs().certs } else { Vec::new() };
        let trusted = trusted.iter().map(|found| Certificate::from_der(found).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(trusted.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()));
        let config = Agent::config_builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .timeout_global(Some(ANSWER_TIMEOUT))
            .user_agent("orderwatch");
        Registry { address: address.clone(), agent: config.build().into() }
    }

    /// The schema of an id; none where the registry has none.
    pub fn schema(&self, id: u32) -> Result<Option<Found>, Failure> {
        let Some(answer) = self.get(&format!("/schemas/ids/{id}"))? else { return Ok(None) };
        let (mut others, mut wanted) = (Vec::new(), answer.references);
        while let Some(Reference { subject, version }) = wanted.pop() {
            let subject = utf8_percent_encode(&subject, NON_ALPHANUMERIC);
            let other = self.get(&format!("/subjects/{subject}/versions/{version}"))?;
            let Some(other) = other.filter(|_| others.len() < OTHERS_MAX) else { return Ok(None) };
            if !others.contains(&other.schema) {
                wanted.extend(other.references);
                others.push(other.schema);
            }
        }
        Ok(Some(Found { schema: answer.schema, others }))
    }

    /// The id of a schema under the subject of a topic's values, where it is put if it is not there.
    pub fn register(&self, topic: &str, schema: &str) -> Result<u32, Failure> {
        let request = self.agent.post(format!("{}/subjects/{topic}-value/versions", self.address.base));
        let request = request.header("content-type", MEDIA_TYPE);
        let answer = read(self.introduced(request).send(json!({ "schema": schema }).to_string()))?;
        let refused = || Failure { passes: false, why: "it has no place for schemas".into() };
        answer.map(|answer| answer.id).ok_or_else(refused)
    }

    fn get(&self, path: &str) -> Result<Option<Answer>, Failure> {
        read(self.introduced(self.agent.get(format!("{}{path}", self.address.base))).call())
    }

    /// A request that says who asks, and for what.
    fn introduced<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let request = request.header("accept", MEDIA_TYPE);
        self.address.authorization.iter().fold(request, |request, known| request.header("authorization", known))
    }

    /// Asks until there is an answer, as long as `goes_on` says so and waiting is of any use.
    pub fn ask<T>(&self, ask: impl Fn(&Registry) -> Result<T, Failure>, goes_on: impl Fn() -> bool) -> JobResult<T> {
        let [first, longest] = WAITS;
        let waits = ExponentialBuilder::default().with_min_delay(first).with_max_delay(longest);
        let mut said = Instant::now();
        let asked = (|| ask(self))
            .retry(waits.with_jitter().without_max_times())
            .when(|failure| failure.passes && goes_on())
            .notify(|failure, _| {
                if said.elapsed() >= SAY_EVERY {
                    said = Instant::now();
                    tracing::warn!("waiting for the schema registry at {:?}: {}", self.address, failure.why);
                }
            });
        asked.call().map_err(|failure| {
            JobError::job(format!("the schema registry gives no answer: {}", failure.why))
                .at(format!("schema registry at {:?}", self.address))
                .remedy("check kafka.schema_registry: its path (Apicurio: /apis/ccompat/v7), user and password")
        })
    }
}

/// What an answer says; none where it says that there is no such thing.
fn read(answered: Result<Response<Body>, ureq::Error>) -> Result<Option<Answer>, Failure> {
    let passing = |error: ureq::Error| Failure { passes: true, why: error.to_string() };
    let mut answered = answered.map_err(passing)?;
    let body = answered.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(passing)?;
    let status = answered.status();
    let answer = serde_json::from_slice::<Answer>(&body);
    match (status.as_u16(), answer) {
        (200, Ok(answer)) => Ok(Some(answer)),
        (404, Ok(answer)) if NOT_FOUND.contains(&answer.error_code) => Ok(None),
        (_, answer) => {
            let message = answer.map(|answer| answer.message).unwrap_or_default();
            let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
            Err(Failure { passes, why: format!("{status} {message}").trim_end().to_owned() })
        }
    }
}

#[cfg(test)]
#[path = "registry/tests.rs"]
mod tests;
