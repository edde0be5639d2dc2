// Package scheduler is the real kube-scheduler beside an API server in memory. It reads clusters, one list of objects a line, gives the
// scheduler their pods one at a time, and writes what it decided, one record a line.
//
// Beside the scheduler stand only a controller that makes claims from templates and the API server's defaults. Pods
// come by priority and creation time; the next one comes when the one before is bound or unschedulable.
package scheduler

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/events"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	_ "k8s.io/kubernetes/pkg/apis/resource/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
	"k8s.io/kubernetes/pkg/scheduler"
	"k8s.io/kubernetes/pkg/scheduler/apis/config"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/scheme"
	"k8s.io/kubernetes/pkg/scheduler/apis/config/validation"
	"k8s.io/kubernetes/pkg/scheduler/profile"
)

// cluster is one line of the input.
type cluster struct {
	Seed    json.RawMessage   `json:"seed"`
	Objects []json.RawMessage `json:"objects"`
	// Configuration is a KubeSchedulerConfiguration, if there is one.
	Configuration json.RawMessage `json:"configuration"`
}

// decision is what became of a pod.
type decision struct {
	Pod     string              `json:"pod"`
	Node    string              `json:"node,omitempty"`
	Claims  map[string][]string `json:"claims,omitempty"`
	Volumes map[string]string   `json:"volumes,omitempty"`
	Message string              `json:"message,omitempty"`
	// Nominated is the node on which room was made, for which Victims had to go.
	Nominated string   `json:"nominated,omitempty"`
	Victims   []string `json:"victims,omitempty"`
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// InformerFactory makes the informers of a scheduler, whose arguments differ between releases.
type InformerFactory func(client kubernetes.Interface) informers.SharedInformerFactory

// Main is the program.
func Main(newFactory InformerFactory) {
	klog.InitFlags(nil)
	gates := flag.String("gates", "", "feature gates, as the scheduler takes them")
	flag.Parse()
	if *gates != "" {
		must(utilfeature.DefaultMutableFeatureGate.Set(*gates))
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 64<<20)
	out := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var c cluster
		must(json.Unmarshal(lines.Bytes(), &c))
		options, err := configured(c.Configuration)
		if err != nil {
			must(out.Encode(map[string]any{"seed": c.Seed, "error": err.Error()}))
			continue
		}
		decisions, again := decide(c, options, newFactory)
		if again {
			fmt.Fprintf(os.Stderr, "seed %s: a pod was tried again with success, left out\n", c.Seed)
			continue
		}
		must(out.Encode(map[string]any{"seed": c.Seed, "decisions": decisions}))
	}
	must(lines.Err())
}

// configured reads a scheduler's configuration as kube-scheduler reads its file.
func configured(text json.RawMessage) ([]scheduler.Option, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	object, _, err := scheme.Codecs.UniversalDecoder().Decode(text, nil, nil)
	if err != nil {
		return nil, err
	}
	read := object.(*config.KubeSchedulerConfiguration)
	if err := validation.ValidateKubeSchedulerConfiguration(read); err != nil {
		return nil, err
	}
	return []scheduler.Option{
		scheduler.WithProfiles(read.Profiles...),
		scheduler.WithPercentageOfNodesToScore(read.PercentageOfNodesToScore),
	}, nil
}

// objects are the objects of a cluster: those that are there from the start, the pods that wait, and templates.
type objects struct {
	there     []runtime.Object
	waiting   []*v1.Pod
	templates map[string]*resourceapi.ResourceClaimTemplate
}

func read(raw []json.RawMessage) objects {
	decoder := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	read := objects{templates: map[string]*resourceapi.ResourceClaimTemplate{}}
	for number, text := range raw {
		object, _, err := decoder.Decode(text, nil, nil)
		must(err)
		legacyscheme.Scheme.Default(object)
		accessor, err := meta.Accessor(object)
		must(err)
		accessor.SetResourceVersion(strconv.Itoa(number + 1))
		if accessor.GetUID() == "" {
			accessor.SetUID(types.UID(fmt.Sprintf("uid-%d", number)))
		}
		switch object := object.(type) {
		case *v1.Pod:
			if object.Spec.NodeName == "" {
				read.waiting = append(read.waiting, object)
				continue
			}
		case *resourceapi.ResourceClaimTemplate:
			read.templates[object.Namespace+"/"+object.Name] = object
			continue
		}
		read.there = append(read.there, object)
	}
	resolvePriorities(read.there, read.waiting)
	for _, object := range read.there {
		if pod, ok := object.(*v1.Pod); ok {
			resolvePriorities(read.there, []*v1.Pod{pod})
		}
	}
	sort.SliceStable(read.waiting, func(left, right int) bool {
		first, second := read.waiting[left], read.waiting[right]
		if a, b := priority(first), priority(second); a != b {
			return a > b
		}
		return first.CreationTimestamp.Time.Before(second.CreationTimestamp.Time)
	})
	return read
}

func priority(pod *v1.Pod) int32 {
	if pod.Spec.Priority == nil {
		return 0
	}
	return *pod.Spec.Priority
}

// decide runs the scheduler over a cluster. The second result is whether a pod that was refused found a node later,
// so that the order of events mattered.
func decide(c cluster, options []scheduler.Option, newFactory InformerFactory) ([]decision, bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	objects := read(c.Objects)
	client := fake.NewClientset(objects.there...)
	var version atomic.Int64
	version.Store(int64(len(c.Objects)) + 1)
	next := func() string { return strconv.FormatInt(version.Add(1), 10) }
	var preempted victims
	preempted.watch(client, next)
	for _, verb := range []string{"create", "update"} {
		client.PrependReactor(verb, "resourceclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
			if object, err := meta.Accessor(action.(clienttesting.CreateAction).GetObject()); err == nil {
				number := next()
				object.SetResourceVersion(number)
				if object.GetName() == "" {
					object.SetName(object.GetGenerateName() + number)
				}
				if object.GetUID() == "" {
					object.SetUID(types.UID("made-" + number))
				}
			}
			return false, nil, nil
		})
	}
	playVolumeControllers(client, &version)
	client.PrependReactor("create", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.GetSubresource() != "binding" {
			return false, nil, nil
		}
		binding := action.(clienttesting.CreateAction).GetObject().(*v1.Binding)
		resource := v1.SchemeGroupVersion.WithResource("pods")
		object, err := client.Tracker().Get(resource, binding.Namespace, binding.Name)
		must(err)
		pod := object.(*v1.Pod).DeepCopy()
		pod.Spec.NodeName = binding.Target.Name
		must(client.Tracker().Update(resource, pod, pod.Namespace))
		return true, binding, nil
	})
	factory := newFactory(client)
	recorder := profile.NewRecorderFactory(events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()}))
	real, err := scheduler.New(ctx, farAway{client, next}, factory, nil, recorder, options...)
	must(err)
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	must(real.WaitForHandlersSync(ctx))
	go real.Run(ctx)

	var decisions []decision
	offered := map[string]bool{}
	for _, pod := range objects.waiting {
		if offered[pod.Name] {
			continue
		}
		together := []*v1.Pod{pod}
		if pod.Spec.SchedulingGroup != nil {
			together = nil
			for _, other := range objects.waiting {
				if group := other.Spec.SchedulingGroup; group != nil && *group.PodGroupName == *pod.Spec.SchedulingGroup.PodGroupName {
					together = append(together, other)
				}
			}
		}
		for _, pod := range together {
			offered[pod.Name] = true
			create(ctx, client, pod.DeepCopy(), objects.templates)
		}
		for _, pod := range together {
			found := wait(ctx, client, pod)
			if found.Victims = preempted.take(); len(found.Victims) == 0 {
				// A pod that is about to be bound is nominated too.
				found.Nominated = ""
			} else if found.Nominated != found.Node {
				// The pod was tried again before the scheduler had seen its own promise.
				return nil, true
			}
			decisions = append(decisions, found)
		}
	}
	time.Sleep(300 * time.Millisecond)
	if len(preempted.take()) > 0 {
		return nil, true
	}
	for number := range decisions {
		namespace, name, _ := strings.Cut(decisions[number].Pod, "/")
		pod, err := client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		must(err)
		if decisions[number].Node != pod.Spec.NodeName {
			return nil, true
		}
		if pod.Spec.NodeName != "" {
			decisions[number].Claims = devices(ctx, client, pod)
			decisions[number].Volumes = volumesOf(client, pod)
		}
	}
	return decisions, false
}

// create makes a pod and its claims.
func create(
	ctx context.Context,
	client *fake.Clientset,
	pod *v1.Pod,
	templates map[string]*resourceapi.ResourceClaimTemplate,
) {
	for _, entry := range pod.Spec.ResourceClaims {
		if entry.ResourceClaimTemplateName == nil {
			continue
		}
		template := templates[pod.Namespace+"/"+*entry.ResourceClaimTemplateName]
		name, yes := pod.Name+"-"+entry.Name+"-x", true
		claim := &resourceapi.ResourceClaim{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: pod.Namespace, UID: types.UID("claim-" + name),
				OwnerReferences: []metav1.OwnerReference{{
					APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID, Controller: &yes,
				}},
			},
			Spec: template.Spec.Spec,
		}
		_, err := client.ResourceV1().ResourceClaims(pod.Namespace).Create(ctx, claim, metav1.CreateOptions{})
		must(err)
		status := v1.PodResourceClaimStatus{Name: entry.Name, ResourceClaimName: &name}
		pod.Status.ResourceClaimStatuses = append(pod.Status.ResourceClaimStatuses, status)
	}
	// The scheduler's informers are to see the claims, and what the pod before took.
	time.Sleep(60 * time.Millisecond)
	_, err := client.CoreV1().Pods(pod.Namespace).Create(ctx, pod, metav1.CreateOptions{})
	must(err)
}

// wait waits for what the scheduler says of a pod.
func wait(ctx context.Context, client *fake.Clientset, pod *v1.Pod) decision {
	found := decision{Pod: pod.Namespace + "/" + pod.Name}
	patience := 400
	if pod.Spec.SchedulingGroup != nil {
		// It may wait for its group to be whole, which nobody is told.
		patience = 100
	}
	for range patience {
		time.Sleep(20 * time.Millisecond)
		pod, err := client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		must(err)
		if promised := pod.Status.NominatedNodeName; promised != "" {
			found.Nominated = promised
		}
		if found.Node = pod.Spec.NodeName; found.Node != "" {
			return found
		}
		// Once the victims are gone it is tried again.
		never := pod.Spec.PreemptionPolicy != nil && *pod.Spec.PreemptionPolicy == v1.PreemptNever
		if pod.Status.NominatedNodeName != "" && !never {
			continue
		}
		for _, condition := range pod.Status.Conditions {
			if condition.Type == v1.PodScheduled && condition.Status == v1.ConditionFalse {
				found.Message = withoutPreemption(condition.Message)
				return found
			}
		}
	}
	found.Message = "no decision"
	return found
}

// withoutPreemption cuts what is said about preemption.
func withoutPreemption(message string) string {
	if end := strings.Index(message, ". "); strings.HasPrefix(message, "0/") && end >= 0 {
		return message[:end+1]
	}
	message, _, _ = strings.Cut(message, ", pod group preemption: ")
	return message
}

// devices lists what each claim of a pod got.
func devices(ctx context.Context, client *fake.Clientset, pod *v1.Pod) map[string][]string {
	found := map[string][]string{}
	list := func(entry, name string) {
		claim, err := client.ResourceV1().ResourceClaims(pod.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil || claim.Status.Allocation == nil {
			return
		}
		for _, result := range claim.Status.Allocation.Devices.Results {
			line := fmt.Sprintf("%s %s/%s/%s", result.Request, result.Driver, result.Pool, result.Device)
			var names []string
			for name := range result.ConsumedCapacity {
				names = append(names, string(name))
			}
			sort.Strings(names)
			for _, name := range names {
				amount := result.ConsumedCapacity[resourceapi.QualifiedName(name)]
				line += fmt.Sprintf(" %s=%s", name, amount.String())
			}
			found[entry] = append(found[entry], line)
		}
	}
	for _, status := range pod.Status.ResourceClaimStatuses {
		list(status.Name, *status.ResourceClaimName)
	}
	for _, entry := range pod.Spec.ResourceClaims {
		if entry.ResourceClaimName != nil {
			list(entry.Name, *entry.ResourceClaimName)
		}
	}
	if status := pod.Status.ExtendedResourceClaimStatus; status != nil {
		list("extended resources", status.ResourceClaimName)
	}
	return found
}
