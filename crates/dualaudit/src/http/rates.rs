//! How many requests a client may send, so that none keeps the others out: tokens by address, that refill.
//!
//! The generic cell rate algorithm (ITU-T I.371): of each client it is known only when its bucket will be full again.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tokio::time::Instant;

use super::problem::{Kind, Problem};

/// Clients that are told apart at most; what comes from others beyond that counts together.
const CLIENTS: usize = 1 << 16;
/// How often those are forgotten, where there are that many, whose buckets are full.
const FORGET: Duration = Duration::from_secs(1);
/// Whom those stand for that are not told apart.
const OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// How many requests one client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many a second in the long run,
    pub per_second: NonZeroU32,
    /// and at once.
    pub burst: NonZeroU32,
}

impl Rate {
    /// So many a second, and five times as many at once.
    pub const fn of(per_second: NonZeroU32) -> Self {
        Self { per_second, burst: per_second.saturating_mul(NonZeroU32::new(5).expect("it is five")) }
    }
}

/// Who sent a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// What clients sent lately.
#[derive(Debug)]
struct Buckets {
    rate: Rate,
    /// When each is full again, counted from the start. Who is not here has a full one.
    full_at: HashMap<IpAddr, Duration>,
    forgotten_at: Duration,
}

impl Buckets {
    fn new(rate: Rate) -> Self {
        Self { rate, full_at: HashMap::new(), forgotten_at: Duration::ZERO }
    }

    /// Whether a client may send one more.
    fn take(&mut self, client: IpAddr, now: Duration) -> bool {
        let client = self.place(client, now);
        let interval = Duration::from_secs(1) / self.rate.per_second.get();
        let full_at = self.full_at.entry(client).or_insert(now);
        let then = (*full_at).max(now) + interval;
        let is_left = then - now <= interval * self.rate.burst.get();
        if is_left {
            *full_at = then;
        }
        is_left
    }

    /// Takes back that a client sent one.
    fn give_back(&mut self, client: IpAddr, now: Duration) {
        let client = self.place(client, now);
        if let Some(full_at) = self.full_at.get_mut(&client) {
            *full_at = full_at.saturating_sub(Duration::from_secs(1) / self.rate.per_second.get());
        }
    }

    fn place(&mut self, client: IpAddr, now: Duration) -> IpAddr {
        let client = told_apart(client);
        if self.full_at.len() < CLIENTS || self.full_at.contains_key(&client) {
            return client;
        }
        if now >= self.forgotten_at + FORGET {
            self.forgotten_at = now;
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() < CLIENTS { client } else { OTHERS }
    }
}

/// Whoever has an IPv6 address has the 2^64 of its network as well.
pub(super) fn told_apart(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}

/// Counts what clients send.
#[derive(Clone)]
pub(super) struct Rates {
    rate: Rate,
    began: Instant,
    buckets: Arc<Mutex<Buckets>>,
}

impl Rates {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, began: Instant::now(), buckets: Arc::new(Mutex::new(Buckets::new(rate))) }
    }

    pub(super) fn take(&self, Peer(client): Peer) -> bool {
        self.buckets().take(client, self.began.elapsed())
    }

    pub(super) fn give_back(&self, Peer(client): Peer) {
        self.buckets().give_back(client, self.began.elapsed());
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Turns away what a client sends beyond its rate. Where nobody knows who sent it, as within the process, nothing is.
pub(super) async fn limit(State(rates): State<Option<Rates>>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    match rates.zip(peer) {
        Some((rates, peer)) if !rates.take(peer) => {
            let Rate { per_second, burst } = rates.rate;
            let detail = format!(
                "This address sent more than {burst} requests at once, or {per_second} a second in the long run, which is the \
                 limit. Send several records in one request, or more slowly."
            );
            Problem::new(Kind::TooManyRequests, detail).into_response()
        }
        _ => next.run(request).await,
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tokio::net::TcpListener;

    use super::*;
    use crate::http::{limits::Limits, serve, tests::Served};

    fn buckets(per_second: u32, burst: u32) -> Buckets {
        let [per_second, burst] = [per_second, burst].map(|number| NonZeroU32::new(number).unwrap());
        Buckets::new(Rate { per_second, burst })
    }

    fn taken(buckets: &mut Buckets, client: &str, times: usize, at: u64) -> usize {
        let client = client.parse().unwrap();
        (0..times).filter(|_| buckets.take(client, Duration::from_millis(at))).count()
    }

    #[test]
    fn a_client_may_send_a_burst_and_then_what_refills() {
        let mut buckets = buckets(10, 50);
        for (at, sent, taken_of_it) in [
            (0, 60, 50),
            (50, 1, 0),
            (100, 5, 1),
            (600, 9, 5),
            (1_600, 10, 10),
            (60_000, 100, 50),
            (60_000, 1, 0),
        ] {
            assert_eq!(taken(&mut buckets, "10.0.0.1", sent, at), taken_of_it, "{sent} at {at} ms");
        }
    }

    #[tokio::test]
    async fn who_sends_too_much_is_told_when_to_go_on_and_keeps_nobody_else_out() {
        let rate = Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(3).unwrap() };
        let served = Served::with(Limits { rate: Some(rate), ..Limits::default() }).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve(listener, served.router.clone(), std::future::pending()));
        let status = async |path: &str| reqwest::get(format!("{url}{path}")).await.unwrap().status().as_u16();
        for _ in 0..3 {
            assert_eq!(status("/api/v1/executions").await, 200);
        }
        let refused = reqwest::get(format!("{url}/api/v1/executions")).await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), &refused.headers()["retry-after"]),
            (429, &"1".parse().unwrap())
        );
        let problem: serde_json::Value = refused.json().await.unwrap();
        assert_eq!(problem["type"], "https://dualaudit.dev/problems/too-many-requests");
        assert_eq!(status("/healthz").await, 200);
        let other = Request::get("/api/v1/executions").extension(Peer("10.0.0.1".parse().unwrap()));
        assert_eq!(served.send(other.body(Body::empty()).unwrap()).await.status, 200);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(status("/api/v1/executions").await, 200, "what was asked to wait for is there");
    }

    #[test]
    fn what_is_given_back_may_be_taken_again() {
        let mut buckets = buckets(1, 2);
        let client = "10.0.0.1".parse().unwrap();
        assert_eq!(taken(&mut buckets, "10.0.0.1", 3, 0), 2);
        buckets.give_back(client, Duration::ZERO);
        assert_eq!(taken(&mut buckets, "10.0.0.1", 3, 0), 1);
        // Of one that was never taken there is nothing to give.
        buckets.give_back("10.0.0.2".parse().unwrap(), Duration::ZERO);
        assert_eq!(taken(&mut buckets, "10.0.0.2", 3, 0), 2);
    }

    #[test]
    fn clients_are_told_apart_by_address_and_in_ipv6_by_network() {
        let mut buckets = buckets(1, 1);
        for (client, taken_of_one) in [
            ("10.0.0.1", 1),
            ("10.0.0.2", 1),
            ("::ffff:10.0.0.1", 0),
            ("2001:db8:0:1::1", 1),
            ("2001:db8:0:1::2", 0),
            ("2001:db8:0:2::1", 1),
        ] {
            assert_eq!(taken(&mut buckets, client, 1, 0), taken_of_one, "{client}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_what_is_beyond_it_counts_together() {
        let mut buckets = buckets(1, 2);
        let client = |n: usize| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + u32::try_from(n).unwrap()));
        let second = Duration::from_secs;
        for n in 0..CLIENTS {
            assert!(buckets.take(client(n), second(1)));
        }
        let others: Vec<_> = (0..4).map(|n| buckets.take(client(CLIENTS + n), second(1))).collect();
        assert_eq!(others, [true, true, false, false]);
        assert!(buckets.take(client(0), second(1)), "who was there before is told apart");
        assert!(buckets.full_at.len() <= CLIENTS + 1);
        // A second later the others have full buckets, and are forgotten.
        assert!(buckets.take(client(CLIENTS), second(3)) && buckets.take(client(CLIENTS), second(3)));
        assert_eq!(buckets.full_at.len(), 1);
    }
}
