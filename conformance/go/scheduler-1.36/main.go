// The real kube-scheduler of Kubernetes 1.36 beside an API server in memory.
package main

import "drayage.test/scheduler"

func main() {
	scheduler.Main()
}
