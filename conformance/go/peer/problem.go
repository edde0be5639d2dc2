// Package peer answers allocation problems with the real allocator of one Kubernetes release.
//
// A problem is a line of JSON as `dray allocate --problems` reads it; the answer is a line of JSON too. The package
// is built once for each release, by the modules next to it; what differs between the releases is in Release.
package peer

import (
	"fmt"
	"sort"
	"strings"

	v1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/dynamic-resource-allocation/structured"
)

// problem is one line of input.
type problem struct {
	Name                     string
	Node                     *v1.Node
	Classes                  []*resourceapi.DeviceClass
	Slices                   []*resourceapi.ResourceSlice
	Claims                   []*resourceapi.ResourceClaim
	AllocatedDevices         []string
	AllocatedSharedDeviceIDs []string
	AllocatedCapacity        map[string]map[string]resource.Quantity
	// Switches by name. Those that the release does not have are dropped, and the answer says so.
	Features map[string]bool
	// Implementation forces stable, incubating or experimental, where the release allows that.
	Implementation string
	// Repeat asks the same allocator several times, for benchmarks.
	Repeat int
	// TimeoutMilliseconds replaces the time limit of the command line.
	TimeoutMilliseconds int
}

// answer is one line of output.
type answer struct {
	Name string `json:"name"`
	// allocated, unsatisfiable, error, timeout, panic or unreadable.
	Outcome string `json:"outcome"`
	// One for each claim, with allocated. Share IDs are written <any>.
	Results []resourceapi.AllocationResult `json:"results"`
	Error   string                         `json:"error,omitempty"`
	// Search steps as the allocator counts them.
	Steps int64 `json:"steps"`
	// Which implementation answered: stable, incubating or experimental.
	Channel string `json:"channel,omitempty"`
	// Features that were asked for and that this release does not have.
	Dropped []string `json:"dropped,omitempty"`
	// Time of making the allocator, which prepares what does not depend on node and claims.
	PrepareNanoseconds int64 `json:"prepareNanoseconds"`
	// Time of each call.
	Nanoseconds []int64 `json:"nanoseconds"`
}

type classes []*resourceapi.DeviceClass

func (c classes) List() ([]*resourceapi.DeviceClass, error) { return c, nil }

func (c classes) Get(name string) (*resourceapi.DeviceClass, error) {
	for _, class := range c {
		if class.Name == name {
			return class, nil
		}
	}
	return nil, fmt.Errorf("deviceclass.resource.k8s.io %q not found", name)
}

// deviceID reads driver/pool/device; the pool may hold slashes.
func deviceID(text string) (structured.DeviceID, error) {
	driver, rest, found := strings.Cut(text, "/")
	last := strings.LastIndex(rest, "/")
	if !found || last < 0 {
		return structured.DeviceID{}, fmt.Errorf("%q is not of the form driver/pool/device", text)
	}
	return structured.MakeDeviceID(driver, rest[:last], rest[last+1:]), nil
}

// state is what other claims hold.
func (p *problem) state() (structured.AllocatedState, error) {
	state := structured.AllocatedState{
		AllocatedDevices:         sets.New[structured.DeviceID](),
		AllocatedSharedDeviceIDs: sets.New[structured.SharedDeviceID](),
		AggregatedCapacity:       structured.NewConsumedCapacityCollection(),
	}
	for _, text := range p.AllocatedDevices {
		id, err := deviceID(text)
		if err != nil {
			return state, err
		}
		state.AllocatedDevices.Insert(id)
	}
	for _, text := range p.AllocatedSharedDeviceIDs {
		last := max(strings.LastIndex(text, "/"), 0)
		id, err := deviceID(text[:last])
		if err != nil {
			return state, err
		}
		share := types.UID(text[last+1:])
		state.AllocatedSharedDeviceIDs.Insert(structured.MakeSharedDeviceID(id, &share))
	}
	devices := make([]string, 0, len(p.AllocatedCapacity))
	for text := range p.AllocatedCapacity {
		devices = append(devices, text)
	}
	sort.Strings(devices)
	for _, text := range devices {
		id, err := deviceID(text)
		if err != nil {
			return state, err
		}
		amounts := map[resourceapi.QualifiedName]resource.Quantity{}
		for name, quantity := range p.AllocatedCapacity[text] {
			amounts[resourceapi.QualifiedName(name)] = quantity
		}
		state.AggregatedCapacity.Insert(structured.NewDeviceConsumedCapacity(id, amounts))
	}
	return state, nil
}

// hideShareIDs replaces what is random in results.
func hideShareIDs(results []resourceapi.AllocationResult) {
	hidden := types.UID("<any>")
	for i := range results {
		devices := results[i].Devices.Results
		for j := range devices {
			if devices[j].ShareID != nil {
				devices[j].ShareID = &hidden
			}
		}
	}
}
