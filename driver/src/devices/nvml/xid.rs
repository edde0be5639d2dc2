//! Critical errors by their numbers, the XIDs.

/// XIDs that programs cause and that say nothing of the device: exceptions of kernels, page faults, ended channels,
/// processes that were stopped. NVIDIA's own drivers pass over the same ones.
pub const OF_PROGRAMS: [u64; 6] = [13, 31, 43, 45, 68, 109];

/// The common ones in words, after NVIDIA's list of them.
const MEANINGS: [(u64, &str); 12] = [
    (46, "the GPU stopped processing"),
    (48, "a memory error of two bits"),
    (61, "the microcontroller stopped"),
    (62, "the microcontroller halted"),
    (63, "memory is being retired"),
    (64, "memory cannot be retired"),
    (74, "an NVLink failed"),
    (79, "the GPU has fallen off the bus"),
    (92, "many memory errors were corrected"),
    (94, "a memory error was contained"),
    (95, "a memory error was not contained"),
    (119, "the GPU's system processor does not answer"),
];

/// What users read of a device with this error.
pub(super) fn message(number: u64) -> String {
    let meaning = MEANINGS.iter().find(|(known, _)| *known == number);
    meaning.map_or_else(
        || format!("critical error XID {number}"),
        |(_, meaning)| format!("critical error XID {number}: {meaning}"),
    )
}
