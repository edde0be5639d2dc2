package scheduler

import (
	"context"
	"sort"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourceapi "k8s.io/api/resource/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	clienttesting "k8s.io/client-go/testing"
	_ "k8s.io/kubernetes/pkg/apis/policy/install"
	_ "k8s.io/kubernetes/pkg/apis/scheduling/install"
)

// resolvePriorities does to pods what the admission of priorities does.
func resolvePriorities(there []runtime.Object, pods []*v1.Pod) {
	classes := map[string]*schedulingv1.PriorityClass{}
	var standard *schedulingv1.PriorityClass
	for _, object := range there {
		if class, ok := object.(*schedulingv1.PriorityClass); ok {
			classes[class.Name] = class
			if class.GlobalDefault {
				standard = class
			}
		}
	}
	for _, pod := range pods {
		class := standard
		if pod.Spec.PriorityClassName != "" {
			class = classes[pod.Spec.PriorityClassName]
		}
		value, policy := int32(0), v1.PreemptLowerPriority
		if class != nil {
			value = class.Value
			if class.PreemptionPolicy != nil {
				policy = *class.PreemptionPolicy
			}
		}
		if pod.Spec.Priority == nil {
			pod.Spec.Priority = &value
		}
		if pod.Spec.PreemptionPolicy == nil {
			pod.Spec.PreemptionPolicy = &policy
		}
	}
}

// victims remembers which pods were deleted, and plays the kubelets that end them and the controllers that look after
// their claims and budgets.
type victims struct {
	lock  sync.Mutex
	names []string
	// ending are those that have not ended yet.
	ending []*v1.Pod
}

// take gives the names since the last time.
func (v *victims) take() []string {
	v.lock.Lock()
	defer v.lock.Unlock()
	names := v.names
	v.names = nil
	sort.Strings(names)
	return names
}

// watch has every deletion of a pod noticed. The pod terminates first, and is gone a little later, with all others that
// were deleted by then. Its claims are free and its budgets lower before that.
func (v *victims) watch(client *fake.Clientset, version func() string) {
	resource := v1.SchemeGroupVersion.WithResource("pods")
	client.PrependReactor("delete", "pods", func(action clienttesting.Action) (bool, runtime.Object, error) {
		name := action.(clienttesting.DeleteAction).GetName()
		object, err := client.Tracker().Get(resource, action.GetNamespace(), name)
		if err != nil {
			return false, nil, nil
		}
		pod := object.(*v1.Pod).DeepCopy()
		if pod.DeletionTimestamp != nil {
			return true, nil, nil
		}
		now := metav1.Now()
		pod.DeletionTimestamp = &now
		pod.SetResourceVersion(version())
		must(client.Tracker().Update(resource, pod, pod.Namespace))
		v.lock.Lock()
		defer v.lock.Unlock()
		v.names = append(v.names, pod.Namespace+"/"+pod.Name)
		if v.ending = append(v.ending, pod); len(v.ending) == 1 {
			go v.end(client, version)
		}
		return true, nil, nil
	})
}

func (v *victims) end(client *fake.Clientset, version func() string) {
	// Long enough for the scheduler to delete all its victims.
	time.Sleep(200 * time.Millisecond)
	v.lock.Lock()
	ending := v.ending
	v.ending = nil
	v.lock.Unlock()
	for _, pod := range ending {
		releaseClaims(client, pod, version)
		lowerBudgets(client, pod, version)
	}
	time.Sleep(50 * time.Millisecond)
	for _, pod := range ending {
		must(client.Tracker().Delete(v1.SchemeGroupVersion.WithResource("pods"), pod.Namespace, pod.Name))
	}
}

// farAway is a client that is more like one of a real API server: deletions take a while, so that the scheduler has written
// down that it promised a node before a victim is on its way; and patched pods get a new version, without which the
// scheduler would take no notice of them.
type farAway struct {
	*fake.Clientset
	version func() string
}

func (c farAway) CoreV1() typedv1.CoreV1Interface {
	return farAwayCore{c.Clientset.CoreV1(), c}
}

type farAwayCore struct {
	typedv1.CoreV1Interface
	client farAway
}

func (c farAwayCore) Pods(namespace string) typedv1.PodInterface {
	return farAwayPods{c.CoreV1Interface.Pods(namespace), c.client}
}

type farAwayPods struct {
	typedv1.PodInterface
	client farAway
}

func (c farAwayPods) Delete(ctx context.Context, name string, options metav1.DeleteOptions) error {
	time.Sleep(100 * time.Millisecond)
	return c.PodInterface.Delete(ctx, name, options)
}

func (c farAwayPods) Patch(
	ctx context.Context, name string, kind types.PatchType, data []byte, options metav1.PatchOptions, of ...string,
) (*v1.Pod, error) {
	pod, err := c.PodInterface.Patch(ctx, name, kind, data, options, of...)
	if err != nil {
		return nil, err
	}
	pod = pod.DeepCopy()
	pod.SetResourceVersion(c.client.version())
	resource := v1.SchemeGroupVersion.WithResource("pods")
	return pod, c.client.Tracker().Update(resource, pod, pod.Namespace)
}

func releaseClaims(client *fake.Clientset, pod *v1.Pod, version func() string) {
	resource := resourceapi.SchemeGroupVersion.WithResource("resourceclaims")
	kind := resourceapi.SchemeGroupVersion.WithKind("ResourceClaim")
	list, err := client.Tracker().List(resource, kind, pod.Namespace)
	must(err)
	for _, claim := range list.(*resourceapi.ResourceClaimList).Items {
		owner := metav1.GetControllerOf(&claim)
		if owner != nil && owner.UID == pod.UID {
			must(client.Tracker().Delete(resource, claim.Namespace, claim.Name))
			continue
		}
		changed := claim.DeepCopy()
		changed.Status.ReservedFor = nil
		for _, consumer := range claim.Status.ReservedFor {
			if consumer.UID != pod.UID {
				changed.Status.ReservedFor = append(changed.Status.ReservedFor, consumer)
			}
		}
		if len(changed.Status.ReservedFor) == len(claim.Status.ReservedFor) {
			continue
		}
		if len(changed.Status.ReservedFor) == 0 {
			changed.Status.Allocation = nil
		}
		changed.SetResourceVersion(version())
		must(client.Tracker().Update(resource, changed, changed.Namespace))
	}
}

func lowerBudgets(client *fake.Clientset, pod *v1.Pod, version func() string) {
	resource := policyv1.SchemeGroupVersion.WithResource("poddisruptionbudgets")
	kind := policyv1.SchemeGroupVersion.WithKind("PodDisruptionBudget")
	list, err := client.Tracker().List(resource, kind, pod.Namespace)
	must(err)
	for _, budget := range list.(*policyv1.PodDisruptionBudgetList).Items {
		selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
		must(err)
		_, counted := budget.Status.DisruptedPods[pod.Name]
		if counted || budget.Status.DisruptionsAllowed == 0 || !selector.Matches(labels.Set(pod.Labels)) {
			continue
		}
		changed := budget.DeepCopy()
		changed.Status.DisruptionsAllowed--
		changed.SetResourceVersion(version())
		must(client.Tracker().Update(resource, changed, changed.Namespace))
	}
}
