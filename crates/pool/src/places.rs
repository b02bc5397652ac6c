//! The places a connection can be in, and its ways between them (P2).
//!
//! Only what is here changes where a connection is, and with it what pools and caps count.

use std::time::Instant;

use crate::action::Action;
use crate::conn::{Conn, Place};
use crate::pool::{Idle, Phase};
use crate::pools::Pools;
use crate::token::{ConnId, Lease, Permit, PoolId, WorkerId};

impl Pools {
    /// The connection of a token, which is there for as long as the token is.
    pub(crate) fn conn(&self, id: ConnId) -> &Conn {
        let conn = self.conns.get(id.slot as usize);
        conn.filter(|conn| conn.generation == id.generation)
            .expect("a connection is there for as long as its lease or permit")
    }

    pub(crate) fn conn_mut(&mut self, id: ConnId) -> &mut Conn {
        let conn = self.conns.get_mut(id.slot as usize);
        conn.filter(|conn| conn.generation == id.generation)
            .expect("a connection is there for as long as its lease or permit")
    }

    /// Into being: a slot of the pool is taken, and somebody is told to open a connection for it.
    pub(crate) fn open(&mut self, slot: usize, worker: WorkerId, now: Instant) {
        let generation = self.next_generation;
        self.next_generation = generation.wrapping_add(1);
        let pool = &mut self.pools[slot];
        pool.opening += 1;
        self.databases.get_mut(pool.database).count += 1;
        self.users.get_mut(pool.user).count += 1;
        let pool = PoolId {
            slot: slot as u32,
            generation: pool.generation,
        };
        let slot = self.conns.insert(Conn {
            generation,
            pool,
            place: Place::Opening,
            worker,
            born: now,
            used: false,
            stale: false,
        });
        let conn = ConnId {
            slot: slot as u32,
            generation,
        };
        self.actions
            .push_back(Action::Open(Permit { conn, pool, worker }));
    }

    /// To the idle.
    pub(crate) fn lay_idle(&mut self, id: ConnId, since: Instant) {
        self.withdraw(id);
        let (slot, worker) = (self.conn(id).slot(), self.conn(id).worker);
        let pool = &mut self.pools[slot];
        self.databases.get_mut(pool.database).idle += 1;
        self.users.get_mut(pool.user).idle += 1;
        let idle = Idle { conn: id, since };
        let key = pool.idle.push_back(worker, idle);
        self.conn_mut(id).place = Place::Idle(key);
    }

    /// Into the hands of somebody who is at `to`; `idle_since`: if it has idled.
    pub(crate) fn lend(
        &mut self,
        id: ConnId,
        to: WorkerId,
        idle_since: Option<Instant>,
        now: Instant,
    ) -> Lease {
        self.withdraw(id);
        let conn = self.conn_mut(id);
        conn.place = Place::Leased(Phase::Active);
        conn.used = true;
        let worker = std::mem::replace(&mut conn.worker, to);
        let id_of_pool = conn.pool;
        let pool = &mut self.pools[id_of_pool.slot as usize];
        pool.leased[Phase::Active as usize] += 1;
        let check = idle_since.is_some_and(|since| !pool.is_fresh(since, now));
        Lease {
            conn: id,
            pool: id_of_pool,
            worker,
            check,
            idle_since,
        }
    }

    /// What somebody who has it does with it.
    pub(crate) fn change_phase(&mut self, id: ConnId, phase: Phase) {
        let conn = self.conn_mut(id);
        let Place::Leased(before) = conn.place else {
            return;
        };
        conn.place = Place::Leased(phase);
        let slot = conn.slot();
        let leased = &mut self.pools[slot].leased;
        leased[before as usize] -= 1;
        leased[phase as usize] += 1;
    }

    /// Has a connection closed, and out of being.
    pub(crate) fn put_away(&mut self, id: ConnId, reason: &'static str) {
        let worker = self.conn(id).worker;
        self.actions.push_back(Action::Close {
            conn: id,
            worker,
            reason,
        });
        self.end(id);
    }

    /// Out of being: its slot is free. The caller settles who gets it.
    pub(crate) fn end(&mut self, id: ConnId) {
        self.withdraw(id);
        let slot = self.conn(id).slot();
        self.conns.remove(id.slot as usize);
        let pool = &self.pools[slot];
        self.databases.get_mut(pool.database).count -= 1;
        self.users.get_mut(pool.user).count -= 1;
        self.end_pool_if_over(slot);
    }

    /// Out of the place where it is; the caller puts it into another, or ends it.
    fn withdraw(&mut self, id: ConnId) {
        let (slot, place) = (self.conn(id).slot(), self.conn(id).place);
        let pool = &mut self.pools[slot];
        match place {
            Place::Opening => pool.opening -= 1,
            Place::Leased(phase) => pool.leased[phase as usize] -= 1,
            Place::Idle(key) => {
                let idle = pool.idle.remove(key);
                debug_assert_eq!(idle.conn, id);
                self.databases.get_mut(pool.database).idle -= 1;
                self.users.get_mut(pool.user).idle -= 1;
            }
        }
    }
}
