//! What a server that means ill, or a file that was lost, cannot do to a state folder.

use std::fs;

use crate::auditor::{Auditor, fork};
use crate::fixture::*;

#[test]
fn evidence_of_a_first_look_locks_no_folder() {
    let mut auditor = Auditor::new();
    auditor.serve(450);
    let other = fork(&auditor.log, 20, 400);
    // The files of the first checkpoint are withheld, and the second contradicts it.
    auditor.server.show(&Log::new(), &other.checkpoint(None));
    auditor.found(4, "unreadable");
    auditor.serve(0);
    let told = auditor.found(1, "forked");
    let kept = auditor.at(told["facts"]["evidence"].as_str().unwrap());
    // Nothing was followed before, so nothing was lost.
    let told = auditor.found(0, "begun");
    assert_eq!(told["facts"]["earlier_evidence"], 1);
    assert_eq!(fs::read_to_string(kept.join("earlier")).unwrap(), other.checkpoint(None));
    assert_eq!(fs::read_to_string(kept.join("checkpoint")).unwrap(), auditor.log.checkpoint(None));
    assert!(!kept.join("remembered").exists());
}
