//! The client against an API server over HTTP.

use std::time::Duration;

use drayage_driver::{
    api::ApiServer,
    kubelet::ClaimReference,
    node::{ClaimReader as _, ReadError},
    publish::{ApiError, ApiVersion, Served, Slice, SliceApi as _, Watch, WatchEvent},
    runtime::Announcement,
};
use drayage_fake_kubelet::api_server::Server;
use serde_json::{Map, Value, json};
use tokio::{runtime::Handle, sync::mpsc, time::timeout};

async fn client(server: &Server) -> ApiServer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, server.kubeconfig()).unwrap();
    ApiServer::connect(Some(&path), "gpu.example.com", "node-1").await.unwrap()
}

fn spec(device: &str) -> Map<String, Value> {
    let spec = json!({
        "driver": "gpu.example.com", "nodeName": "node-1",
        "pool": { "name": "node-1", "generation": 1, "resourceSliceCount": 1 },
        "devices": [{ "name": device, "attributes": { "model": { "string": "A100" } } }],
    });
    let Value::Object(spec) = spec else { panic!("an object") };
    spec
}

async fn next(watch: &mut Watch) -> Option<WatchEvent> {
    timeout(Duration::from_secs(10), watch.recv()).await.expect("the watch says something")
}

fn claim(name: &str) -> ClaimReference {
    ClaimReference { namespace: "ml".to_owned(), name: name.to_owned(), uid: "uid-1".to_owned() }
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_are_made_changed_watched_and_removed() {
    let server = Server::start(&["v1beta1", "v1", "v1beta2"]).await.unwrap();
    let client = client(&server).await;
    assert_eq!(client.discover().await, Ok(Served { version: ApiVersion::V1, minor: 36 }));
    let (none, mut watch) = client.list_and_watch().await.unwrap();
    assert_eq!(none, []);

    let made = client.create("node-1-gpu-", spec("gpu-0").into()).await.unwrap();
    assert!(made.name.starts_with("node-1-gpu-"));
    assert_eq!(made.spec.map(), spec("gpu-0"));
    assert_eq!(next(&mut watch).await, Some(WatchEvent::Changed(made.clone())));
    let stored = server.state().slices[&made.name].clone();
    let owner = &stored["metadata"]["ownerReferences"][0];
    assert_eq!((&owner["kind"], &owner["uid"]), (&json!("Node"), &json!("uid-of-the-node")));
    assert_eq!(stored["apiVersion"], "resource.k8s.io/v1");

    // What others have written into the metadata stays.
    server.state().slices.get_mut(&made.name).unwrap()["metadata"]["labels"] = json!({ "kept": "yes" });
    let changed = client.update(Slice { spec: spec("gpu-1").into(), ..made.clone() }).await.unwrap();
    assert_eq!((changed.spec.map(), &changed.uid), (spec("gpu-1"), &made.uid));
    assert_eq!(server.state().slices[&made.name]["metadata"]["labels"], json!({ "kept": "yes" }));
    assert_eq!(next(&mut watch).await, Some(WatchEvent::Changed(changed.clone())));

    // The version of before is too old now.
    assert_eq!(client.update(made.clone()).await, Err(ApiError::Conflict));
    let other = Slice { uid: "uid-of-another".to_owned(), ..changed.clone() };
    assert_eq!(client.delete(other).await, Err(ApiError::Conflict));
    assert_eq!(client.delete(changed.clone()).await, Ok(()));
    let Some(WatchEvent::Deleted(gone)) = next(&mut watch).await else { panic!("a deletion") };
    assert_eq!(gone.name, made.name);
    assert_eq!(client.delete(changed.clone()).await, Err(ApiError::NotFound));
    assert_eq!(client.update(changed).await, Err(ApiError::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_1_32_gets_devices_in_a_block() {
    let server = Server::start(&["v1alpha3", "v1beta1"]).await.unwrap();
    let client = client(&server).await;
    let made = client.create("slice-", spec("gpu-0").into()).await.unwrap();
    assert_eq!(made.spec.map(), spec("gpu-0"));
    let device = server.state().slices[&made.name]["spec"]["devices"][0].clone();
    assert_eq!(device["basic"]["attributes"]["model"]["string"], "A100");
    assert_eq!(client.list_and_watch().await.unwrap().0, [made]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_list_comes_in_pages() {
    let server = Server::start(&["v1"]).await.unwrap();
    let client = client(&server).await;
    for number in 0..5 {
        client.create("slice-", spec(&format!("gpu-{number}")).into()).await.unwrap();
    }
    server.state().page = 2;
    assert_eq!(client.list_and_watch().await.unwrap().0.len(), 5);
    let listed = server
        .state()
        .requests
        .iter()
        .filter(|request| request.starts_with("GET") && request.ends_with("slices"))
        .count();
    assert_eq!(listed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_the_server_and_a_new_list_goes_on() {
    let server = Server::start(&["v1"]).await.unwrap();
    let client = client(&server).await;
    let (_, mut watch) = client.list_and_watch().await.unwrap();
    server.state().outage = true;
    server.wipe("node-1", None);
    assert_eq!(next(&mut watch).await, None);
    let failed = client.list_and_watch().await.map(|(slices, _)| slices);
    assert!(matches!(&failed, Err(ApiError::Unavailable(text)) if text.contains("503")), "{failed:?}");
    server.state().outage = false;
    assert!(client.list_and_watch().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_gone_only_if_the_server_says_so_of_the_claim() {
    let server = Server::start(&["v1"]).await.unwrap();
    let client = client(&server).await;
    let object = json!({ "metadata": { "name": "here", "uid": "uid-1" } });
    server.state().claims.insert("ml/here".to_owned(), object.clone());
    let reader = client.claims(Handle::current());
    let read = |name: &'static str| {
        let reader = reader.clone();
        async move { tokio::task::spawn_blocking(move || reader.claim(&claim(name))).await.unwrap() }
    };
    assert_eq!(read("here").await, Ok(object.clone()));
    assert_eq!(read("gone").await, Err(ReadError::Gone));
    // A server that was downgraded knows the path no more, and says nothing about the claim.
    server.state().served = vec!["v1beta1"];
    assert!(matches!(read("here").await, Err(ReadError::Unavailable(_))));
    assert_eq!(read("here").await, Ok(object), "the version is asked again");
    server.state().outage = true;
    assert!(matches!(read("here").await, Err(ReadError::Unavailable(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_becomes_events_on_the_claim_and_its_pods() {
    let server = Server::start(&["v1"]).await.unwrap();
    let client = client(&server).await;
    let consumers = json!([
        { "resource": "pods", "name": "trainer", "uid": "uid-2" },
        { "apiGroup": "scheduling.k8s.io", "resource": "podgroups", "name": "gang", "uid": "uid-3" },
    ]);
    let object = json!({ "metadata": { "uid": "uid-1" }, "status": { "reservedFor": consumers } });
    server.state().claims.insert("ml/here".to_owned(), object);
    let (sender, receiver) = mpsc::channel(9);
    let note = "é".repeat(1000);
    for name in ["here", "gone"] {
        let announcement = Announcement { claim: claim(name), reason: "FailedUnprepare", note: note.clone() };
        sender.send(announcement).await.unwrap();
    }
    drop(sender);
    client.announce(receiver).await;
    let events = server.state().events.clone();
    let regarding = |kind: &str| {
        let events = events.iter().filter(|event| event["regarding"]["kind"] == kind);
        events.map(|event| event["regarding"]["name"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!((regarding("Pod"), regarding("ResourceClaim")), (vec!["trainer"], vec!["here", "gone"]));
    for event in &events {
        assert_eq!((&event["reason"], &event["action"]), (&json!("FailedUnprepare"), &json!("Unprepare")));
        let note = event["note"].as_str().unwrap();
        assert!(note.len() <= 1024 && note.starts_with("driver gpu.example.com, claim "), "{note}");
        let time = event["eventTime"].as_str().unwrap();
        assert!(time.len() == "2026-01-02T03:04:05.678901Z".len() && time.ends_with('Z'), "{time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_what_is_wrong() {
    let server = Server::start(&["v1alpha3"]).await.unwrap();
    let client = client(&server).await;
    let old = client.discover().await.unwrap_err().to_string();
    assert!(old.contains("no version of `resource.k8s.io`"), "{old}");
    server.state().served = vec!["v1"];
    let found = client.examine().await;
    assert_eq!(
        found.as_deref(),
        Ok("Kubernetes 1.36, `resource.k8s.io/v1`, 0 slices of this driver on this node")
    );
    let folder = tempfile::tempdir().unwrap();
    let missing = ApiServer::connect(Some(&folder.path().join("none")), "gpu.example.com", "node-1").await;
    let error = missing.unwrap_err().to_string();
    assert!(error.contains("kubeconfig cannot be used") && error.contains("none"), "{error}");
}
