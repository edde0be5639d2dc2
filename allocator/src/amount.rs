//! Arithmetic on quantities, where the allocator's books need it.
//!
//! Sums are exact. Two amounts so far apart that their exact sum would be absurdly long (upstream does not come
//! back from adding them) count as the larger one.

use drayage_cel::Quantity;

pub(crate) fn add(sum: &mut Quantity, amount: &Quantity) {
    *sum = match sum.checked_add(amount) {
        Some(total) => total,
        None => sum.clone().max(amount.clone()),
    };
}

pub(crate) fn subtract(sum: &mut Quantity, amount: &Quantity) {
    add(sum, &amount.negated());
}
