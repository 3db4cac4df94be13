//! What an erasure consisted of: enough to make all its receipts again when its rows are long gone.
//!
//! ```text
//! version 1 ‖ shapes: count, each: count ‖ (kind u8 ‖ size class u8 ‖ count)…
//! runs: count, each: shape ‖ how many          for the interactions of the purge's set, ascending
//! singles: count, each: leaf ‖ kind u8 ‖ size class u8 ‖ interaction      ascending, leaves as differences
//! ```
//! Numbers are varints. Most interactions have one of few shapes, so a million of them take a few kilobytes to a megabyte.

use std::collections::HashMap;

use keyforest::{Group, Leaf};

use super::codec::{put, take, take_bytes, take_count};
use crate::model::{ContentKind, SizeClass};
use crate::ports::{ContentRow, PurgeSet};

const VERSION: u8 = 1;

/// Sets with at most this many interactions are looked for by interaction, larger ones by run of groups.
const SMALL: usize = 64;

/// Groups in a run.
const RUN: u64 = 8_192;

/// Contents of one interaction: kind, size class and number, ascending, none twice.
pub type Shape = Vec<(ContentKind, SizeClass, u64)>;

/// A content that was erased by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Single {
    /// Its leaf.
    pub leaf: Leaf,
    /// What it was.
    pub kind: ContentKind,
    /// Its size class.
    pub size_class: SizeClass,
    /// The interaction it belonged to.
    pub interaction: Group,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// All shapes there are, each once.
    pub shapes: Vec<Shape>,
    /// Shape and how many interactions in a row have it.
    pub runs: Vec<(usize, u64)>,
    /// Single contents, ascending by leaf.
    pub singles: Vec<Single>,
}

impl Manifest {
    /// Interactions.
    pub fn interactions(&self) -> u64 {
        self.runs.iter().map(|(_, length)| length).sum()
    }

    /// Receipts: of each item, and of the order.
    pub fn receipts(&self) -> u64 {
        self.interactions() + self.singles.len() as u64 + 1
    }

    /// Contents of everything together, ascending.
    pub fn contents(&self) -> Shape {
        let mut all = Shape::new();
        for (shape, length) in &self.runs {
            for (kind, class, count) in &self.shapes[*shape] {
                add(&mut all, *kind, *class, count * length);
            }
        }
        for single in &self.singles {
            add(&mut all, single.kind, single.size_class, 1);
        }
        all
    }

    /// Contents in number: the blobs there were.
    pub fn blobs(&self) -> u64 {
        self.contents().iter().map(|(_, _, count)| count).sum()
    }

    /// About so many bytes of memory.
    pub fn size(&self) -> usize {
        let shapes: usize = self.shapes.iter().map(|shape| size_of_val(shape.as_slice())).sum();
        shapes + size_of_val(self.runs.as_slice()) + size_of_val(self.singles.as_slice())
    }

    /// The shape of interaction number `index`.
    pub fn shape(&self, mut index: u64) -> Option<&Shape> {
        for (shape, length) in &self.runs {
            match index.checked_sub(*length) {
                Some(rest) => index = rest,
                None => return self.shapes.get(*shape),
            }
        }
        None
    }

    /// For the row.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put(&mut out, self.shapes.len() as u64);
        for shape in &self.shapes {
            put(&mut out, shape.len() as u64);
            for (kind, class, count) in shape {
                out.extend_from_slice(&[kind.to_u8(), class.0]);
                put(&mut out, *count);
            }
        }
        put(&mut out, self.runs.len() as u64);
        for (shape, length) in &self.runs {
            put(&mut out, *shape as u64);
            put(&mut out, *length);
        }
        put(&mut out, self.singles.len() as u64);
        let mut last = 0;
        for single in &self.singles {
            put(&mut out, single.leaf.0 - last);
            out.extend_from_slice(&[single.kind.to_u8(), single.size_class.0]);
            put(&mut out, single.interaction.0);
            last = single.leaf.0;
        }
        out
    }

    /// Reads what [`Manifest::encode`] wrote; `None` for anything else.
    pub fn decode(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        if take_bytes(from, 1)? != [VERSION] {
            return None;
        }
        let kind = |from: &mut &[u8]| {
            let [kind, class] = take_bytes(from, 2)?.try_into().ok()?;
            Some((ContentKind::from_u8(kind)?, SizeClass(class)))
        };
        let mut manifest = Self::default();
        for _ in 0..take_count(from)? {
            let mut shape = Shape::new();
            for _ in 0..take_count(from)? {
                let (kind, class) = kind(from)?;
                shape.push((kind, class, take(from)?));
            }
            manifest.shapes.push(shape);
        }
        for _ in 0..take_count(from)? {
            let shape = usize::try_from(take(from)?).ok().filter(|shape| *shape < manifest.shapes.len())?;
            manifest.runs.push((shape, take(from)?));
        }
        let mut last = 0_u64;
        for _ in 0..take_count(from)? {
            last = last.checked_add(take(from)?)?;
            let (kind, size_class) = kind(from)?;
            let interaction = Group(take(from)?);
            manifest.singles.push(Single { leaf: Leaf(last), kind, size_class, interaction });
        }
        bytes.is_empty().then_some(manifest)
    }
}

fn add(shape: &mut Shape, kind: ContentKind, class: SizeClass, count: u64) {
    // In the order of the names, which is that of a certificate.
    let key = |kind: ContentKind, class: SizeClass| (kind.name(), class);
    match shape.binary_search_by(|(a, b, _)| key(*a, *b).cmp(&key(kind, class))) {
        Ok(at) => shape[at].2 += count,
        Err(at) => shape.insert(at, (kind, class, count)),
    }
}

/// Makes a manifest page by page.
#[derive(Default)]
pub struct ManifestBuilder {
    manifest: Manifest,
    known: HashMap<Shape, usize>,
}

impl ManifestBuilder {
    /// Adds the next interactions of the set, ascending, with the contents that go with them.
    pub fn interactions(&mut self, groups: &[Group], contents: &[ContentRow]) {
        let mut shapes: HashMap<Group, Shape> = HashMap::with_capacity(groups.len());
        for row in contents {
            add(shapes.entry(row.interaction).or_default(), row.kind, row.size_class, 1);
        }
        for group in groups {
            let shape = shapes.remove(group).unwrap_or_default();
            let number = match self.known.get(&shape) {
                Some(number) => *number,
                None => {
                    self.manifest.shapes.push(shape.clone());
                    self.known.insert(shape, self.manifest.shapes.len() - 1);
                    self.manifest.shapes.len() - 1
                }
            };
            match self.manifest.runs.last_mut() {
                Some((last, length)) if *last == number => *length += 1,
                _ => self.manifest.runs.push((number, 1)),
            }
        }
    }

    /// Adds the next single contents, ascending by leaf.
    pub fn singles(&mut self, contents: &[ContentRow]) {
        self.manifest.singles.extend(contents.iter().map(|row| Single {
            leaf: row.leaf,
            kind: row.kind,
            size_class: row.size_class,
            interaction: row.interaction,
        }));
    }

    /// The manifest.
    pub fn finish(self) -> Manifest {
        self.manifest
    }
}

/// Where an erasure that covers something of this interaction may be found.
pub fn places_of(interaction: Group) -> [i64; 2] {
    let number = i64::try_from(interaction.0).unwrap_or(i64::MAX - 1);
    [-1 - number, number / RUN as i64]
}

/// Where an erasure is to be found.
pub fn purge_places(set: &PurgeSet, manifest: &Manifest) -> Vec<i64> {
    let whole = set.interactions.iter().map(|group| Group(group.0));
    let groups = whole.chain(manifest.singles.iter().map(|single| single.interaction));
    let small = set.interactions.len() + manifest.singles.len() <= SMALL;
    let mut places: Vec<i64> = groups.map(|group| places_of(group)[usize::from(!small)]).collect();
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::BlobRef;

    fn content(interaction: u64, leaf: u64, kind: ContentKind, class: u8) -> ContentRow {
        ContentRow {
            leaf: Leaf(leaf),
            interaction: Group(interaction),
            kind,
            size_class: SizeClass(class),
            sealed_meta: Vec::new(),
            blob: BlobRef(String::new()),
            commitment: [0; 32],
        }
    }

    fn some() -> Manifest {
        let mut builder = ManifestBuilder::default();
        let both = |group| {
            [
                content(group, group * 8 + 1, ContentKind::CallRecording, 20),
                content(group, group * 8 + 2, ContentKind::AnalysisResult, 9),
            ]
        };
        builder.interactions(&[Group(5), Group(6), Group(9)], &[both(5), both(6)].concat());
        builder.interactions(&[Group(11)], &both(11));
        builder.singles(&[content(20, 161, ContentKind::Transcript, 14), content(20, 900, ContentKind::Transcript, 3)]);
        builder.finish()
    }

    #[test]
    fn a_manifest_survives_its_encoding_and_nothing_shorter_does() {
        let manifest = some();
        assert_eq!((manifest.shapes.len(), manifest.runs.len()), (2, 3));
        assert_eq!((manifest.interactions(), manifest.receipts(), manifest.blobs()), (4, 7, 8));
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes).unwrap(), manifest);
        for length in 0..bytes.len() {
            assert!(Manifest::decode(&bytes[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn shapes_are_told_by_number_and_in_the_order_of_names() {
        let manifest = some();
        let kinds = |index| manifest.shape(index).map(|shape| shape.iter().map(|one| one.0).collect::<Vec<_>>());
        assert_eq!(kinds(0), Some(vec![ContentKind::AnalysisResult, ContentKind::CallRecording]));
        assert_eq!(kinds(2), Some(vec![]));
        assert_eq!((kinds(3), kinds(4)), (kinds(0), None));
        let contents = manifest.contents();
        assert_eq!(contents[0], (ContentKind::AnalysisResult, SizeClass(9), 3));
        assert!(contents.is_sorted_by(|a, b| (a.0.name(), a.1) < (b.0.name(), b.1)));
    }

    #[test]
    fn a_million_interactions_of_one_shape_take_few_bytes() {
        let mut builder = ManifestBuilder::default();
        for page in 0..1_000_u64 {
            let groups: Vec<Group> = (page * 1_000..page * 1_000 + 1_000).map(Group).collect();
            builder.interactions(&groups, &[]);
        }
        assert!(builder.finish().encode().len() < 16);
    }

    #[test]
    fn small_erasures_are_looked_for_by_interaction_and_large_ones_by_run() {
        let set = |numbers: std::ops::Range<u64>| PurgeSet {
            interactions: numbers.map(Leaf).collect(),
            ..PurgeSet::default()
        };
        assert_eq!(purge_places(&set(3..5), &Manifest::default()), [-5, -4]);
        assert_eq!(purge_places(&set(8_000..8_400), &Manifest::default()), [0, 1]);
        assert_eq!(purge_places(&set(0..0), &some()), [-21]);
        assert_eq!(places_of(Group(8_200)), [-8_201, 1]);
    }
}
