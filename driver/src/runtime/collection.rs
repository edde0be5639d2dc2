//! Claims that vanish are unprepared, now and then.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{Level, Log, Source};
use crate::{
    claims::{KubeletCheckpoint, RecoverySource as _},
    files::HostFileSystem,
    node::{ClaimReader, Node, Vanished},
};

/// Looks every `pause`, the first time after one.
pub(super) async fn run<R: ClaimReader>(
    node: Arc<Node<HostFileSystem, Source, R>>,
    kubelet: KubeletCheckpoint<HostFileSystem>,
    pause: Duration,
    log: Log,
) {
    let mut rounds = interval_at(Instant::now() + pause, pause);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut vanished = Vanished::default();
    loop {
        rounds.tick().await;
        let (node, kubelet) = (Arc::clone(&node), kubelet.clone());
        let look = spawn_blocking(move || {
            let found = node.claims().map(|claims| {
                let remembered = kubelet.claims().into_iter().map(|known| known.claim.uid).collect();
                vanished.collect(&claims, node.reader(), &remembered)
            });
            (vanished, found.unwrap_or_default())
        });
        let found;
        // After a panic of a device source the suspects are forgotten, and nothing else.
        (vanished, found) = look.await.unwrap_or_default();
        for (claim, failure) in found {
            let name = format!("{}/{}", claim.namespace, claim.name);
            let fields = [("claim", claim.uid.as_str()), ("name", &name)];
            match failure {
                None => log(Level::Info, "unprepared a claim that does not exist any more", &fields),
                Some(failure) => log(
                    Level::Warning,
                    &format!("cannot unprepare a claim that does not exist any more: {failure}"),
                    &fields,
                ),
            }
        }
    }
}
