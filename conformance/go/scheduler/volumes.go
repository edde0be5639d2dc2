package scheduler

import (
	"strconv"
	"sync/atomic"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	_ "k8s.io/kubernetes/pkg/apis/storage/install"
)

const (
	bindCompleted = "pv.kubernetes.io/bind-completed"
	selectedNode  = "volume.kubernetes.io/selected-node"
)

// playVolumeControllers binds claims to the volumes that the scheduler chose, and makes volumes for claims that it sent
// to a node: reachable from the nodes that agree in the topology keys that the driver has on that node.
func playVolumeControllers(client *fake.Clientset, version *atomic.Int64) {
	volumes := v1.SchemeGroupVersion.WithResource("persistentvolumes")
	claims := v1.SchemeGroupVersion.WithResource("persistentvolumeclaims")
	next := func() string { return strconv.FormatInt(version.Add(1), 10) }
	get := func(resource schema.GroupVersionResource, namespace, name string) runtime.Object {
		object, err := client.Tracker().Get(resource, namespace, name)
		if err != nil {
			return nil
		}
		return object.DeepCopyObject()
	}
	bind := func(claim *v1.PersistentVolumeClaim, volume string) {
		claim.Spec.VolumeName = volume
		metav1.SetMetaDataAnnotation(&claim.ObjectMeta, bindCompleted, "yes")
		claim.Status.Phase = v1.ClaimBound
		claim.ResourceVersion = next()
		must(client.Tracker().Update(claims, claim, claim.Namespace))
	}
	client.PrependReactor("update", "persistentvolumes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		volume := action.(clienttesting.UpdateAction).GetObject().(*v1.PersistentVolume).DeepCopy()
		volume.Status.Phase = v1.VolumeBound
		volume.ResourceVersion = next()
		must(client.Tracker().Update(volumes, volume, ""))
		ref := volume.Spec.ClaimRef
		bind(get(claims, ref.Namespace, ref.Name).(*v1.PersistentVolumeClaim), volume.Name)
		return true, volume, nil
	})
	client.PrependReactor("update", "persistentvolumeclaims", func(action clienttesting.Action) (bool, runtime.Object, error) {
		claim := action.(clienttesting.UpdateAction).GetObject().(*v1.PersistentVolumeClaim).DeepCopy()
		name, sent := claim.Annotations[selectedNode]
		if !sent || claim.Spec.VolumeName != "" {
			return false, nil, nil
		}
		node := get(v1.SchemeGroupVersion.WithResource("nodes"), "", name).(*v1.Node)
		classes := storagev1.SchemeGroupVersion.WithResource("storageclasses")
		class := get(classes, "", *claim.Spec.StorageClassName).(*storagev1.StorageClass)
		volume := &v1.PersistentVolume{
			ObjectMeta: metav1.ObjectMeta{Name: "pvc-" + string(claim.UID), ResourceVersion: next()},
			Spec: v1.PersistentVolumeSpec{
				Capacity:         claim.Spec.Resources.Requests,
				AccessModes:      claim.Spec.AccessModes,
				StorageClassName: class.Name,
				ClaimRef: &v1.ObjectReference{
					Kind: "PersistentVolumeClaim", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
				},
			},
			Status: v1.PersistentVolumeStatus{Phase: v1.VolumeBound},
		}
		volume.Spec.CSI = &v1.CSIPersistentVolumeSource{Driver: class.Provisioner, VolumeHandle: volume.Name}
		var requirements []v1.NodeSelectorRequirement
		csiNode, _ := get(storagev1.SchemeGroupVersion.WithResource("csinodes"), "", name).(*storagev1.CSINode)
		if csiNode != nil {
			for _, driver := range csiNode.Spec.Drivers {
				if driver.Name != class.Provisioner {
					continue
				}
				for _, key := range driver.TopologyKeys {
					requirements = append(requirements, v1.NodeSelectorRequirement{
						Key: key, Operator: v1.NodeSelectorOpIn, Values: []string{node.Labels[key]},
					})
				}
			}
		}
		if len(requirements) > 0 {
			terms := []v1.NodeSelectorTerm{{MatchExpressions: requirements}}
			volume.Spec.NodeAffinity = &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: terms}}
		}
		must(client.Tracker().Create(volumes, volume, ""))
		bind(claim, volume.Name)
		return true, claim, nil
	})
}

// volumesOf lists the volume of each claim of a pod.
func volumesOf(client *fake.Clientset, pod *v1.Pod) map[string]string {
	found := map[string]string{}
	for _, volume := range pod.Spec.Volumes {
		if volume.PersistentVolumeClaim == nil {
			continue
		}
		name := volume.PersistentVolumeClaim.ClaimName
		claim, err := client.Tracker().Get(v1.SchemeGroupVersion.WithResource("persistentvolumeclaims"), pod.Namespace, name)
		must(err)
		found[name] = claim.(*v1.PersistentVolumeClaim).Spec.VolumeName
	}
	return found
}
