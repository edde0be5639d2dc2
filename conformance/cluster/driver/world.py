"""What the checks see and do: the API server, the node, and what its pods say."""

import json
import os
import re
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
NODE_COMMAND = Path(__file__).resolve().parents[1] / "node" / "node"
DRIVER = "fake.drayage.dev"
NAMESPACE = "drayage"
NODE = "node-1"
RESOURCE = "/apis/resource.k8s.io/v1"


class Failed(Exception):
    """Something is not as it should be."""


class Refused(Exception):
    """An answer of the API server that is no success."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message


class Api:
    """Requests with a bearer token."""

    def __init__(self, token=None):
        self.server = os.environ["DRAYAGE_CLUSTER_SERVER"]
        self.token = token or os.environ["DRAYAGE_CLUSTER_TOKEN"]
        self.trust = ssl.create_default_context(cafile=os.environ["DRAYAGE_CLUSTER_CA"])

    def open(self, method, path, body=None, content="application/json", timeout=20):
        request = urllib.request.Request(self.server + path, method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.add_header("Content-Type", content)
            request.data = json.dumps(body).encode()
        try:
            return urllib.request.urlopen(request, context=self.trust, timeout=timeout)
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")
            try:
                text = json.loads(text)["message"]
            except (ValueError, KeyError):
                pass
            raise Refused(error.code, text) from None

    def ask(self, method, path, body=None, content="application/json"):
        with self.open(method, path, body, content) as answer:
            return json.load(answer)

    def get(self, path):
        return self.ask("GET", path)

    def find(self, path):
        """The object, or nothing if it is not there."""
        try:
            return self.get(path)
        except Refused as refused:
            if refused.code == 404:
                return None
            raise

    def create(self, path, body):
        return self.ask("POST", path, body)

    def merge(self, path, body):
        return self.ask("PATCH", path, body, "application/merge-patch+json")

    def delete(self, path, **options):
        try:
            return self.ask("DELETE", path, {"apiVersion": "v1", "kind": "DeleteOptions", **options})
        except Refused as refused:
            if refused.code != 404:
                raise
            return None


api = Api()


def wait(what, seconds, test):
    """What `test` gives once that is true, and how long that took."""
    start = time.monotonic()
    while True:
        found = test()
        took = time.monotonic() - start
        if found:
            return found, took
        if took > seconds:
            raise Failed(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def expect(condition, what):
    if not condition:
        raise Failed(what)


class Node:
    """The real node, in its folder."""

    def __init__(self):
        self.folder = Path(os.environ["DRAYAGE_CLUSTER"]) / "node"

    def __call__(self, *arguments, check=True):
        words = [str(NODE_COMMAND), arguments[0], str(self.folder), *arguments[1:]]
        done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise Failed(f"`node {' '.join(arguments)}`: {done.stderr.strip()[-300:]}")
        return done.stdout

    def setting(self, key):
        return re.search(f"^{key}=(.*)$", (self.folder / "settings").read_text(), re.M)[1]

    def path(self, path):
        """A path on the node as the host sees it."""
        return Path("/proc") / (self.folder / "init.pid").read_text().strip() / "root" / path.lstrip("/")

    def claims(self):
        """Files that the driver keeps of claims: records, and what describes their devices to containers."""
        folder = self.path(f"/var/lib/kubelet/plugins/{DRIVER}/claims")
        found = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
        return sorted(name for name in found if not name.endswith(".lock"))

    def cdi(self):
        return sorted(entry.name for entry in self.path("/run/cdi").glob("*"))

    def checkpoint(self):
        """UIDs of the claims that the kubelet has in its own."""
        found = json.loads(self.path("/var/lib/kubelet/dra_manager_state").read_text())
        return [claim["ClaimUID"] for claim in json.loads(found["Data"])["ClaimInfoStateList"] or []]

    def sockets(self):
        return sorted(entry.name for entry in self.path("/var/lib/kubelet/plugins_registry").glob("*.sock"))

    def processes(self):
        """Numbers of the running drivers, as the node counts."""
        found = []
        for line in self("enter", "ps", "-eo", "pid,comm").splitlines()[1:]:
            number, name = line.split(None, 1)
            if name.strip() == "dray-driver":
                found.append(number)
        return found

    def kill(self, container):
        self("enter", self.setting("cache") + "/ctr", "-n", "k8s.io", "task", "kill", "-s", "SIGKILL", container)


node = Node()


class Slices(threading.Thread):
    """Watches the driver's slices, so that one that is missing for a moment is noticed."""

    def __init__(self):
        super().__init__(daemon=True)
        self.current, self.changes, self.lock = {}, [], threading.Lock()

    def run(self):
        path = f"{RESOURCE}/resourceslices?fieldSelector=spec.driver%3D{DRIVER}"
        while True:
            try:
                listed = api.get(path)
                with self.lock:
                    self.current = {item["metadata"]["name"]: item for item in listed["items"]}
                    self.note()
                version = listed["metadata"]["resourceVersion"]
                with api.open("GET", f"{path}&watch=1&resourceVersion={version}", timeout=600) as lines:
                    for line in lines:
                        event = json.loads(line)
                        item = event["object"]
                        if event["type"] == "ERROR":
                            break
                        with self.lock:
                            if event["type"] == "DELETED":
                                self.current.pop(item["metadata"]["name"], None)
                            else:
                                self.current[item["metadata"]["name"]] = item
                            self.note()
            except (OSError, Refused, ValueError):
                time.sleep(0.2)

    def note(self):
        self.changes.append((time.monotonic(), len(self.current)))

    def devices(self):
        with self.lock:
            return {device["name"]: device for item in self.current.values() for device in item["spec"].get("devices", [])}

    def gap(self, since):
        """For how long there were none, since a moment; none yet if that goes on."""
        with self.lock:
            changes = list(self.changes)
        before = [number for moment, number in changes if moment <= since]
        timeline = [(since, before[-1] if before else 0)] + [change for change in changes if change[0] > since]
        total = 0.0
        for (moment, number), (after, _) in zip(timeline, timeline[1:]):
            total += after - moment if number == 0 else 0
        return None if timeline[-1][1] == 0 else total

    def vanished(self, since):
        with self.lock:
            return any(number == 0 for moment, number in self.changes if moment > since)


slices = Slices()


def pod_path(name="", namespace="default"):
    return f"/api/v1/namespaces/{namespace}/pods/{name}".rstrip("/")


def make_pod(name, template="one", **spec):
    """A pod with a device, which says what it sees."""
    return api.create(pod_path(), {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1, "automountServiceAccountToken": False,
            "resourceClaims": [{"name": "device", "resourceClaimTemplateName": template}],
            "containers": [{
                "name": "show", "image": "docker.io/local/node-helper:1", "imagePullPolicy": "Never",
                "command": ["/bin/node-helper", "show", "/dev/fake*",
                            "/var/run/kubernetes.io/dra-device-attributes/*/*/*/*.json"],
                "resources": {"claims": [{"name": "device"}]},
            }],
            **spec,
        },
    })


def pod(name):
    return api.get(pod_path(name))


def container(name):
    """Status of the pod's container."""
    found = api.find(pod_path(name)) or {}
    return (found.get("status", {}).get("containerStatuses") or [{}])[0]


def running(name):
    """Whether the pod runs, and is not about to go."""
    found = api.find(pod_path(name))
    if not found or found["metadata"].get("deletionTimestamp"):
        return False
    return found["status"].get("phase") == "Running" and "running" in container(name).get("state", {})


def runs(name, seconds=120):
    """How long it takes until the pod runs. A kubelet that may not read a claim yet, because the API server's Node authorizer
    is late on a busy machine, tries again only after a minute or more."""
    try:
        return wait(f"pod `{name}` runs", seconds, lambda: running(name))[1]
    except Failed as failed:
        raise Failed(f"{failed}; {last_word(name)}") from None


def gone(name, seconds=40):
    return wait(f"pod `{name}` is gone", seconds, lambda: api.find(pod_path(name)) is None)[1]


def remove(*names):
    """How long it takes until the pods are gone."""
    start = time.monotonic()
    for name in names:
        api.delete(pod_path(name))
    for name in names:
        gone(name)
    return time.monotonic() - start


def events(name, reason=None):
    found = api.get(f"/api/v1/namespaces/default/events?fieldSelector=involvedObject.name%3D{name}")["items"]
    return [event for event in found if reason in (None, event["reason"])]


def last_word(name):
    """What a user would find."""
    notes = [f"{event['reason']}: {event.get('message', '')}" for event in events(name)]
    waiting = container(name).get("state", {}).get("waiting", {})
    return " / ".join(notes[-2:] + [waiting.get("message", "")])[-400:] or "no event"


def allocated(name):
    """Names of the devices that the pod has."""
    found = []
    for status in pod(name)["status"].get("resourceClaimStatuses", []):
        claim = api.get(f"{RESOURCE}/namespaces/default/resourceclaims/{status['resourceClaimName']}")
        results = claim["status"].get("allocation", {}).get("devices", {}).get("results", [])
        found.extend(result["device"] for result in results)
    return found


def claim_uid(name):
    status = pod(name)["status"]["resourceClaimStatuses"][0]
    return api.get(f"{RESOURCE}/namespaces/default/resourceclaims/{status['resourceClaimName']}")["metadata"]["uid"]


def said(name):
    """What the pod's latest container saw."""
    uid = pod(name)["metadata"]["uid"]
    folder = node.folder / "log" / "pods" / f"default_{name}_{uid}" / "show"

    def last():
        files = sorted(folder.glob("*.log"), key=lambda path: int(path.stem))
        lines = files[-1].read_text().splitlines() if files else []
        return json.loads(lines[-1].split(" ", 3)[3]) if lines else None
    return wait(f"pod `{name}` says what it sees", 10, last)[0]


def sees_its_device(name):
    """Fails unless the container has exactly the device that the claim was given."""
    devices, what = allocated(name), said(name)
    expect(len(devices) == 1, f"pod `{name}` has the devices {devices}")
    number = devices[0].removeprefix("gpu-")
    environment = {key: value for key, value in what["environment"].items() if key.startswith("FAKE_")}
    expect(environment == {f"FAKE_GPU_{number}": DRIVER}, f"pod `{name}` with {devices[0]} has the environment {environment}")
    nodes = {path: seen for path, seen in what["paths"].items() if path.startswith("/dev/")}
    expect(list(nodes) == [f"/dev/fake-gpu{number}"], f"pod `{name}` with {devices[0]} sees {list(nodes)}")
    seen = nodes[f"/dev/fake-gpu{number}"]
    expect((seen["major"], seen["minor"], seen["written"]) == (1, 3, True), f"the device node is {seen}")
    return devices[0]


def health(name):
    """Health and message of the device in the pod's status."""
    for entry in container(name).get("allocatedResourcesStatus", []):
        for resource in entry.get("resources", []):
            return resource.get("health"), resource.get("message", "")
    return None, ""


def drivers():
    """Pods of the driver that are not about to go."""
    found = api.get(pod_path(namespace=NAMESPACE) + "?labelSelector=app.kubernetes.io%2Fcomponent%3Ddriver")["items"]
    return [item for item in found if not item["metadata"].get("deletionTimestamp")]


def ready(item):
    conditions = item["status"].get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def driver_ready():
    found = drivers()
    return found[0] if len(found) == 1 and ready(found[0]) else None


def faults(**wanted):
    """Makes exactly these faults, as an operator would: in the ConfigMap. Returns when the node has them."""
    files = {f"{name}.json": json.dumps({
        "apiVersion": "drayage.dev/v1alpha1", "kind": "DeviceFault", "metadata": {"name": name}, "spec": spec,
    }) for name, spec in wanted.items()}
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/faults"
    before = api.get(path).get("data") or {}
    api.merge(path, {"data": {**{name: None for name in before}, **files}})
    (pod_of_driver, _) = wait("the driver is ready", 60, driver_ready)
    # A kubelet looks at its volumes when it looks at a pod, which a change of the pod makes it do.
    stamp = {"metadata": {"annotations": {"drayage.dev/faults": str(time.monotonic())}}}
    api.merge(pod_path(pod_of_driver["metadata"]["name"], NAMESPACE), stamp)
    volumes = node.path(f"/var/lib/kubelet/pods/{pod_of_driver['metadata']['uid']}/volumes/kubernetes.io~configmap")
    there = lambda: {entry.name for entry in (volumes / "faults").glob("*.json")} == set(files) and all(
        (volumes / "faults" / name).read_text() == text for name, text in files.items())
    wait("the faults are on the node", 100, there)


def helm(*arguments):
    words = [str(REPOSITORY / ".ci" / "helm"), *arguments, "--namespace", NAMESPACE]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise Failed(f"`helm {arguments[0]}`: {done.stderr.strip()[-500:]}")
    return done.stdout
