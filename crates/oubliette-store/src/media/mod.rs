//! Media for the key forest: a folder of packs and journal files.

pub(crate) mod align;
pub(crate) mod folder;
pub(crate) mod ground;

pub use folder::Folder;
