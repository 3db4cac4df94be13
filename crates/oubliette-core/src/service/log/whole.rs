//! How much of a file of the log is as it was written. For who compares two copies of one.

use std::io;

use super::frame::{FILE_HEAD, FRAME_HEAD, FileHead, FileId, read_frame, sum_after};
use super::load::MAX_ENTRY;

/// Read at once.
const WINDOW: usize = 1 << 20;

/// How many bytes at the front of the file `name`, which is `len` bytes long, are as they were written: its head, and frames
/// whose sums follow each other. `read` gives bytes of it: where from, how many. `None` when it is no file of entries.
///
/// # Errors
/// What `read` says.
pub fn whole_log_file(
    name: &str,
    len: u64,
    read: impl Fn(u64, usize) -> io::Result<Vec<u8>>,
) -> Option<io::Result<u64>> {
    FileId::parse(name).map(|id| frames(id, len, read))
}

fn frames(id: FileId, len: u64, read: impl Fn(u64, usize) -> io::Result<Vec<u8>>) -> io::Result<u64> {
    if len < FILE_HEAD as u64 {
        return Ok(0);
    }
    let Some(head) = FileHead::decode(id, &read(0, FILE_HEAD)?) else { return Ok(0) };
    let (mut at, mut number, mut sum) = (FILE_HEAD as u64, head.first, head.before);
    let (mut window, mut skip) = (Vec::new(), 0);
    loop {
        let left = usize::try_from(len - at).unwrap_or(usize::MAX);
        if window.len() - skip < (FRAME_HEAD + MAX_ENTRY).min(left) {
            (window, skip) = (read(at, left.min(WINDOW))?, 0);
        }
        let Some(frame) = read_frame(&window[skip..], number).filter(|frame| frame.entry.len() <= MAX_ENTRY) else {
            return Ok(at);
        };
        if sum_after(&sum, number, frame.entry) != frame.sum {
            return Ok(at);
        }
        (at, skip, number, sum) = (at + frame.len as u64, skip + frame.len, number + 1, frame.sum);
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::write_frame;
    use super::*;

    #[test]
    fn a_file_is_whole_up_to_the_first_frame_that_is_not_as_it_was_written() {
        let id = FileId { ordinal: 0, number: 3 };
        let head = FileHead { id, first: 7, before: [5; 32] };
        let (mut bytes, mut sum, mut ends) = (head.encode(), head.before, vec![FILE_HEAD]);
        for number in 7..40 {
            sum = write_frame(&mut bytes, &sum, number, &vec![number as u8; 60_000]);
            ends.push(bytes.len());
        }
        let whole = |bytes: &[u8]| {
            let read = |at: u64, len: usize| Ok(bytes[at as usize..at as usize + len].to_vec());
            whole_log_file(&id.name(), bytes.len() as u64, read).unwrap().unwrap() as usize
        };
        assert_eq!(whole(&bytes), bytes.len());
        assert_eq!((whole(&bytes[..FILE_HEAD - 1]), whole(&bytes[..FILE_HEAD])), (0, FILE_HEAD));
        for (frame, end) in ends.iter().enumerate().skip(1) {
            assert_eq!(whole(&bytes[..end - 1]), ends[frame - 1]);
            let mut changed = bytes.clone();
            changed[end - 1] ^= 1;
            assert_eq!(whole(&changed), ends[frame - 1], "the last byte of frame {frame}");
        }
        let mut changed = bytes.clone();
        changed[20] ^= 1;
        assert_eq!(whole(&changed), 0);
        assert!(whole_log_file("pack-00000001.kfp", 0, |_, _| Ok(Vec::new())).is_none());
    }
}
