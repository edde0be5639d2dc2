package peer

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"reflect"
	"runtime/debug"
	"sort"
	"time"

	"drayage.test/peer/expressions"
	"k8s.io/dynamic-resource-allocation/cel"
	"k8s.io/dynamic-resource-allocation/structured"
)

// Release is what a release has and another has not.
type Release struct {
	// EnableAllocators limits the implementations to choose from; nil where the release has no such function.
	EnableAllocators func(names ...string)
	// NodeError marks errors that concern one node only; nil where the release has none.
	NodeError error
}

type peer struct {
	release Release
	timeout time.Duration
	// Compiled selectors by the CEL features they were compiled with, as one scheduler keeps them.
	compiled map[cel.Features]*cel.Cache
}

// Main reads problems from stdin and writes answers to stdout until stdin ends.
func Main(release Release) {
	if len(os.Args) > 1 && os.Args[1] == "expressions" {
		if err := expressions.Main(os.Args[2:], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			os.Exit(1)
		}
		return
	}
	timeout := flag.Duration("timeout", 10*time.Second, "time limit for each problem")
	implementation := flag.String("implementation", "", "stable, incubating or experimental, instead of the release's own choice")
	memory := flag.Int64("memory", 2<<30, "soft limit of memory in bytes")
	flag.Parse()
	debug.SetMemoryLimit(*memory)
	p := &peer{release: release, timeout: *timeout, compiled: map[cel.Features]*cel.Cache{}}
	if err := p.run(os.Stdin, os.Stdout, *implementation); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func (p *peer) run(from io.Reader, to io.Writer, implementation string) error {
	in := bufio.NewReaderSize(from, 1<<20)
	out := bufio.NewWriterSize(to, 1<<20)
	for {
		line, readError := in.ReadBytes('\n')
		if len(line) > 1 {
			written, err := json.Marshal(p.answer(line, implementation))
			if err != nil {
				return err
			}
			if _, err := out.Write(append(written, '\n')); err != nil {
				return err
			}
		}
		// Whoever waits for an answer gets it before the next question is read.
		if readError != nil || in.Buffered() == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		if readError == io.EOF {
			return nil
		}
		if readError != nil {
			return readError
		}
	}
}

func (p *peer) answer(line []byte, implementation string) *answer {
	asked := &problem{}
	if err := json.Unmarshal(line, asked); err != nil {
		return &answer{Name: asked.Name, Outcome: "unreadable", Error: err.Error()}
	}
	if asked.Implementation == "" {
		asked.Implementation = implementation
	}
	a := &answer{Name: asked.Name}
	p.solve(asked, a)
	return a
}

func (p *peer) solve(asked *problem, a *answer) {
	defer func() {
		if cause := recover(); cause != nil {
			a.Outcome, a.Results, a.Error = "panic", nil, fmt.Sprint(cause)
		}
	}()
	features, dropped := switches[structured.Features](asked.Features)
	a.Dropped = dropped
	state, err := asked.state()
	if err == nil {
		err = p.choose(asked.Implementation)
	}
	if err != nil {
		a.Outcome, a.Error = "unreadable", err.Error()
		return
	}
	timeout := p.timeout
	if asked.TimeoutMilliseconds > 0 {
		timeout = time.Duration(asked.TimeoutMilliseconds) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()

	start := time.Now()
	allocator, err := structured.NewAllocator(ctx, features, state, classes(asked.Classes), asked.Slices, p.cache(asked.Features))
	a.PrepareNanoseconds = time.Since(start).Nanoseconds()
	if err != nil {
		a.Outcome, a.Error = "error", err.Error()
		return
	}
	a.Channel = path.Base(reflect.TypeOf(allocator).Elem().PkgPath())
	for range max(asked.Repeat, 1) {
		start = time.Now()
		results, err := allocator.Allocate(ctx, asked.Node, asked.Claims)
		a.Nanoseconds = append(a.Nanoseconds, time.Since(start).Nanoseconds())
		hideShareIDs(results)
		a.Outcome, a.Results, a.Error = "allocated", results, ""
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			a.Outcome, a.Results, a.Error = "timeout", nil, err.Error()
		case err != nil && p.release.NodeError != nil && errors.Is(err, p.release.NodeError):
			a.Outcome, a.Results, a.Error = "unsatisfiable", nil, err.Error()
		case err != nil:
			a.Outcome, a.Results, a.Error = "error", nil, err.Error()
		case results == nil:
			a.Outcome = "unsatisfiable"
		}
		if a.Outcome == "timeout" {
			break
		}
	}
	a.Steps = steps(allocator)
}

// choose limits the choice of implementations; the empty name stands for the release's own choice.
func (p *peer) choose(implementation string) error {
	switch {
	case p.release.EnableAllocators == nil && implementation == "":
		return nil
	case p.release.EnableAllocators == nil:
		return fmt.Errorf("this release chooses the implementation itself, %s cannot be forced", implementation)
	case implementation == "":
		p.release.EnableAllocators()
	default:
		p.release.EnableAllocators(implementation)
	}
	return nil
}

// cache has the selectors that were compiled with the problem's features. The scheduler switches CEL's features
// with the gates of the same name.
func (p *peer) cache(asked map[string]bool) *cel.Cache {
	features, _ := switches[cel.Features](map[string]bool{
		"EnableConsumableCapacity": asked["ConsumableCapacity"],
		"EnableListTypeAttributes": asked["ListTypeAttributes"],
	})
	if p.compiled[features] == nil {
		p.compiled[features] = cel.NewCache(10_000, features)
	}
	return p.compiled[features]
}

// switches sets the fields of those names, and returns the names that were on without there being a field.
func switches[T any](on map[string]bool) (T, []string) {
	var features T
	var dropped []string
	value := reflect.ValueOf(&features).Elem()
	set := func(name string) bool {
		field := value.FieldByName(name)
		if field.IsValid() {
			field.SetBool(true)
		}
		return field.IsValid()
	}
	for name, wanted := range on {
		if !wanted || set(name) {
			continue
		}
		// 1.34 has two switches for what is one later.
		if name == "DeviceBindingAndStatus" && set("DeviceBinding") && set("DeviceStatus") {
			continue
		}
		dropped = append(dropped, name)
	}
	sort.Strings(dropped)
	return features, dropped
}

// steps reads the statistics, whose type cannot be named outside of the allocator.
func steps(allocator structured.Allocator) int64 {
	method := reflect.ValueOf(allocator).MethodByName("GetStats")
	if !method.IsValid() {
		return 0
	}
	// The stable implementation of 1.34 and 1.35 returns nothing.
	statistics := reflect.Indirect(method.Call(nil)[0])
	if !statistics.IsValid() {
		return 0
	}
	field := statistics.FieldByName("NumAllocateOneInvocations")
	if !field.IsValid() {
		return 0
	}
	return field.Int()
}
