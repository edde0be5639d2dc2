//! What Kubernetes' own tests of drivers on a node try (section 8.5): when a kubelet removes slices, and when not.

use std::{path::Path, sync::Arc};

use drayage_fake_kubelet::{
    kubelet::{Event, Kubelet, Settings},
    release::Release,
};
use tokio::time::sleep;

use crate::{
    support::plugin::{DRIVER, REGISTRATION_PATH},
    world::{Instance, SECOND, kubelet, settings, sockets, wiped},
};

#[tokio::test(start_paused = true)]
async fn slices_are_removed_when_a_kubelet_starts() {
    for release in Release::ALL {
        let kubelet = kubelet(release, &sockets());
        assert_eq!(kubelet.times(|event| *event == Event::Wiped(None)).len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn slices_are_removed_half_a_minute_after_the_plugin_has_stopped() {
    for release in Release::ALL {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        sleep(100 * SECOND).await;
        let stopped = kubelet.uptime();
        instance.stop().await;
        sleep(60 * SECOND).await;
        let after = wiped(&kubelet).iter().map(|at| at.saturating_sub(stopped)).collect::<Vec<_>>();
        assert!(
            matches!(after[..], [at] if at >= 29 * SECOND && at <= 32 * SECOND),
            "{release:?}: {after:?}"
        );
    }
}

/// Its files stay and nobody listens: kubelets since 1.34 see the connection end.
#[tokio::test(start_paused = true)]
async fn slices_are_removed_when_the_plugin_is_killed() {
    for release in Release::ALL.into_iter().filter(|release| release.stays_connected()) {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let kubelet = kubelet(release, &sockets);
        kubelet.ready(DRIVER).await;
        instance.kill().await;
        sleep(60 * SECOND).await;
        assert_eq!(wiped(&kubelet).len(), 1, "{release:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slices_are_removed_when_the_plugin_is_unregistered() {
    let sockets = sockets();
    let _instance = Instance::start(&sockets);
    let kubelet = kubelet(Release::V1_36, &sockets);
    kubelet.ready(DRIVER).await;
    sockets.remove(Path::new(REGISTRATION_PATH));
    sleep(29 * SECOND).await;
    assert!(kubelet.plugins().is_empty() && wiped(&kubelet).is_empty());
    sleep(5 * SECOND).await;
    assert_eq!(wiped(&kubelet).len(), 1);
}

/// A plugin that hangs while its connection stands; only kubelets that check registrations notice.
#[tokio::test(start_paused = true)]
async fn slices_are_removed_when_the_plugin_does_not_answer() {
    for checks_registrations in [false, true] {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let settings = Settings { checks_registrations, ..settings(Release::V1_37) };
        let kubelet = Kubelet::start(settings, Arc::new(sockets.clone()), Arc::new(|_| {}));
        kubelet.ready(DRIVER).await;
        sleep(25 * SECOND).await;
        assert_eq!(kubelet.plugins().len(), 1, "its checks are answered");
        instance.hang();
        sleep(120 * SECOND).await;
        assert_eq!(wiped(&kubelet).len(), usize::from(checks_registrations));
    }
}

#[tokio::test(start_paused = true)]
async fn slices_stay_when_the_plugin_is_back_within_half_a_minute() {
    for (killed, seconds) in [(false, 5), (true, 5), (false, 25), (true, 20)] {
        let sockets = sockets();
        let instance = Instance::start(&sockets);
        let kubelet = kubelet(Release::V1_37, &sockets);
        kubelet.ready(DRIVER).await;
        if killed {
            instance.kill().await;
        } else {
            instance.stop().await;
        }
        sleep(seconds * SECOND).await;
        let _instance = Instance::start(&sockets);
        sleep(120 * SECOND).await;
        assert!(kubelet.plugins()[0].connected);
        assert!(wiped(&kubelet).is_empty(), "killed: {killed}, back after {seconds} s");
    }
}
