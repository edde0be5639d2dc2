// The real kube-scheduler of Kubernetes 1.36 beside an API server in memory.
package main

import (
	recorder "drayage.test/scheduler"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/kubernetes/pkg/scheduler"
)

func main() {
	recorder.Main(func(client kubernetes.Interface) informers.SharedInformerFactory {
		return scheduler.NewInformerFactory(client, 0)
	})
}
