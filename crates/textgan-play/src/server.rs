use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;

use crate::answers::Refused;
use crate::{Error, Site};

/// How long the head of a request may take to arrive.
const HEAD: Duration = Duration::from_secs(10);
/// How long a part of an answer may take to be taken.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most connections at once.
const MOST_CONNECTIONS: usize = 256;
/// The most bytes of a request's head.
const MOST_HEAD: usize = 32 * 1024;
/// How long a server that gets no connection from the system waits to ask again.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a server listens, and to whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Settings {
    /// The address; port 0 is any that is free.
    pub address: SocketAddr,
    /// What requests must carry, as `?token=` or in the header `X-Token`: letters, digits, `-` and `_`. Unset: nothing
    /// on loopback, which no other machine reaches, and 16 random bytes elsewhere.
    pub token: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0), token: None }
    }
}

impl Settings {
    /// At an address.
    pub fn at(address: SocketAddr) -> Self {
        Self { address, ..Self::default() }
    }
}

/// A server that listens.
pub struct Server {
    runtime: Runtime,
    listener: TcpListener,
    address: SocketAddr,
    token: Option<String>,
    router: Router,
}

impl Server {
    /// Listens at an address.
    ///
    /// # Errors
    /// [`Error::Listen`] where it is taken or not this machine's.
    pub fn bind(site: Site, settings: &Settings) -> Result<Self, Error> {
        // As few threads as work at once: each keeps memory of its own for what it has last done.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .max_blocking_threads(threads() + 2)
            .enable_all()
            .build()?;
        let failed = |source| Error::Listen { address: settings.address, source };
        let listener = runtime.block_on(TcpListener::bind(settings.address)).map_err(failed)?;
        let address = listener.local_addr()?;
        let token = match &settings.token {
            Some(token) if is_a_token(token) => Some(token.clone()),
            Some(_) => {
                let message = "it must be of letters, digits, `-` and `_`, at least one".to_owned();
                return Err(Error::Token(message));
            }
            None if address.ip().is_loopback() => None,
            None => Some(random_token()?),
        };
        let (known, own) = (token.clone(), address.ip());
        let router = site.router.layer(from_fn(move |request: Request, next: Next| {
            let refused = refused(&request, known.as_deref(), own);
            async move {
                match refused {
                    Some(refused) => refused.into_response(),
                    None => next.run(request).await,
                }
            }
        }));
        Ok(Self { runtime, listener, address, token, router })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to open in a browser, the token included.
    pub fn url(&self) -> String {
        match &self.token {
            None => format!("http://{}/", self.address),
            Some(token) => format!("http://{}/?token={token}", self.address),
        }
    }

    /// Answers until `stop` says so; it is asked several times a second.
    ///
    /// # Errors
    /// When the system takes the address away.
    pub fn run(self, stop: impl Fn() -> bool) -> Result<(), Error> {
        let Self { runtime, listener, router, .. } = self;
        let connections = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        runtime.block_on(async {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            while !stop() {
                let stream = tokio::select! {
                    _ = tick.tick() => continue,
                    accepted = listener.accept() => match accepted {
                        Ok((stream, _)) => stream,
                        // Of one connection, or of too many files: those that there are go on.
                        Err(_) => {
                            tokio::time::sleep(PAUSE).await;
                            continue;
                        }
                    },
                };
                // One too many is closed at once, which costs nothing.
                let Ok(permit) = connections.clone().try_acquire_owned() else { continue };
                let service = TowerToHyperService::new(router.clone());
                // Who does not read what was asked for gives the place back too.
                let mut stream = TimeoutStream::new(stream);
                stream.set_write_timeout(Some(PATIENCE));
                tokio::spawn(async move {
                    let mut http = http1::Builder::new();
                    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(MOST_HEAD);
                    // What goes wrong on the way to a visitor is the visitor's.
                    let _ = http.serve_connection(TokioIo::new(Box::pin(stream)), service).await;
                    drop(permit);
                });
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        Ok(())
    }
}

/// The processors.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What is wrong with who asks, if anything.
fn refused(request: &Request, token: Option<&str>, own: IpAddr) -> Option<Response> {
    let named = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    // Another site's page may have its own name lead here; its requests carry that name.
    let host = named(header::HOST.as_str()).and_then(|host| host.parse::<Authority>().ok());
    if own.is_loopback() && !host.is_some_and(|host| is_local(host.host())) {
        let message = "this server answers under the name of this machine alone".to_owned();
        return Some(Refused(StatusCode::FORBIDDEN, message).into_response());
    }
    let expected = token?;
    let mut pairs = request.uri().query().unwrap_or_default().split('&');
    let given = named("x-token").or_else(|| pairs.find_map(|pair| pair.strip_prefix("token=")));
    // What the page itself loads holds nothing that is not in this crate.
    let open = matches!(request.uri().path(), "/style.css" | "/script.js" | "/live.js");
    if open || given.is_some_and(|given| equal(given.as_bytes(), expected.as_bytes())) {
        return None;
    }
    let message = "the address lacks its token: open the one that was printed".to_owned();
    Some(Refused(StatusCode::UNAUTHORIZED, message).into_response())
}

/// Whether a host is this machine: by its usual name, or by a loopback address.
fn is_local(host: &str) -> bool {
    let number = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || number.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether it can stand in an address as it is.
fn is_a_token(token: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !token.is_empty() && token.bytes().all(plain)
}

/// In a time that does not depend on where they differ.
fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn random_token() -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        Error::Token(format!("the system gives no random numbers, choose one: {error}"))
    })?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
