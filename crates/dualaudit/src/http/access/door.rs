//! Lets requests in: whose they are, and how many of strangers are asked about.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use tokio::time::Instant;

use super::Caller;
use crate::{
    access::{Access, Asks, Guard, Trail, Unanswered, User},
    http::{
        Api,
        problem::{Kind, Problem, UNCHECKED},
        rates::{Peer, Rate, Rates},
        trail::{self, Hiding},
    },
};

/// Tokens of one address that may be asked about at once, or one after the other, and turn out to be nobody's: they take the
/// time of the API server, which others need as well.
const STRANGERS: Rate = Rate {
    per_second: NonZeroU32::new(5).expect("it is five"),
    burst: NonZeroU32::new(16).expect("it is sixteen"),
};
/// An answer that there is no such thing comes at a multiple of this after the request: so how long it took says not whether
/// there is one that may not be read.
const EVEN: Duration = Duration::from_millis(50);

/// Lets requests in.
#[derive(Clone)]
pub(in crate::http) struct Door {
    access: Access,
    trail: Trail,
    strangers: Rates,
}

/// What one address may have asked about.
struct Budget {
    strangers: Rates,
    peer: Peer,
}

impl Asks for Budget {
    fn take(&self) -> bool {
        self.strangers.take(self.peer)
    }

    fn give_back(&self) {
        self.strangers.give_back(self.peer);
    }
}

impl Door {
    pub(in crate::http) fn of(api: &Api) -> Self {
        Self { access: api.access.clone(), trail: api.trail.clone(), strangers: Rates::new(STRANGERS) }
    }

    /// Whose token this is, if anybody's. Addresses that send ever other tokens that are nobody's have to wait.
    async fn user(
        &self,
        guard: &Guard,
        token: &str,
        peer: Option<Peer>,
    ) -> Result<Option<Arc<User>>, Problem> {
        let budget = peer.map(|peer| Budget { strangers: self.strangers.clone(), peer });
        Ok(guard.user(token, budget.map(|budget| Arc::new(budget) as Arc<dyn Asks>)).await?)
    }
}

/// Lets in whoever Kubernetes knows, or everybody where nobody is asked who they are.
///
/// Who is refused something is put on record.
pub(in crate::http) async fn identify(
    State(door): State<Door>,
    mut request: Request,
    next: Next,
) -> Response {
    let (began, trail) = (Instant::now(), &door.trail);
    let peer = request.extensions().get().copied();
    match caller(&door, request.headers(), peer).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller.clone());
            let response = next.run(request).await;
            if let Some((_, user)) = &caller.known
                && let Some(event) = trail::of_refusal(user, &response, &caller.hiding)
            {
                trail.forbid(event);
            }
            if caller.known.is_some() && response.status() == StatusCode::NOT_FOUND {
                let periods = began.elapsed().as_micros() / EVEN.as_micros() + 1;
                tokio::time::sleep_until(began + EVEN * u32::try_from(periods).unwrap_or(u32::MAX)).await;
            }
            response
        }
        Err(problem) => {
            let mut response = problem.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                trail.forbid(trail::of_a_stranger(&request));
                let challenge = HeaderValue::from_static("Bearer realm=\"dualaudit\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

async fn caller(door: &Door, headers: &HeaderMap, peer: Option<Peer>) -> Result<Caller, Problem> {
    let Access::Kubernetes(guard) = &door.access else {
        return Ok(Caller {
            known: None,
            token: Arc::from(""),
            hiding: Hiding::default(),
            is_lasting: false,
        });
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, other) = (values.next(), values.next());
    let Some(value) = value.filter(|_| other.is_none()) else {
        return Err(unauthenticated(
            "A request needs one `Authorization: Bearer` header, with a token of Kubernetes.",
        ));
    };
    let token = value.to_str().ok().and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    });
    let Some(token) = token else {
        return Err(unauthenticated("The Authorization header is not `Bearer` and a token of Kubernetes."));
    };
    match door.user(guard, token, peer).await? {
        Some(user) => {
            let (known, hiding) = (Some((Arc::clone(guard), user)), Hiding::default());
            Ok(Caller { known, token: token.into(), hiding, is_lasting: false })
        }
        None => Err(unauthenticated(
            "Kubernetes does not know this token: it is expired, not from this cluster, or not meant for this server.",
        )),
    }
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(Kind::Unauthenticated, detail)
}

impl From<Unanswered> for Problem {
    fn from(error: Unanswered) -> Self {
        match error {
            Unanswered::Silent(_) => Self::new(Kind::AccessUnchecked, UNCHECKED).caused_by(&error),
            Unanswered::Strangers => {
                let Rate { per_second, burst } = STRANGERS;
                let detail = format!(
                    "This address sent more than {burst} tokens at once, or {per_second} a second in the long run, that \
                     Kubernetes does not know. It is asked about no further one until then."
                );
                Self::new(Kind::TooManyRequests, detail)
            }
        }
    }
}
