//! Two quantities, one a line: reading, writing, comparing and adding them neither panics nor contradicts itself.

#![no_main]

use drayage_cel::Quantity;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.lines();
    let (Some(first), second) = (lines.next(), lines.next().unwrap_or("1")) else { return };
    let (Ok(left), Ok(right)) = (first.parse::<Quantity>(), second.parse::<Quantity>()) else { return };
    for quantity in [&left, &right] {
        let text = quantity.to_string();
        let again: Quantity = text.parse().expect("what is written can be read");
        // Where upstream has no suffix it leaves it out, so that huge numbers read back smaller.
        let small = quantity.as_approximate_float().abs() < 1e18;
        assert!(!small || again == *quantity, "{text}");
        let _ = (quantity.value(), quantity.milli_value(), quantity.as_integer());
    }
    assert_eq!(left.cmp(&right), right.cmp(&left).reverse());
    let Some(sum) = left.checked_add(&right) else { return };
    assert_eq!(Some(&sum), right.checked_add(&left).as_ref());
    assert_eq!(sum.checked_sub(&right).as_ref(), Some(&left));
    let difference = left.checked_sub(&right).expect("as far apart as for the sum");
    assert_eq!(difference.sign(), left.cmp(&right) as i32);
});
