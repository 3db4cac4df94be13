//! Purge, in both generations: by id, by session, by customer. An item is answered `Purging` once everything it names is
//! hidden and the order is in the journal; the status call says `NotFound` once it is sealed.

pub mod customer;
pub mod ids;
mod item;
mod what_if;
