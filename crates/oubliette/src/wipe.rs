//! Memory that is given back is wiped first.
//!
//! What a vault reads and writes in clear passes through buffers of many owners: the listener's, the parsers', the
//! cipher's. Freed memory keeps its bytes until somebody else happens to need it, which may be never: without this, a
//! transcript was found whole in the memory of an idle process after its erasure had been sealed. So every block is
//! overwritten with zeros when it is freed, which costs about as much as copying it once more would.
//!
//! Not wiped: memory that C libraries allocate by themselves (SQLite, which sees sealed bytes only), stacks, and what is
//! still in use.

use std::alloc::{GlobalAlloc, Layout, System};

/// The system's allocator, with wiping. For the program's `#[global_allocator]`.
pub struct Wiping;

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call is handed to `System` unchanged, except that a block is overwritten while it is still ours.
unsafe impl GlobalAlloc for Wiping {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the one `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is the one `System` asks for.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is `layout.size()` bytes long and nobody uses it any more; then it goes back where it came from.
        unsafe {
            block.write_bytes(0, layout.size());
            // Without this the compiler may drop writes that nobody reads.
            std::hint::black_box(block);
            System.dealloc(block, layout);
        }
    }
    // `realloc` stays the trait's own: a new block, a copy, and the old one wiped by `dealloc`.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(unsafe_code, reason = "an allocator is used through unsafe calls")]
    fn a_block_is_zero_once_it_was_given_back() {
        // Of this size the block that was freed last is the next one given out.
        let layout = Layout::from_size_align(512, 8).unwrap();
        // SAFETY: the block is written within its size and freed once; afterwards a new block is read, not the old one.
        unsafe {
            let block = Wiping.alloc(layout);
            block.write_bytes(0xa5, 512);
            Wiping.dealloc(block, layout);
            let again = Wiping.alloc(layout);
            assert_eq!(again, block, "the same block");
            // The head of a freed block belongs to the system's lists.
            let bytes = std::slice::from_raw_parts(again, 512);
            assert!(!bytes[16..].contains(&0xa5), "bytes of a freed block survive");
            Wiping.dealloc(again, layout);
        }
    }
}
