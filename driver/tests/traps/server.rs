//! Traps of the API server.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use drayage_driver::{
    api::ApiServer,
    devices::{Pool, PoolDevice},
    kubelet::ClaimReference,
    node::ClaimReader as _,
    publish::{ApiError, Controller, Slice, SliceApi as _, publish},
};
use drayage_fake_kubelet::api_server::{Faults, Server};
use serde_json::{Value, json};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::support::plugin::DRIVER;

const LONG: Duration = Duration::from_mins(1);

async fn client(server: &Server, node: &str) -> ApiServer {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, server.kubeconfig()).expect("a file");
    ApiServer::connect(Some(&path), DRIVER, node).await.expect("a client")
}

fn pool(devices: usize, flavour: usize) -> Pool {
    let device = |number: usize| {
        let fields = json!({
            "attributes": {"flavour": {"int": flavour}},
            "taints": [{"key": "example.com/a", "effect": "NoSchedule"}],
            "fieldOfTheFuture": {"nested": [number]},
        });
        let Value::Object(fields) = fields else { unreachable!("an object") };
        PoolDevice { name: format!("gpu-{number}"), fields: fields.into() }
    };
    Pool { name: "pool".to_owned(), devices: (0..devices).map(device).collect(), shared_counters: Vec::new() }
}

/// A controller that runs, and the pools that it publishes.
async fn publishing(server: &Server, node: &str) -> (watch::Sender<Option<Vec<Pool>>>, JoinHandle<()>) {
    let (pools, receiver) = watch::channel(None);
    let api = Arc::new(client(server, node).await);
    let controller = Controller::new(DRIVER, node, true);
    (pools, tokio::spawn(async move { publish(api, controller, receiver, |_| {}).await }))
}

/// Whether the server has exactly these devices, in one complete generation.
fn is_published(server: &Server, devices: usize, flavour: usize) -> bool {
    let state = server.state();
    let slices: Vec<&Value> = state.slices.values().map(|slice| &slice["spec"]).collect();
    let found: Vec<&Value> = slices.iter().filter_map(|spec| spec["devices"].as_array()).flatten().collect();
    let one = |field: &str| slices.iter().all(|spec| spec["pool"][field] == slices[0]["pool"][field]);
    found.len() == devices
        && one("generation")
        && slices.iter().all(|spec| spec["pool"]["resourceSliceCount"] == json!(slices.len()))
        && found.iter().all(|device| device["attributes"]["flavour"]["int"] == json!(flavour))
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LONG, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

/// What this program does not know passes through it, in both directions.
#[tokio::test(flavor = "multi_thread")]
async fn trap_15_fields_that_nobody_knows_are_kept() {
    let server = Server::start(&["v1"]).await.expect("a server");
    let (pools, publishing) = publishing(&server, "node-1").await;
    pools.send_replace(Some(vec![pool(3, 0)]));
    until("published", || is_published(&server, 3, 0)).await;
    pools.send_replace(Some(vec![pool(3, 1)]));
    until("changed", || is_published(&server, 3, 1)).await;
    let slices = server.state().slices.clone();
    let device = &slices.values().next().expect("a slice")["spec"]["devices"][2];
    assert_eq!(device["fieldOfTheFuture"], json!({"nested": [2]}));
    publishing.abort();
    // The same for what is read and written again.
    let client = client(&server, "node-1").await;
    let (slices, _) = client.list_and_watch().await.expect("slices");
    let slice = slices.into_iter().next().expect("a slice");
    let mut spec = slice.spec.clone();
    spec.insert("another".to_owned(), json!(1));
    client.update(Slice { spec, ..slice }).await.expect("updated");
    let slices = server.state().slices.clone();
    let spec = &slices.values().next().expect("a slice")["spec"];
    assert_eq!(
        (&spec["another"], &spec["devices"][0]["fieldOfTheFuture"]),
        (&json!(1), &json!({"nested": [0]}))
    );
}

/// Conflicts, answers that are lost after the request was carried out, objects that are gone, watches that end with `410`,
/// names that are cut: in the end the server has what it should, once.
#[tokio::test(flavor = "multi_thread")]
async fn trap_16_conflicts_lost_answers_gone_objects_and_names_that_are_cut() {
    let server = Server::start(&["v1"]).await.expect("a server");
    let node = format!("node-{}", "x".repeat(80));
    server.state().nodes.insert(node.clone(), "uid".to_owned());
    let (pools, publishing) = publishing(&server, &node).await;
    pools.send_replace(Some(vec![pool(200, 0)]));
    until("published", || is_published(&server, 200, 0)).await;
    let names: Vec<String> = server.state().slices.keys().cloned().collect();
    assert!(names.iter().all(|name| name.len() <= 63), "{names:?}");
    for (round, faults) in [
        Faults { conflicts: 50, ..Faults::default() },
        Faults { lost: 30, ..Faults::default() },
        Faults { refused: 30, lost: 10, conflicts: 10, ..Faults::default() },
    ]
    .into_iter()
    .enumerate()
    {
        server.state().faults = faults;
        pools.send_replace(Some(vec![pool(200 + round, round + 1)]));
        sleep(Duration::from_millis(500)).await;
        // Somebody deletes a slice, and the watch cannot go on.
        let first = server.state().slices.keys().next().cloned();
        if let Some(first) = first {
            server.state().slices.remove(&first);
        }
        server.end_watches(true);
        sleep(Duration::from_millis(500)).await;
        server.state().faults = Faults::default();
        until("in order again", || is_published(&server, 200 + round, round + 1)).await;
    }
    // Deleting what is gone is no error that anybody would fight over.
    let client = client(&server, &node).await;
    let (slices, _) = client.list_and_watch().await.expect("slices");
    let gone = Slice { name: "gone".to_owned(), ..slices[0].clone() };
    assert_eq!(client.delete(gone).await, Err(ApiError::NotFound));
    let old = Slice { resource_version: "1".to_owned(), ..slices[0].clone() };
    assert_eq!(client.update(old).await, Err(ApiError::Conflict));
    publishing.abort();
}

/// A kubelet that starts removes everything, whether the watch lives or not. How fast it is back, in virtual time, is
/// `slices.rs::slices_are_back_within_a_second_after_a_wipe`.
#[tokio::test(flavor = "multi_thread")]
async fn trap_17_slices_that_a_kubelet_removed() {
    let server = Server::start(&["v1"]).await.expect("a server");
    let (pools, publishing) = publishing(&server, "node-1").await;
    pools.send_replace(Some(vec![pool(150, 0)]));
    let names = || server.state().slices.keys().cloned().collect::<BTreeSet<String>>();
    until("published", || is_published(&server, 150, 0)).await;
    for (driver, watch_ends) in [(None, false), (Some(DRIVER), false), (None, true)] {
        let before = names();
        server.wipe("node-1", driver);
        if watch_ends {
            server.end_watches(true);
        }
        // They may be back before anybody looks, but they are others.
        until("back", || is_published(&server, 150, 0) && names().is_disjoint(&before)).await;
    }
    publishing.abort();
}

/// Slices that are slow to be stored keep no claim waiting.
#[tokio::test(flavor = "multi_thread")]
async fn trap_23_claims_wait_behind_slices() {
    let server = Server::start(&["v1"]).await.expect("a server");
    let object = json!({"metadata": {"name": "a", "uid": "0a"}});
    server.state().claims.insert("ml/a".to_owned(), object.clone());
    let client = client(&server, "node-1").await;
    client.discover().await.expect("a version");
    server.state().faults.stalled = Some("/resourceslices");
    let creating: Vec<JoinHandle<_>> = (0..100)
        .map(|_| {
            let client = client.clone();
            let Value::Object(spec) = json!({"driver": DRIVER}) else { unreachable!("an object") };
            tokio::spawn(async move { client.create("slice-", spec.into()).await })
        })
        .collect();
    sleep(Duration::from_millis(100)).await;
    let reader = client.claims(Handle::current());
    let claim = ClaimReference { namespace: "ml".to_owned(), name: "a".to_owned(), uid: "0a".to_owned() };
    let read = tokio::task::spawn_blocking(move || reader.claim(&claim)).await.expect("no panic");
    assert_eq!(read, Ok(object));
    assert!(server.state().slices.is_empty(), "no slice came first");
    for task in creating {
        task.abort();
    }
}
