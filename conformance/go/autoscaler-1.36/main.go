// The real cluster-autoscaler on cases of ours. It reads cases, one a line: the objects of a cluster, node groups as
// Drayage's NodeGroup has them, and flags. For each it writes what cluster-autoscaler's own code says about growing and
// about shrinking, one record a line.
//
// The code that answers is upstream's: filtering of schedulable pods, equivalence groups, the orchestrator's options
// with the binpacking estimator, the expanders, balancing between similar groups; eligibility and utilisation, drain
// rules and the removal simulator. Only the loop around them is here, with three things fixed that upstream leaves to the
// iteration order of Go's maps: nodes are listed in the order in which they came, running pods by name, and equivalence
// groups in the order of their first pods. With -unordered the maps decide about nodes and groups.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sort"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	drasnapshot "k8s.io/autoscaler/cluster-autoscaler/simulator/dynamicresources/snapshot"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
)

// testCase is one line of the input.
type testCase struct {
	Seed    uint64            `json:"seed"`
	Objects []json.RawMessage `json:"objects"`
	Groups  []nodeGroup       `json:"groups"`
	Flags   caseFlags         `json:"flags"`
}

// caseFlags are flags of cluster-autoscaler.
type caseFlags struct {
	MaxNodesPerScaleUp int     `json:"maxNodesPerScaleup"`
	MaxNodesTotal      int     `json:"maxNodesTotal"`
	Balance            bool    `json:"balanceSimilarNodeGroups"`
	Threshold          float64 `json:"scaleDownUtilizationThreshold"`
	// Now is the time of the removals.
	Now metav1.Time `json:"now"`
}

// nodeGroup is the part of Drayage's NodeGroup that is used here.
type nodeGroup struct {
	Metadata struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec struct {
		MinSize      int               `json:"minSize"`
		MaxSize      int               `json:"maxSize"`
		Members      map[string]string `json:"members"`
		PricePerHour float64           `json:"pricePerHour"`
		ZeroOrMax    bool              `json:"zeroOrMax"`
		Template     struct {
			Node           v1.Node                     `json:"node"`
			ResourceSlices []resourceapi.ResourceSlice `json:"resourceSlices"`
		} `json:"template"`
	} `json:"spec"`
}

// record is one line of the output.
type record struct {
	Seed      uint64      `json:"seed"`
	ScaleUp   growth      `json:"scaleUp"`
	ScaleDown []shrinkage `json:"scaleDown"`
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

var unordered = flag.Bool("unordered", false, "list nodes and equivalence groups in the order of Go's maps")

func main() {
	klog.InitFlags(nil)
	must(flag.Set("logtostderr", "false"))
	must(flag.Set("stderrthreshold", "FATAL"))
	flag.Parse()
	if flag.Lookup("logtostderr").Value.String() == "false" {
		klog.SetOutput(io.Discard)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var c testCase
		must(json.Unmarshal(lines.Bytes(), &c))
		answer := record{Seed: c.Seed, ScaleUp: newWorld(c).grow(), ScaleDown: newWorld(c).shrink()}
		must(out.Encode(answer))
	}
	must(lines.Err())
}

// objects are the objects of a case, by kind.
type objects struct {
	all        []runtime.Object
	nodes      []*v1.Node
	scheduled  []*v1.Pod
	waiting    []*v1.Pod
	budgets    []*policyv1.PodDisruptionBudget
	daemonSets []*appsv1.DaemonSet
	claims     map[drasnapshot.ResourceClaimId]*resourceapi.ResourceClaim
	local      map[string][]*resourceapi.ResourceSlice
	global     []*resourceapi.ResourceSlice
	classes    map[string]*resourceapi.DeviceClass
}

// read decodes objects, with the defaults of an API server, and makes the claims of waiting pods from their templates.
func read(raw []json.RawMessage) objects {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	found := objects{
		claims:  map[drasnapshot.ResourceClaimId]*resourceapi.ResourceClaim{},
		local:   map[string][]*resourceapi.ResourceSlice{},
		classes: map[string]*resourceapi.DeviceClass{},
	}
	templates := map[string]*resourceapi.ResourceClaimTemplate{}
	for number, text := range raw {
		object, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			panic(fmt.Sprintf("%v: %s", err, text))
		}
		legacyscheme.Scheme.Default(object)
		accessor, err := meta.Accessor(object)
		must(err)
		accessor.SetResourceVersion(strconv.Itoa(number + 1))
		if accessor.GetUID() == "" {
			accessor.SetUID(types.UID(fmt.Sprintf("uid-%d", number)))
		}
		switch object := object.(type) {
		case *v1.Node:
			found.nodes = append(found.nodes, object)
		case *v1.Pod:
			if object.Spec.NodeName == "" {
				found.waiting = append(found.waiting, object)
			} else {
				found.scheduled = append(found.scheduled, object)
			}
		case *policyv1.PodDisruptionBudget:
			found.budgets = append(found.budgets, object)
		case *appsv1.DaemonSet:
			found.daemonSets = append(found.daemonSets, object)
		case *resourceapi.ResourceClaim:
			found.claims[drasnapshot.GetClaimId(object)] = object
		case *resourceapi.ResourceClaimTemplate:
			templates[object.Namespace+"/"+object.Name] = object
		case *resourceapi.ResourceSlice:
			if name := object.Spec.NodeName; name != nil {
				found.local[*name] = append(found.local[*name], object)
			} else {
				found.global = append(found.global, object)
			}
		case *resourceapi.DeviceClass:
			found.classes[object.Name] = object
		}
		found.all = append(found.all, object)
	}
	// Upstream has them in the order of an informer's map.
	sort.SliceStable(found.scheduled, func(left, right int) bool {
		first, second := found.scheduled[left], found.scheduled[right]
		return first.Namespace+"/"+first.Name < second.Namespace+"/"+second.Name
	})
	for _, pod := range found.waiting {
		for _, claim := range claimsOf(pod, templates) {
			found.claims[drasnapshot.GetClaimId(claim)] = claim
		}
	}
	return found
}

// claimsOf makes the claims that a pod names templates for.
func claimsOf(pod *v1.Pod, templates map[string]*resourceapi.ResourceClaimTemplate) []*resourceapi.ResourceClaim {
	var claims []*resourceapi.ResourceClaim
	for _, entry := range pod.Spec.ResourceClaims {
		if entry.ResourceClaimTemplateName == nil {
			continue
		}
		template := templates[pod.Namespace+"/"+*entry.ResourceClaimTemplateName]
		name, yes := pod.Name+"-"+entry.Name+"-x", true
		claims = append(claims, &resourceapi.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: pod.Namespace, UID: types.UID("claim-" + name),
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: &yes,
				}},
			},
			Spec: template.Spec.Spec,
		})
		pod.Status.ResourceClaimStatuses = append(pod.Status.ResourceClaimStatuses,
			v1.PodResourceClaimStatus{Name: entry.Name, ResourceClaimName: &name})
	}
	return claims
}
