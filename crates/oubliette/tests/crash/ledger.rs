//! What the program answered. After a crash it is held to this.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, MutexGuard};

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 of a content's bytes.
pub type Hash = [u8; 32];

/// Hashes bytes.
pub fn hash(bytes: &[u8]) -> Hash {
    digest(&SHA256, bytes).as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// What must be true of an interaction or a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged: opens, byte for byte.
    Live,
    /// A request about it was sent and no answer came: one way or the other.
    Doubt,
    /// A purge of it was accepted: gone to every read, and sealed without help.
    Accepted,
    /// A delete of it was answered as done: gone.
    Deleted,
}

/// One content of an item.
#[derive(Clone, Debug)]
pub struct Content {
    /// Its name.
    pub key: String,
    /// Its bytes have one of these hashes: one, or two while a replacement is in doubt.
    pub hashes: Vec<Hash>,
    /// What must be true of it.
    pub fate: Fate,
}

/// One interaction.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its public id; unknown while its declaration is in doubt.
    pub id: Option<String>,
    /// Its session id, if its dialect has one.
    pub session: Option<String>,
    /// Its customer's number, if its dialect takes one.
    pub phone: Option<String>,
    /// What must be true of it.
    pub fate: Fate,
    /// Its contents.
    pub contents: Vec<Content>,
    /// The native erasure that covers it, if one does.
    pub erasure: Option<String>,
    /// A request about it is under way.
    busy: bool,
    /// Nothing is learnt from looking at it again: it was seen gone after its last crash.
    pub settled: bool,
}

impl Item {
    /// An item about to be declared.
    pub fn declaring(session: Option<String>, phone: Option<String>) -> Self {
        Self {
            id: None,
            session,
            phone,
            fate: Fate::Doubt,
            contents: Vec::new(),
            erasure: None,
            busy: true,
            settled: false,
        }
    }

    /// Makes doubtful what a request changes whose answer is not known yet.
    fn doubt(&mut self, next: &Self) {
        if next.fate != self.fate {
            self.fate = Fate::Doubt;
        }
        for content in &next.contents {
            match self.contents.iter_mut().find(|earlier| earlier.key == content.key) {
                None => self.contents.push(Content { fate: Fate::Doubt, ..content.clone() }),
                Some(earlier) if earlier.fate != content.fate => earlier.fate = Fate::Doubt,
                Some(earlier) => earlier.hashes.extend(&content.hashes),
            }
        }
    }

    /// Its public id.
    ///
    /// # Panics
    /// When its declaration was never answered; such items are not handed out.
    pub fn id(&self) -> &str {
        self.id.as_deref().expect("only declared items are handed out")
    }
}

/// Number of an item in the ledger.
pub type Number = usize;

/// Erased items that count as recent.
const RECENT: usize = 40;

/// Tells how much has happened, for a ledger that is asked later what held at some moment.
pub type Meter = Box<dyn Fn() -> u64 + Send + Sync>;

/// All items.
#[derive(Default)]
pub struct Ledger {
    items: Mutex<Book>,
    meter: Option<Meter>,
}

#[derive(Default)]
struct Book {
    items: BTreeMap<Number, Item>,
    next: Number,
    /// What became of each item, in order; kept with a meter only.
    history: BTreeMap<Number, Vec<Entry>>,
    /// When the request about an item was begun that makes it busy.
    begun: BTreeMap<Number, u64>,
}

/// What an item was from the moment its request was answered.
struct Entry {
    sent: u64,
    answered: u64,
    item: Item,
}

impl Ledger {
    /// A ledger that remembers when everything was answered, by `meter`.
    pub fn with_history(meter: Meter) -> Self {
        Self { items: Mutex::default(), meter: Some(meter) }
    }

    /// What was known when the meter showed `moment`: answered by then, or in doubt if only sent by then. What was erased
    /// some time before counts as seen gone: such things grow without end, and are looked at now and then.
    pub fn as_of(&self, moment: u64) -> Self {
        let book = self.book();
        let mut items = BTreeMap::new();
        let mut erased = Vec::new();
        for (number, history) in &book.history {
            let known = history.partition_point(|entry| entry.answered <= moment);
            let Some(mut item) = known.checked_sub(1).map(|last| history[last].item.clone()) else { continue };
            if let Some(next) = history.get(known).filter(|next| next.sent <= moment) {
                item.doubt(&next.item);
            }
            item.busy = false;
            if matches!(item.fate, Fate::Deleted | Fate::Accepted) {
                erased.push((history[known - 1].answered, *number));
            }
            items.insert(*number, item);
        }
        erased.sort_unstable();
        for (_, number) in erased.iter().rev().skip(RECENT) {
            items.get_mut(number).expect("put there above").settled = true;
        }
        Self { items: Mutex::new(Book { items, next: book.next, ..Book::default() }), meter: None }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.items.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds an item; it is busy.
    pub fn add(&self, item: Item) -> Number {
        let mut book = self.book();
        book.next += 1;
        let number = book.next;
        book.items.insert(number, item);
        self.begin(&mut book, number);
        number
    }

    fn begin(&self, book: &mut Book, number: Number) {
        if let Some(meter) = &self.meter {
            book.begun.insert(number, meter());
        }
    }

    /// Takes a live item that nobody is at, chosen by `random`; it is busy until [`Ledger::put`].
    pub fn take(&self, random: u64, fits: impl Fn(&Item) -> bool) -> Option<(Number, Item)> {
        let mut book = self.book();
        let free: Vec<Number> = book
            .items
            .iter()
            .filter(|(_, item)| !item.busy && item.fate == Fate::Live && item.id.is_some() && fits(item))
            .map(|(number, _)| *number)
            .collect();
        let number = *free.get(usize::try_from(random).unwrap_or(0) % free.len().max(1))?;
        let item = book.items.get_mut(&number)?;
        item.busy = true;
        let item = item.clone();
        self.begin(&mut book, number);
        Some((number, item))
    }

    /// An item whose erasure was answered, as done or as accepted: none of it may be read any more.
    pub fn erased(&self, random: u64) -> Option<Item> {
        let book = self.book();
        let erased: Vec<&Item> = book
            .items
            .values()
            .filter(|item| matches!(item.fate, Fate::Deleted | Fate::Accepted) && item.id.is_some())
            .collect();
        erased.get(usize::try_from(random).unwrap_or(0) % erased.len().max(1)).map(|item| Item::clone(item))
    }

    /// Takes up to `most` live items that nobody is at.
    pub fn take_some(&self, random: u64, most: usize, fits: impl Fn(&Item) -> bool) -> Vec<(Number, Item)> {
        (0..most).filter_map(|step| self.take(random.rotate_left(step as u32 * 7), &fits)).collect()
    }

    /// Takes every live item with this number, if nobody is at any item with it (also one that is being declared).
    pub fn take_phone(&self, phone: &str) -> Vec<(Number, Item)> {
        let mut book = self.book();
        let of_phone = |item: &&mut Item| item.phone.as_deref() == Some(phone);
        if book.items.values_mut().filter(of_phone).any(|item| item.busy) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for (number, item) in &mut book.items {
            if item.phone.as_deref() == Some(phone) && item.fate == Fate::Live && item.id.is_some() {
                item.busy = true;
                taken.push((*number, item.clone()));
            }
        }
        for (number, _) in &taken {
            self.begin(&mut book, *number);
        }
        taken
    }

    /// Gives an item back, changed.
    pub fn put(&self, number: Number, mut item: Item) {
        item.busy = false;
        let mut book = self.book();
        if let Some(meter) = &self.meter {
            let answered = meter();
            let sent = book.begun.remove(&number).unwrap_or(answered);
            book.history.entry(number).or_default().push(Entry { sent, answered, item: item.clone() });
        }
        book.items.insert(number, item);
    }

    /// Forgets an item (a declaration that was refused or never answered).
    pub fn forget(&self, number: Number) {
        self.book().items.remove(&number);
    }

    /// Everything, for a check. Nobody may be at anything.
    pub fn all(&self) -> Vec<(Number, Item)> {
        let book = self.book();
        assert!(book.items.values().all(|item| !item.busy), "a client is still at work");
        book.items.iter().map(|(number, item)| (*number, item.clone())).collect()
    }

    /// Numbers of customers with live items.
    pub fn phones(&self) -> Vec<String> {
        let book = self.book();
        let phones: HashSet<_> = book.items.values().filter_map(|item| item.phone.clone()).collect();
        let mut phones: Vec<_> = phones.into_iter().collect();
        phones.sort();
        phones
    }

    /// How many items are in each fate.
    pub fn tally(&self) -> Tally {
        let book = self.book();
        let mut tally = Tally::default();
        for item in book.items.values() {
            match item.fate {
                Fate::Live => tally.live += 1,
                Fate::Doubt => tally.doubt += 1,
                Fate::Accepted => tally.accepted += 1,
                Fate::Deleted => tally.deleted += 1,
            }
        }
        tally
    }
}

/// Counts of fates.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub live: usize,
    pub doubt: usize,
    pub accepted: usize,
    pub deleted: usize,
}
