//! How many connections each address has.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::rates::{Peer, told_apart};

/// Counts the connections of addresses.
#[derive(Clone)]
pub(super) struct Peers {
    most: usize,
    places: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A connection that counts until this is dropped.
pub(super) struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Peers {
    /// Of whom each may have so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, places: Arc::default() }
    }

    /// One more, if the address may have one.
    pub(super) fn place(&self, Peer(address): Peer) -> Option<Place> {
        let address = told_apart(address);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let count = places.entry(address).or_default();
        if *count == self.most {
            return None;
        }
        *count += 1;
        Some(Place { peers: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.peers.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = places.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                places.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_share_and_others_theirs() {
        let peers = Peers::new(2);
        let of = |address: &str| peers.place(Peer(address.parse().unwrap()));
        let first = of("10.0.0.1");
        let second = of("::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some() && of("10.0.0.1").is_none());
        assert!(of("10.0.0.2").is_some(), "and that is free again");
        drop(first);
        assert!(of("10.0.0.1").is_some());
        drop(second);
        assert!(peers.places.lock().unwrap().is_empty(), "nothing is kept of those who are gone");
    }
}
