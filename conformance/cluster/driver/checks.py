"""The driver, installed by helm, on a real kubelet: what its users and operators rely on, one check each.

Every check cleans up after itself, so that one that fails leaves the rest something to say. Rows go to the file that
DRAYAGE_CLUSTER_ROWS names; the exit code is 1 if any check failed.
"""

import base64
import json
import os
import random
import subprocess
import sys
import tarfile
import threading
import time

import world
from world import (
    DRIVER, NAMESPACE, NODE, RESOURCE, Api, Failed, Refused, allocated, api, claim_uid, container, driver_ready, drivers,
    events, expect, faults, gone, health, helm, make_pod, node, pod_path, ready, remove, runs, running, sees_its_device,
    slices, wait,
)

DEVICES = 4
TAINT = f"{DRIVER}/health"
LONG = os.environ.get("DRAYAGE_CLUSTER_LENGTH") == "long"
CHECKS = []


def check(title, nightly=False):
    """A check; its text is what was compared, and it gives what came out."""
    def add(function):
        if LONG or not nightly:
            CHECKS.append((title, function))
        return function
    return add


def values(**driver):
    """Values for the chart: fake devices that a container sees, and faults from a ConfigMap."""
    gpu = {
        "name": "gpu-{index}", "count": DEVICES,
        "device": {"attributes": {"model": {"string": "fake-1"}}, "capacity": {"memory": {"value": "40Gi"}}},
        "container": {
            "env": {"FAKE_GPU_{index}": DRIVER},
            "deviceNodes": [{"path": "/dev/fake-gpu{index}", "hostPath": "/dev/null"}],
        },
    }
    made = {
        "image": {"repository": "docker.io/local/dray-driver", "tag": "1", "pullPolicy": "Never"},
        "driver": {"faultsConfigMap": "faults", "intervalSeconds": 1, "inventory": {"pools": [{"devices": [gpu]}]}, **driver},
    }
    path = node.folder / "values.json"
    path.write_text(json.dumps(made))
    return str(path)


def upgrade(**driver):
    helm("upgrade", "dray", str(world.REPOSITORY / "helm" / "drayage"), "--values", values(**driver))


def one_instance():
    """Waits until one instance is left, and it is ready."""
    return wait("one instance of the driver is ready", 90, driver_ready)[0]


def in_driver(command, *more):
    """What a command of the driver says in the driver's pod, called with the flags that the pod has."""
    item = one_instance()
    container_id = item["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
    return node("enter", node.setting("cache") + "/ctr", "-n", "k8s.io", "task", "exec", "--exec-id",
                f"{command}-{time.monotonic_ns()}", container_id, "/bin/dray-driver", command,
                *item["spec"]["containers"][0]["args"][1:], *more)


@check("`helm install` of the chart")
def install():
    start = time.monotonic()
    api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", {
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "faults"}})
    helm("install", "dray", str(world.REPOSITORY / "helm" / "drayage"), "--values", values())
    one_instance()
    wait("its slice is there", 30, lambda: len(slices.devices()) == DEVICES)
    took = time.monotonic() - start
    api.create(f"{RESOURCE}/namespaces/default/resourceclaimtemplates", {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": {"name": "one"},
        "spec": {"spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": DRIVER}}]}}}})
    return f"DaemonSet ready and {DEVICES} devices published after {took:.1f} s"


@check("`helm test`: a pod without privileges gets a device")
def helm_test():
    helm("test", "dray", "--timeout", "90s")
    return "passes"


@check("`dray-driver doctor` in the driver's pod: sockets, folders, devices, API server and role")
def doctor():
    said = in_driver("doctor")
    lines = said.splitlines()
    expect(len(lines) >= 6 and all(line.startswith("ok ") for line in lines), f"the doctor says {said}")
    return f"{len(lines)} findings, all well: {lines[-1].split(None, 3)[-1]}"


@check("`dray-driver support-bundle` in the driver's pod, while a pod has a device")
def support_bundle():
    make_pod("b")
    runs("b")
    uid = claim_uid("b")
    place = f"/var/lib/kubelet/plugins/{DRIVER}/support.tar"
    in_driver("support-bundle", "--output", place)
    path = node.path(place)
    with tarfile.open(path) as bundle:
        names = [member.name for member in bundle.getmembers()]
        text = {name: bundle.extractfile(name).read().decode() for name in names}
    path.unlink()
    remove("b")
    for what in (f"{uid}.claim", f"claim_{uid}.json", "slices.json", "devices.json", "metrics.txt", "doctor.txt", "versions.txt"):
        expect(any(name.endswith(what) for name in names), f"nothing of {what} in {names}")
    expect(not text["left-out.txt"].strip(), f"left out is {text['left-out.txt']}")
    told = [f"{name}: {line.strip()}" for name, content in text.items() for line in content.splitlines() if f"FAKE_GPU_0={DRIVER}" in line]
    expect(not told, f"it tells the value of an environment variable: {told}")
    return f"{len(names)} files: records, CDI files, slices, metrics, doctor; no values of environment variables"


@check("Pod runs with the device of its claim: CDI device node and environment, seen in the container")
def device_in_container():
    make_pod("a")
    took = runs("a")
    device = sees_its_device("a")
    uid = claim_uid("a")
    for where, names in [("CDI files", node.cdi()), ("records", node.claims()), ("the kubelet's checkpoint", node.checkpoint())]:
        expect(any(uid in name for name in names), f"the claim is not in {where}: {names}")
    remove("a")
    return f"{device} and nothing else, Running after {took:.1f} s"


@check("the container finds the attributes of its device in a file (KEP-5304)")
def metadata():
    make_pod("m")
    runs("m")
    device = allocated("m")[0]
    files = {path: seen["text"] for path, seen in world.said("m")["paths"].items() if path.endswith(".json")}
    path = f"/var/run/kubernetes.io/dra-device-attributes/resourceclaimtemplates/device/gpu/{DRIVER}-metadata.json"
    expect(list(files) == [path], f"the files are {list(files)}")
    documents, rest = [], files[path].strip()
    while rest:
        document, end = json.JSONDecoder().raw_decode(rest)
        documents.append(document)
        rest = rest[end:].strip()
    for document in documents:
        expect(document["kind"] == "DeviceMetadata" and document["metadata"]["uid"] == claim_uid("m"), f"it is {document}")
        described = document["requests"][0]["devices"][0]
        expect((described["name"], described["attributes"]["model"]["string"]) == (device, "fake-1"), f"it is {described}")
    remove("m")
    return f"{', '.join(document['apiVersion'].split('/')[1] for document in documents)}: name and attributes of {device}"


@check("as many pods as devices run, each with its own; one more waits until a device is given back")
def exclusive():
    names = [f"e{number}" for number in range(DEVICES)]
    for name in names:
        make_pod(name)
    for name in names:
        runs(name)
    devices = {sees_its_device(name) for name in names}
    expect(len(devices) == DEVICES, f"the devices are {devices}")
    make_pod("next")
    time.sleep(2)
    expect(not running("next"), "a pod runs with a device that another one has")
    free = sees_its_device("e1")
    remove("e1")
    took = runs("next")
    expect(sees_its_device("next") == free, "the pod that waited has a device that was not free")
    remove("next", "e0", *names[2:])
    return f"{DEVICES} devices to {DEVICES} pods; the next runs {took:.1f} s after one is given back"


@check("health flips: pod status (allocatedResourcesStatus), taint in the slice, scheduling, and back")
def health_flips():
    make_pod("h")
    runs("h")
    device = sees_its_device("h")
    wait("the device is healthy in the pod's status", 20, lambda: health("h")[0] == "Healthy")
    faults(broken={"fault": "Unhealthy", "devices": f"*/{device}", "message": "fan stands still"})
    start = time.monotonic()
    wait("the device is unhealthy in the pod's status", 20, lambda: health("h")[0] == "Unhealthy")
    seen = time.monotonic() - start
    expect(health("h")[1] == "fan stands still", f"the message is `{health('h')[1]}`")
    wait("the slice has the taint", 20, lambda: slices.devices()[device].get("taints"))
    tainted = time.monotonic() - start
    taint = slices.devices()[device]["taints"][0]
    expect((taint["key"], taint.get("value"), taint["effect"]) == (TAINT, "unhealthy", "NoSchedule"), f"the taint is {taint}")
    expect(running("h"), "NoSchedule does not evict, and yet the pod does not run")
    others = [f"o{number}" for number in range(DEVICES)]
    for name in others:
        make_pod(name)
    wait("all devices that work are given out", 30, lambda: sum(running(name) for name in others) == DEVICES - 1)
    time.sleep(1)
    expect(sum(running(name) for name in others) == DEVICES - 1, "a pod got the device that is broken")
    remove("h")
    time.sleep(2)
    expect(sum(running(name) for name in others) == DEVICES - 1, "a pod got the device that is broken, once free")
    faults()
    healed = wait("the taint goes when the device works again", 30, lambda: not slices.devices()[device].get("taints"))[1]
    last = wait("the pod that waited runs", 30, lambda: all(running(name) for name in others))[1]
    remove(*others)
    return (f"Unhealthy with its message after {seen:.1f} s, taint after {tainted:.1f} s, no pod got it; "
            f"taint gone {healed:.1f} s after the fault (10 s of working are asked for), waiting pod runs {last:.1f} s later")


@check("a silent monitor makes devices Unknown in the pod's status")
def silent_monitor():
    make_pod("s")
    runs("s")
    wait("the device is healthy in the pod's status", 20, lambda: health("s")[0] == "Healthy")
    faults(stalled={"fault": "StalledMonitor"})
    took = wait("the device is unknown in the pod's status", 40, lambda: health("s")[0] == "Unknown")[1]
    expect(running("s"), "the pod does not run any more")
    faults()
    back = wait("the device is healthy again", 40, lambda: health("s")[0] == "Healthy")[1]
    remove("s")
    return f"Unknown after {took:.1f} s (15 s of silence), Healthy {back:.1f} s after it speaks again"


@check("NoExecute from health: the pod that has the device is evicted, one that tolerates it stays")
def no_execute():
    upgrade(health={"unhealthyTaint": "NoExecute"})
    wait("the driver is updated", 90, lambda: (found := driver_ready()) and "--unhealthy-taint=NoExecute" in
         found["spec"]["containers"][0]["args"] and found)
    make_pod("n")
    runs("n")
    api.create(f"{RESOURCE}/namespaces/default/resourceclaims", {
        "apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim", "metadata": {"name": "tolerant"},
        "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {
            "deviceClassName": DRIVER, "tolerations": [{"key": TAINT, "operator": "Exists", "effect": "NoExecute"}]}}]}}})
    make_pod("t", resourceClaims=[{"name": "device", "resourceClaimName": "tolerant"}])
    runs("t")
    device = sees_its_device("n")
    faults(broken={"fault": "Unhealthy"})
    wait("the slice has the taint", 20, lambda: slices.devices()[device].get("taints"))
    taint = slices.devices()[device]["taints"][0]
    expect(taint["effect"] == "NoExecute", f"the taint is {taint}")
    took = gone("n")
    time.sleep(2)
    expect(running("t"), "the pod that tolerates the taint does not run any more")
    faults()
    wait("the taints are gone", 60, lambda: not any(found.get("taints") for found in slices.devices().values()))
    remove("t")
    api.delete(f"{RESOURCE}/namespaces/default/resourceclaims/tolerant")
    upgrade()
    wait("the driver is updated", 90, lambda: (found := driver_ready()) and "--unhealthy-taint=NoSchedule" in
         found["spec"]["containers"][0]["args"])
    return f"gone {took:.1f} s after the taint is published, the other one runs on"


@check("kubelet stopped and started: the slices it wipes are back, the pod runs on, new ones start")
def kubelet_restart():
    make_pod("k")
    runs("k")
    before = container("k")
    node("kubelet", "stop")
    start = time.monotonic()
    node("kubelet", "start")
    wait("the kubelet wipes the slices", 60, lambda: slices.vanished(start))
    wait("they are back", 60, lambda: len(slices.devices()) == DEVICES)
    gap = slices.gap(start)
    wait("health is told again", 60, lambda: health("k")[0] == "Healthy")
    after = container("k")
    expect((after["containerID"], after["restartCount"]) == (before["containerID"], before["restartCount"]),
           f"the container was restarted: {last_state(after)}")
    make_pod("k2")
    took = runs("k2")
    sees_its_device("k2")
    removed = remove("k", "k2")
    return f"wiped for {gap:.2f} s; same container; the next pod runs after {took:.1f} s, both gone after {removed:.1f} s"


def last_state(status):
    return json.dumps(status.get("lastState", {}))[:200]


@check("pod deleted by force while the kubelet is down: back again, it gives up the claim, and the device is free")
def deleted_while_down():
    make_pod("q")
    runs("q")
    uid = claim_uid("q")
    node("kubelet", "stop")
    api.delete(pod_path("q"), gracePeriodSeconds=0)
    gone("q")
    expect(any(uid in name for name in node.claims()), "the claim was given up although nobody asked")
    node("kubelet", "start")
    took = wait("the claim is given up", 150, lambda: not node.claims() and not node.cdi() and not node.checkpoint())[1]
    wait("the devices are published", 60, lambda: len(slices.devices()) == DEVICES)
    names = [f"q{number}" for number in range(DEVICES)]
    for name in names:
        make_pod(name)
    slowest = max(runs(name, 60) for name in names)
    remove(*names)
    return f"given up {took:.1f} s after the kubelet starts; pods with all {DEVICES} devices run {slowest:.1f} s later"


@check("driver killed with -9: its slices stay, the pod runs on, claims prepared before are given up after")
def kill_driver():
    make_pod("d")
    runs("d")
    before, device = container("d"), sees_its_device("d")
    restarts = one_instance()["status"]["containerStatuses"][0]["restartCount"]
    start = time.monotonic()
    node("enter", "kill", "-9", *node.processes())
    back = wait("the driver is ready again", 90, lambda: (found := driver_ready()) and
                found["status"]["containerStatuses"][0]["restartCount"] > restarts)[1]
    make_pod("d2")
    took = runs("d2", 60)
    expect(sees_its_device("d2") != device, "a device was given out twice")
    expect(container("d")["containerID"] == before["containerID"], "the container was restarted")
    expect(not slices.vanished(start), "the slices were gone meanwhile")
    removed = remove("d", "d2")
    return f"ready again after {back:.1f} s, the next pod runs after {took:.1f} s, both gone after {removed:.1f} s"


@check("rolling update with two instances while pods come and go")
def rolling_update():
    make_pod("r")
    runs("r")
    before = container("r")
    start, most, times, stop, trouble = time.monotonic(), 0, [], threading.Event(), []

    def come_and_go():
        number = 0
        while not stop.is_set():
            name, number = f"r{number}", number + 1
            try:
                make_pod(name)
                times.append(runs(name, 50))
                trouble.extend(event["message"] for event in events(name, "FailedPrepareDynamicResources"))
                remove(name)
            except (Failed, Refused, OSError) as error:
                trouble.append(str(error))
                return
    worker = threading.Thread(target=come_and_go)
    worker.start()
    old = {item["metadata"]["uid"] for item in drivers()}
    for number in range(3 if LONG else 1):
        upgrade(podAnnotations={"conformance.drayage.dev/update": str(number)})

        def updated():
            nonlocal most
            most = max(most, len(node.processes()))
            found = driver_ready()
            return found and found["metadata"]["uid"] not in old and len(node.processes()) == 1
        wait("only the new instance is there", 120, updated)
        old |= {item["metadata"]["uid"] for item in drivers()}
    time.sleep(1)
    stop.set()
    worker.join()
    expect(not trouble, f"a pod had trouble: {trouble}")
    expect(most == 2, f"at most {most} instances ran at the same time")
    expect(times, "no pod came in the time of the update")
    expect(not slices.vanished(start), "the slices were gone meanwhile")
    expect(container("r")["containerID"] == before["containerID"], "the container was restarted")
    expect(len(node.sockets()) == 1, f"the sockets are {node.sockets()}")
    remove("r")
    return f"{len(times)} pods came and went, the slowest ran after {max(times):.1f} s; two instances at once, slices always there"


@check("simulated reboot: every process killed, sockets and CDI files lost")
def reboot():
    names = ["b0", "b1"]
    for name in names:
        make_pod(name)
    for name in names:
        runs(name)
    devices, files = [sees_its_device(name) for name in names], node.cdi()
    old = [container(name)["containerID"] for name in names]
    node("stop")
    subprocess.run([str(world.NODE_COMMAND), "start", str(node.folder), NODE], check=True, capture_output=True)
    start = time.monotonic()

    def anew():
        return all(running(name) and container(name)["containerID"] != before for name, before in zip(names, old))
    wait("the pods run again", 180, anew)
    took = time.monotonic() - start
    one_instance()
    expect([sees_its_device(name) for name in names] == devices, "a pod has another device than before")
    expect(node.cdi() == files, f"the CDI files were {files} and are {node.cdi()}")
    wait("the devices are published", 60, lambda: len(slices.devices()) == DEVICES)
    removed = remove(*names)
    return f"both pods run again with the device that they had, after {took:.1f} s; gone after {removed:.1f} s"


@check("the node cannot reach the API server for a while: containers restart with their device, then all goes on")
def outage():
    make_pod("x")
    runs("x")
    device, before = sees_its_device("x"), container("x")
    start = time.monotonic()
    node("line", "down")
    try:
        node.kill(before["containerID"].removeprefix("containerd://"))
        time.sleep(20 if not LONG else 60)
    finally:
        node("line", "up")
    back = wait("the new container is in the pod's status", 60, lambda: running("x") and
                container("x")["containerID"] != before["containerID"])[1]
    expect(sees_its_device("x") == device, "the container has another device")
    expect(not slices.vanished(start), "the slices were gone meanwhile")
    make_pod("x2")
    took = runs("x2")
    remove("x", "x2")
    return f"the restarted container has {device}; its status is there {back:.1f} s after, the next pod runs after {took:.1f} s"


@check("the driver cannot read a claim for 15 s: the kubelet's call waits, the pod starts without a second try")
def outage_of_driver():
    node("service", "down")
    try:
        make_pod("w")
        time.sleep(15)
        expect(not running("w"), "the pod runs although its claim could not be read")
    finally:
        node("service", "up")
    took = runs("w", 60)
    sees_its_device("w")
    failed = events("w", "FailedPrepareDynamicResources")
    expect(not failed, f"the kubelet was told of a failure: {failed[0]['message'] if failed else ''}")
    remove("w")
    return f"Running {took:.1f} s after the server is back, no failed prepare"


def token(bound=True):
    """A token of the driver's service account, as a pod gets it."""
    item = one_instance()
    account = item["spec"]["serviceAccountName"]
    spec = {"expirationSeconds": 600}
    if bound:
        name, uid = item["metadata"]["name"], item["metadata"]["uid"]
        spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
    return Api(api.create(path, asked)["status"]["token"])


@check("admission policy: with the driver's own token, slices of other nodes, drivers and node selections are refused")
def admission_policy():
    own, loose = token(), token(bound=False)
    path = f"{RESOURCE}/resourceslices?dryRun=All"

    def slice_of(version="v1", **spec):
        return {"apiVersion": f"resource.k8s.io/{version}", "kind": "ResourceSlice", "metadata": {"name": "foreign"},
                "spec": {"driver": DRIVER, "pool": {"name": "p", "generation": 1, "resourceSliceCount": 1},
                         "nodeName": NODE, "devices": [], **spec}}
    own.create(path, slice_of())
    refused = 0
    cases = [
        ("another node", own, slice_of(nodeName="node-2"), "v1"),
        ("another node, v1beta2", own, slice_of("v1beta2", nodeName="node-2"), "v1beta2"),
        ("another node, v1beta1", own, slice_of("v1beta1", nodeName="node-2"), "v1beta1"),
        ("another driver", own, slice_of(driver="gpu.example.com"), "v1"),
        ("all nodes", own, slice_of(nodeName=None, allNodes=True), "v1"),
        ("a token that is bound to no pod", loose, slice_of(), "v1"),
    ]
    for what, who, body, version in cases:
        body["spec"] = {key: value for key, value in body["spec"].items() if value is not None}
        try:
            who.create(f"/apis/resource.k8s.io/{version}/resourceslices?dryRun=All", body)
        except Refused as answer:
            expect(answer.code in (403, 422) and "ValidatingAdmissionPolicy" in answer.message,
                   f"{what} is refused for another reason: {answer}")
            refused += 1
            continue
        raise Failed(f"{what} is not refused")
    # What is there of another node can be neither changed nor removed.
    foreign = slice_of(nodeName="node-2")
    api.create(f"{RESOURCE}/resourceslices", foreign)
    try:
        for what, act in [("removing", lambda: own.ask("DELETE", f"{RESOURCE}/resourceslices/foreign?dryRun=All")),
                          ("changing", lambda: own.merge(f"{RESOURCE}/resourceslices/foreign?dryRun=All", {
                              "metadata": {"labels": {"a": "b"}}}))]:
            try:
                act()
            except Refused as answer:
                expect("ValidatingAdmissionPolicy" in answer.message, f"{what} is refused for another reason: {answer}")
                refused += 1
                continue
            raise Failed(f"{what} the slice of another node is not refused")
    finally:
        api.delete(f"{RESOURCE}/resourceslices/foreign")
    for path in ("/api/v1/pods", "/api/v1/secrets", f"{RESOURCE}/resourceclaims"):
        try:
            own.get(path)
        except Refused as answer:
            expect(answer.code == 403, f"{path}: {answer}")
            continue
        raise Failed(f"the driver may list {path}")
    return f"the own slice accepted, {refused} others refused by the policy; the role allows no list of pods, secrets, claims"


def certificate(names):
    """A certificate for names, and its key, from the authority of the cluster."""
    folder, authority = node.folder / "webhook", os.environ["DRAYAGE_CLUSTER_CA"]
    folder.mkdir()
    run = lambda *words, **more: subprocess.run(words, check=True, capture_output=True, text=True, **more)
    run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", folder / "tls.key")
    run("openssl", "req", "-new", "-key", folder / "tls.key", "-subj", "/CN=webhook", "-out", folder / "request")
    (folder / "names").write_text(f"subjectAltName={names}")
    run("openssl", "x509", "-req", "-in", folder / "request", "-CA", authority, "-CAkey", authority[:-3] + "key",
        "-CAcreateserial", "-days", "30", "-extfile", folder / "names", "-out", folder / "tls.crt")
    return [base64.b64encode(path.read_bytes()).decode() for path in (folder / "tls.crt", folder / "tls.key")]


@check("the chart's webhook refuses what the driver would refuse (there is no proxy for services: the API server is given its address)")
def webhook():
    authority = base64.b64encode(open(os.environ["DRAYAGE_CLUSTER_CA"], "rb").read()).decode()
    cert, key = certificate(f"DNS:dray-drayage-webhook.{NAMESPACE}.svc,IP:127.0.0.1")
    api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", {
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": {"name": "webhook"},
        "data": {"tls.crt": cert, "tls.key": key}})
    helm("upgrade", "dray", str(world.REPOSITORY / "helm" / "drayage"), "--values", values(), "--set", "webhook.enabled=true",
         "--set", "webhook.secretName=webhook", "--set", f"webhook.caBundle={authority}", "--set", "webhook.failurePolicy=Fail")
    label = "?labelSelector=app.kubernetes.io%2Fcomponent%3Dwebhook"
    pods = pod_path(namespace=NAMESPACE) + label
    item, _ = wait("the webhook is ready", 60, lambda: next(filter(ready, api.get(pods)["items"]), None))
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    configuration = next(found for found in api.get(path)["items"] if "drayage" in found["metadata"]["name"])
    port = int(os.environ["DRAYAGE_CLUSTER_PORTS"]) + 9
    line, helper = f"unix:{node.folder}/webhook.sock", node.setting("cache") + "/node-helper"
    command = os.environ["DRAYAGE_CLUSTER_COMMAND"]
    subprocess.run([command, "start", "webhook-out", helper, "forward", f"tcp:127.0.0.1:{port}", line], check=True)
    subprocess.run([command, "start", "webhook-in", str(world.NODE_COMMAND), "enter", str(node.folder), helper, "forward", line,
                    f"tcp:{item['status']['podIP']}:8443"], check=True)
    hooks = configuration["webhooks"]
    hooks[0]["clientConfig"] = {"url": f"https://127.0.0.1:{port}/validate", "caBundle": authority}
    api.merge(f"{path}/{configuration['metadata']['name']}", {"webhooks": hooks})

    def claim(driver=DRIVER, **more):
        parameters = {"apiVersion": "drayage.dev/v1alpha1", "kind": "DeviceConfig", **more}
        request = {"name": "gpu", "exactly": {"deviceClassName": DRIVER}}
        return {"devices": {"requests": [request], "config": [{"opaque": {"driver": driver, "parameters": parameters}}]}}

    def said(spec, kind="ResourceClaim", version="v1"):
        if kind == "DeviceClass":
            plural, spec = "deviceclasses", {"config": spec["devices"]["config"]}
        else:
            plural = f"namespaces/default/{kind.lower()}s"
            spec = {"spec": spec} if kind == "ResourceClaimTemplate" else spec
        body = {"apiVersion": f"resource.k8s.io/{version}", "kind": kind, "metadata": {"name": "asked"}, "spec": spec}
        try:
            api.create(f"/apis/resource.k8s.io/{version}/{plural}?dryRun=All", body)
            return None
        except Refused as answer:
            return answer.message
    # It is asked a moment after it is announced, and then every time.
    wait("the webhook is asked", 30, lambda: said(claim(unknown=1)))
    refused = [said(claim(unknown=1), kind, version) for kind, version in [
        ("ResourceClaim", "v1"), ("ResourceClaim", "v1beta2"), ("ResourceClaimTemplate", "v1"), ("DeviceClass", "v1")]]
    for message in refused:
        expect(message and "device-config.drayage.dev" in message and "unknown" in message, f"the answer is {message}")
    for spec in (claim(), claim(driver="gpu.example.com", unknown=1)):
        expect(said(spec) is None, f"refused: {said(spec)}")
    upgrade()
    wait("the webhook goes", 60, lambda: not api.get(pods)["items"])
    expect(said(claim(unknown=1)) is None, "it is still asked")
    for name in ("webhook-in", "webhook-out"):
        subprocess.run([command, "stop", name], check=True)
    return f"{len(refused)} of {len(refused) + 2} refused by it with the field, in two versions; none after it is switched off"


@check("a prepare that fails twice: the pod runs in the end, and its user is told why")
def failing_prepare():
    faults(first={"fault": "FailPrepare", "count": 2, "message": "no licence"})
    make_pod("f")
    took = runs("f", 150)
    told = [event["message"] for event in events("f") if "no licence" in event.get("message", "")]
    sees_its_device("f")
    faults()
    remove("f")
    return f"Running after {took:.1f} s; {'events name the cause' if told else 'healed within the call, so nobody had to be told'}"


@check("an unprepare that fails: the pod stays, the driver publishes why, and when it heals the pod goes")
def failing_unprepare():
    make_pod("u")
    runs("u")
    uid = claim_uid("u")
    faults(stuck={"fault": "FailUnprepare", "message": "the device does not let go"})
    api.delete(pod_path("u"))
    told = lambda: [event for event in events("u", "FailedUnprepare") if "does not let go" in event.get("message", "")]
    took = wait("an event on the pod says why it stays", 90, told)[1]
    expect(api.find(pod_path("u")) is not None, "the pod is gone although its claim could not be given up")
    expect(any(uid in name for name in node.claims()), "the driver forgot a claim that it could not give up")
    faults()
    went = gone("u", 60)
    return f"event on the pod after {took:.1f} s (10 s may heal by themselves), pod gone {went:.1f} s after the fault"


@check("a force-deleted pod's device goes to another pod: the second prepare waits for the first claim to be given up")
def force_delete():
    names = [f"z{number}" for number in range(DEVICES)]
    for name in names:
        make_pod(name)
    for name in names:
        runs(name)
    make_pod("heir")
    device = sees_its_device("z0")
    api.delete(pod_path("z0"), gracePeriodSeconds=0)
    took = runs("heir", 150)
    expect(sees_its_device("heir") == device, "the device is another one")
    failed = len(events("heir", "FailedPrepareDynamicResources"))
    remove("heir", *names[1:])
    return f"Running after {took:.1f} s with {device}, {failed} failed prepares"


@check("random kills of driver and kubelet while pods come and go", nightly=True)
def random_kills():
    seconds = int(os.environ.get("DRAYAGE_KILLS_SECONDS", "600"))
    chance, end, kills, came = random.Random(1), time.monotonic() + seconds, 0, 0
    while time.monotonic() < end:
        names = [f"m{came + number}" for number in range(3)]
        for name in names:
            make_pod(name)
        time.sleep(chance.random() * 3)
        if chance.random() < 0.8:
            node("enter", "kill", "-9", *(node.processes() or ["999999"]), check=False)
        else:
            node("kubelet", "stop")
            node("kubelet", "start")
        kills += 1
        for name in names:
            runs(name, 200)
        devices = [sees_its_device(name) for name in names]
        expect(len(set(devices)) == len(names), f"a device was given out twice: {devices}")
        api.delete(pod_path(names[0]))
        if chance.random() < 0.5:
            node("enter", "kill", "-9", *(node.processes() or ["999999"]), check=False)
            kills += 1
        for name in names:
            api.delete(pod_path(name))
        for name in names:
            gone(name, 150)
        came += len(names)
    one = wait("the driver is ready", 400, driver_ready)[0]
    nothing_left()
    return f"{came} pods, {kills} kills in {seconds} s: each had a device of its own; {one['status']['containerStatuses'][0]['restartCount']} restarts"


@check("nothing is left of claims that were given up: records, CDI files, the kubelet's checkpoint, metrics")
def nothing_left():
    held = api.get(f"{RESOURCE}/resourceclaims")["items"]
    expect(not held, f"claims are left: {[claim['metadata']['name'] for claim in held]}")

    def clean():
        return not node.claims() and not node.cdi()
    wait(f"records and CDI files go, of {node.claims()} and {node.cdi()}", 20, clean)
    expect(not node.checkpoint(), f"the kubelet keeps {node.checkpoint()}")
    address = one_instance()["status"]["podIP"]
    text = node("enter", "curl", "-s", f"http://{address}:8080/metrics")
    numbers = {line.split("{")[0].split(" ")[0]: line.rsplit(" ", 1)[1] for line in text.splitlines() if not line.startswith("#")}
    found = {name: number for name, number in numbers.items() if name.endswith(("prepared_claims", "prepared_devices"))}
    expect(len(found) == 2 and set(found.values()) == {"0"}, f"the metrics say {found}")
    return "none in the driver's folder, /var/run/cdi and dra_manager_state; metrics say 0"


@check("`helm uninstall`: slices, sockets and the driver go")
def uninstall():
    helm("uninstall", "dray")
    took = wait("the slices go", 90, lambda: not slices.devices())[1]
    wait("the sockets go", 30, lambda: not node.sockets())
    wait("the driver goes", 60, lambda: not node.processes())
    return f"slices gone after {took:.1f} s (the kubelet waits for 30 s)"


def main():
    wanted = sys.argv[1:]
    slices.start()
    wait("the node is ready", 60, lambda: (found := api.find(f"/api/v1/nodes/{NODE}")) and ready(found))
    rows, bad = open(os.environ["DRAYAGE_CLUSTER_ROWS"], "a"), 0
    for title, function in CHECKS:
        if wanted and function.__name__ not in wanted + ["install"]:
            continue
        start = time.monotonic()
        try:
            result = function()
        except (Failed, Refused, OSError, KeyError, IndexError, ValueError) as error:
            bad += 1
            result = f"FAILED: {type(error).__name__ + ': ' if not isinstance(error, (Failed, Refused)) else ''}{error}"
            clean_up()
        result = result.replace("|", "/").replace("\n", " ")
        print(f"{function.__name__}: {result} [{time.monotonic() - start:.0f} s]", file=sys.stderr, flush=True)
        rows.write(f"{function.__name__.replace('_', ' ')} | {title} | {result}\n")
        rows.flush()
        if bad and function.__name__ == "install":
            break
    sys.exit(1 if bad else 0)


def clean_up():
    """After a failure: no faults, no pods."""
    try:
        faults()
        for item in api.get(pod_path())["items"]:
            api.delete(pod_path(item["metadata"]["name"]), gracePeriodSeconds=0)
        time.sleep(5)
    except (Failed, Refused, OSError) as error:
        print(f"cleaning up: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
