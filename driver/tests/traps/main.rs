//! The traps that real kubelets, runtimes and API servers have for drivers, each as a test, and what Kubernetes' own tests of
//! drivers on a node try. Other drivers fell into most of them.
//!
//! | trap | test |
//! |---|---|
//! | 1 the path of the socket as authority | [`sockets`]`::trap_01_…`; and `kubelet.rs::without_the_shim_a_path_as_authority_is_a_protocol_error` |
//! | 2 the handler is dropped at the deadline | [`sockets`]`::trap_02_…`; `kubelet.rs::work_outlives_the_deadline_and_the_next_call_joins_it` |
//! | 3 another answer after a restart | [`claims`]`::trap_03_…`; `claims.rs::no_schedule_loses_or_doubles_a_device` |
//! | 4 version floor, names, empty edits of CDI | [`claims`]`::trap_04_…`; `cdi.rs::every_specification_resolves_at_its_minimal_version` |
//! | 5 CDI files after a reboot | [`claims`]`::trap_05_…` |
//! | 6 `GetInfo` within a second | [`sockets`]`::trap_06_…` |
//! | 7 names of versions and paths of methods | [`sockets`]`::trap_07_…` |
//! | 8 a claim is missing in the answer | [`sockets`]`::trap_08_…`; `kubelet.rs::the_answer_has_every_uid_asked_for_and_no_other` |
//! | 9 alternatives, share IDs, empty requests | [`claims`]`::trap_09_…` |
//! | 10 the health stream and the stop | [`sockets`]`::trap_10_…`; `kubelet.rs::stopping_says_unknown_ends_the_stream_and_is_bounded` |
//! | 11 the successor's socket | [`sockets`]`::trap_11_…` |
//! | 12 paths that are too long, relative, missing | [`sockets`]`::trap_12_…` |
//! | 13 a socket before somebody listens | [`sockets`]`::trap_13_…` |
//! | 14 other files, folders below | [`sockets`]`::trap_14_…` |
//! | 15 unknown fields | [`server`]`::trap_15_…` |
//! | 16 conflicts, `404`, `410`, cut names, lost answers | [`server`]`::trap_16_…`; rounded times: `publish/compare.rs` |
//! | 17 slices that were wiped | [`server`]`::trap_17_…`; `slices.rs::slices_are_back_within_a_second_after_a_wipe` |
//! | 18 the checksum is over octets, unknown fields stay | `claims/record.rs::a_downgrade_reads_the_record_of_the_future_and_keeps_what_it_does_not_know` |
//! | 19 syncs, full and read-only disks | [`claims`]`::trap_19_…`; `claims.rs::no_schedule_loses_or_doubles_a_device` |
//! | 20 a hung predecessor has the lock | [`claims`]`::trap_20_…` |
//! | 21 clock jumps | [`claims`]`::trap_21_…` |
//! | 22 the API server is away | [`claims`]`::trap_22_…` |
//! | 23 claims before slices | [`server`]`::trap_23_…` |
//! | 24 reserved for a pod group | [`claims`]`::trap_24_…` |
//! | 25 two kubelets at once | [`sockets`]`::trap_25_…` |
//! | 26 sizes of messages, age of connections | [`sockets`]`::trap_26_…` |
//! | 27 named pipes | none: drivers of this kind run on Linux only |
//! | 28 claims as labels of metrics | `program.rs::trap_28_…` |
//! | 29 pods that share a claim | [`sockets`]`::trap_29_…` |
//! | 30 results of other drivers and nodes | [`claims`]`::trap_30_…` |
//! | 31 slices at the stop | `program.rs::trap_31_…` |
//!
//! Section 8.5 is [`node_e2e`] and [`node_e2e_slices`]; an error in serving is `runtime/mod.rs::an_error_in_serving_a_socket_is_reported`.
//!
//! That a test sees its trap was tried by taking the driver's cure away, one at a time; each of these then fails:
//!
//! | without | fails |
//! |---|---|
//! | rewriting the authority | `trap_01_…` |
//! | a task that outlives its call | `trap_02_…` |
//! | replaying the recorded answer | `trap_03_…` |
//! | computing the CDI version, 0.3.0 always | `trap_04_…` |
//! | writing CDI files of prepared claims at the start and with every prepare | `trap_05_…` |
//! | an answer for a claim with a malformed UID | `trap_08_…` |
//! | taking the alternative off a request's name | `trap_09_…` |
//! | ending health streams at the stop | `trap_10_…` |
//! | comparing inodes before unlinking | `trap_11_…` |
//! | waiting for the records of a predecessor | `trap_20_…` |
//! | waiting for the API server | `trap_22_…` |
//! | leaving out results of other drivers | `trap_30_…` |
//! | repeating health reports | `health_changes_reach_the_pod_and_silence_does_not_age` |
//! | the guard | `program.rs::a_claim_on_more_than_a_card_has_is_refused` |
//! | dealing with errors of accept, tonic's way instead | `an_error_in_serving_a_socket_is_reported` |
//! | cutting messages by octets | `health_changes_reach_the_pod_and_silence_does_not_age` |

#[path = "../support/mod.rs"]
mod support;

mod claims;
mod node_e2e;
mod node_e2e_slices;
mod server;
mod sockets;
mod world;
