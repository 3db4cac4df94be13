//! Which of an agent's two places a root goes to. Pure, so that the model of the protocol uses it too.

/// Place for `new`: never the one that holds `beside`, the root that is in force while `new` is put.
///
/// A place that holds `new` already is used again, or an interrupted write could leave it in both; otherwise an empty one,
/// otherwise the one with the older root. `older` says which of two is that.
pub fn place<T: PartialEq>(
    held: [Option<&T>; 2],
    new: &T,
    beside: Option<&T>,
    older: impl FnOnce(&T, &T) -> bool,
) -> usize {
    if let Some(same) = held.iter().position(|held| *held == Some(new)) {
        return same;
    }
    match held {
        [Some(zero), Some(one)] => {
            if Some(zero) == beside {
                1
            } else if Some(one) == beside {
                0
            } else {
                usize::from(!older(zero, one))
            }
        }
        [None, _] => 0,
        [_, None] => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::place;

    fn at(held: [Option<u8>; 2], new: u8, beside: Option<u8>) -> usize {
        place([held[0].as_ref(), held[1].as_ref()], &new, beside.as_ref(), |zero, one| zero < one)
    }

    #[test]
    fn a_root_goes_beside_the_one_in_force() {
        assert_eq!(at([None, None], 1, None), 0);
        assert_eq!(at([Some(1), None], 2, Some(1)), 1);
        assert_eq!(at([None, Some(1)], 2, Some(1)), 0);
        assert_eq!(at([Some(1), Some(2)], 3, Some(1)), 1, "an attempt that was given up makes room");
        assert_eq!(at([Some(2), Some(1)], 3, Some(1)), 0);
        assert_eq!(at([Some(1), Some(2)], 4, Some(3)), 0, "of two old ones the older makes room");
        assert_eq!(at([Some(2), Some(1)], 4, Some(3)), 1);
    }

    #[test]
    fn what_is_there_already_stays_in_its_place() {
        assert_eq!(at([Some(1), Some(2)], 2, Some(1)), 1);
        assert_eq!(at([None, Some(2)], 2, Some(1)), 1);
        assert_eq!(at([Some(1), Some(2)], 1, Some(1)), 0);
    }
}
