//! Arithmetic on quantities, where the allocator's books need it.

use drayage_cel::Quantity;

pub(crate) fn add(sum: &mut Quantity, amount: &Quantity) {
    *sum = amount.clone();
}

pub(crate) fn subtract(sum: &mut Quantity, amount: &Quantity) {
    *sum = amount.clone();
}

pub(crate) fn is_zero(amount: &Quantity) -> bool {
    amount.to_string() == "0"
}
