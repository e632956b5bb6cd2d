use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::Semaphore;

use crate::Playground;
use crate::answers::{Asked, Duel, Judge, Refused};
use crate::server::threads;

/// The most bytes of a request.
const MOST_BYTES: usize = 64 * 1024;
/// The most requests that wait to be answered.
const MOST_WAITING: usize = 1024;
/// How long a request may take to arrive and to be answered.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the playground may load: its own files.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a server shows.
pub struct Site {
    pub(crate) router: Router,
}

/// A page that changes while it is looked at.
pub trait Live: Send + Sync + 'static {
    /// What it is made of, as it is now: when this changes the page has changed.
    fn version(&self) -> String;

    /// The whole page, HTML; it has the script `live.js` of the server in it, and its own policy.
    ///
    /// # Errors
    /// One sentence for whoever looks at it.
    fn page(&self) -> Result<String, String>;
}

/// What answers need: the playground, and how many of them at once.
struct Shared {
    playground: Playground,
    /// As many at once as there are processors: more would only wait for each other. Both are given back when the
    /// work ends, whether or not anybody still wants its answer.
    at_work: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Site {
    /// Noise, words, detector and duel.
    pub fn playground(playground: Playground) -> Self {
        let shared = Arc::new(Shared {
            playground,
            at_work: Arc::new(Semaphore::new(threads())),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        });
        let router = Router::new()
            .route(
                "/",
                get(|| file("text/html; charset=utf-8", include_str!("../assets/page.html"))),
            )
            .route("/style.css", get(|| file("text/css", include_str!("../assets/style.css"))))
            .route(
                "/script.js",
                get(|| file("text/javascript", include_str!("../assets/script.js"))),
            )
            .route("/api/model", get(about))
            .route("/api/generate", post(|state, body| answer(state, body, Playground::generate)))
            .route("/api/next", post(|state, body| answer(state, body, Playground::follow)))
            .route(
                "/api/realness",
                post(|state, body| answer(state, body, |play, asked: Judge| play.judge(&asked))),
            )
            .route(
                "/api/duel",
                post(|state, body| answer(state, body, |play, asked: Duel| play.duel(&asked))),
            )
            .route(
                "/api/duel/answer",
                post(|state, body| answer(state, body, |play, asked: Duel| play.outcome(&asked))),
            )
            .with_state(shared);
        Self::of(router, POLICY)
    }

    /// A page that is drawn anew whenever it changes.
    pub fn live(page: impl Live) -> Self {
        let drawn = Arc::new(Drawn { page: Box::new(page), last: Mutex::default() });
        let router = Router::new()
            .route("/", get(live_page))
            .route("/version", get(live_version))
            .route("/live.js", get(|| file("text/javascript", include_str!("../assets/live.js"))))
            .with_state(drawn);
        // The page brings a policy that names its own style and script by their hashes.
        Self::of(router, "frame-ancestors 'none'")
    }

    fn of(router: Router, policy: &'static str) -> Self {
        let router = router
            .fallback(|| async {
                Refused(StatusCode::NOT_FOUND, "there is nothing here".to_owned())
            })
            .method_not_allowed_fallback(|| async {
                let message = "this address is asked in another way".to_owned();
                Refused(StatusCode::METHOD_NOT_ALLOWED, message)
            })
            .layer(DefaultBodyLimit::max(MOST_BYTES))
            .layer(axum::middleware::from_fn(in_time))
            .layer(axum::middleware::map_response(move |mut response: Response| async move {
                let headers = response.headers_mut();
                for (name, value) in [
                    (header::CONTENT_SECURITY_POLICY, policy),
                    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
                    (header::REFERRER_POLICY, "no-referrer"),
                    (header::CACHE_CONTROL, "no-store"),
                ] {
                    headers.insert(name, HeaderValue::from_static(value));
                }
                response
            }));
        Self { router }
    }
}

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind)], text)
}

/// Gives up on a request that takes too long to arrive or to be answered.
async fn in_time(request: Request, next: axum::middleware::Next) -> Response {
    match tokio::time::timeout(PATIENCE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = "it took too long to arrive, or to be answered".to_owned();
            Refused(StatusCode::REQUEST_TIMEOUT, message).into_response()
        }
    }
}

/// A live page, and the last version of it that was drawn.
struct Drawn {
    page: Box<dyn Live>,
    last: Mutex<Option<(String, String)>>,
}

impl Drawn {
    /// The page as it is now: drawn by one visitor, and kept for the others until it changes.
    fn page(&self) -> Result<String, String> {
        // What a panic left is a whole page, or none.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.page.version();
        if let Some((known, html)) = &*last
            && *known == version
        {
            return Ok(html.clone());
        }
        let html = self.page.page()?;
        *last = Some((version, html.clone()));
        Ok(html)
    }
}

async fn live_page(State(drawn): State<Arc<Drawn>>) -> Response {
    match tokio::task::spawn_blocking(move || drawn.page()).await {
        Ok(Ok(html)) => {
            ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
        }
        Ok(Err(message)) => Refused(StatusCode::INTERNAL_SERVER_ERROR, message).into_response(),
        Err(error) => Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn live_version(State(drawn): State<Arc<Drawn>>) -> String {
    tokio::task::spawn_blocking(move || drawn.page.version()).await.unwrap_or_default()
}

async fn about(State(shared): State<Arc<Shared>>) -> Response {
    work(shared, |playground| playground.about().map(|about| serde_json::json!(about))).await
}

async fn answer<A, T>(
    State(shared): State<Arc<Shared>>,
    Body(asked): Body<A>,
    how: impl FnOnce(&Playground, A) -> Result<T, Refused> + Send + 'static,
) -> Response
where
    A: Asked + Send + 'static,
    T: Serialize,
{
    work(shared, |playground| how(playground, asked).map(|answer| serde_json::json!(answer))).await
}

/// Answers on a thread of its own, when one is free.
async fn work(
    shared: Arc<Shared>,
    how: impl FnOnce(&Playground) -> Result<serde_json::Value, Refused> + Send + 'static,
) -> Response {
    let busy = || Refused(StatusCode::SERVICE_UNAVAILABLE, "too many requests wait".to_owned());
    let Ok(waits) = shared.waiting.clone().try_acquire_owned() else {
        return busy().into_response();
    };
    let Ok(works) = shared.at_work.clone().acquire_owned().await else {
        return busy().into_response();
    };
    let made = tokio::task::spawn_blocking(move || {
        let answer = how(&shared.playground);
        drop((works, waits));
        answer
    })
    .await;
    match made {
        Ok(Ok(answer)) => Json(answer).into_response(),
        Ok(Err(refused)) => refused.into_response(),
        Err(error) => Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

/// JSON, or one sentence on what is wrong with it.
struct Body<A>(A);

impl<S: Send + Sync, A: Asked> FromRequest<S> for Body<A> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::from_request(request, state).await {
            Ok(Json(Once(body))) => A::read(body).map(Self),
            Err(rejection) => {
                let rejection: JsonRejection = rejection;
                Err(Refused(rejection.status(), rejection.body_text()))
            }
        }
    }
}

/// A JSON object each of whose keys stands once: of two values one would be passed over.
struct Once(serde_json::Value);

impl<'de> Deserialize<'de> for Once {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys)
    }
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Once;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut pairs: M) -> Result<Once, M::Error> {
        let mut object = serde_json::Map::new();
        while let Some((key, value)) = pairs.next_entry::<String, serde_json::Value>()? {
            if object.contains_key(&key) {
                return Err(serde::de::Error::custom(format!("{key}: it stands there twice")));
            }
            object.insert(key, value);
        }
        Ok(Once(object.into()))
    }
}
