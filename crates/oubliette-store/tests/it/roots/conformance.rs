//! What every slot device must do, whatever it stands on.

use std::sync::Arc;

use keyforest::media::{SLOT_BYTES, SLOT_RECORD, SlotDevice, SlotError};

pub type Device = Arc<dyn SlotDevice>;

/// A block as the forest writes it: a record that says its number, zeros behind it, and zeros at the record's end, too.
pub fn record(number: u64) -> Box<[u8; SLOT_BYTES]> {
    let mut block = Box::new([0; SLOT_BYTES]);
    for (at, byte) in block[..SLOT_RECORD - 3].iter_mut().enumerate() {
        *byte = (number.wrapping_mul(31) + at as u64 * 7) as u8;
    }
    block[..4].copy_from_slice(b"ROOT");
    block[4..12].copy_from_slice(&number.to_le_bytes());
    block
}

/// The number of a whole record; `None` for anything else.
pub fn number(block: &[u8]) -> Option<u64> {
    let number = u64::from_le_bytes(block.get(4..12)?.try_into().ok()?);
    (block.get(..SLOT_RECORD)? == &record(number)[..SLOT_RECORD]).then_some(number)
}

fn held(device: &Device, slot: usize) -> Option<u64> {
    number(&device.read_slot(slot).unwrap()[..])
}

/// Runs everything. `open` opens the same slots; what it gave before has been dropped. They must be fresh.
pub fn conforms(class: &str, open: &dyn Fn() -> Device) {
    let device = open();
    assert_eq!(device.class(), class);
    fresh_slots_hold_no_record(&device);
    slots_hold_what_was_written_last_each_its_own(&device);
    drop(device);
    let device = open();
    assert_eq!((held(&device, 0), held(&device, 1)), (Some(3), Some(2)), "after opening again");
    what_is_rewritten_stays(&device);
    what_is_destroyed_is_gone_and_its_neighbour_stays(device, open);
    destroying_nothing_is_no_error(&open());
    it_is_called_from_any_thread(&open());
}

fn fresh_slots_hold_no_record(device: &Device) {
    assert_eq!((held(device, 0), held(device, 1)), (None, None));
    for slot in [2, usize::MAX] {
        assert!(device.read_slot(slot).is_err());
        assert!(matches!(device.write_slot(slot, &record(1)), Err(SlotError::End(_))));
        assert!(matches!(device.destroy_slot(slot), Err(SlotError::End(_))));
    }
}

fn slots_hold_what_was_written_last_each_its_own(device: &Device) {
    device.write_slot(0, &record(1)).unwrap();
    assert_eq!((held(device, 0), held(device, 1)), (Some(1), None));
    device.write_slot(1, &record(2)).unwrap();
    device.write_slot(0, &record(3)).unwrap();
    assert_eq!(device.read_slot(0).unwrap(), record(3));
    assert_eq!(device.read_slot(1).unwrap(), record(2));
}

fn what_is_rewritten_stays(device: &Device) {
    device.rewrite_slot(0, &record(3)).unwrap();
    assert_eq!((held(device, 0), held(device, 1)), (Some(3), Some(2)));
}

fn what_is_destroyed_is_gone_and_its_neighbour_stays(device: Device, open: &dyn Fn() -> Device) {
    device.destroy_slot(0).unwrap();
    assert_eq!((held(&device, 0), held(&device, 1)), (None, Some(2)));
    drop(device);
    let device = open();
    assert_eq!((held(&device, 0), held(&device, 1)), (None, Some(2)), "after opening again");
    device.write_slot(0, &record(4)).unwrap();
    device.destroy_slot(1).unwrap();
    drop(device);
    let device = open();
    assert_eq!((held(&device, 0), held(&device, 1)), (Some(4), None));
}

fn destroying_nothing_is_no_error(device: &Device) {
    device.destroy_slot(1).unwrap();
    device.destroy_slot(1).unwrap();
    assert_eq!((held(device, 0), held(device, 1)), (Some(4), None));
}

fn it_is_called_from_any_thread(device: &Device) {
    let one = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    one.block_on(async { device.write_slot(1, &record(5)).unwrap() });
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    let theirs = Arc::clone(device);
    let seen = many.block_on(async move { tokio::spawn(async move { held(&theirs, 1) }).await.unwrap() });
    assert_eq!(seen, Some(5));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!((held(device, 0), held(device, 1)), (Some(4), Some(5))));
        }
    });
}
