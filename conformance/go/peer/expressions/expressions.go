// Package expressions compiles and evaluates CEL expressions with the real package of a Kubernetes release.
package expressions

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	gocel "github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"
	resourceapi "k8s.io/api/resource/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/dynamic-resource-allocation/cel"
)

// Case is one line of input.
type Case struct {
	Expression string `json:"expression"`
	// Mode is "selector", "attribute" (derived attributes, from 1.37 on) or "value" (any type).
	Mode string `json:"mode"`
	// Stage is "stored" or "new".
	Stage string   `json:"stage"`
	Gates []string `json:"gates"`
	// Limit of the cost at run time; the default of the release where absent.
	Limit  *uint64 `json:"limit,omitempty"`
	Device Device  `json:"device"`
}

// Device as ResourceSlices have it.
type Device struct {
	Driver                   string                                                    `json:"driver"`
	AllowMultipleAllocations *bool                                                     `json:"allowMultipleAllocations,omitempty"`
	Attributes               map[resourceapi.QualifiedName]resourceapi.DeviceAttribute `json:"attributes"`
	Capacity                 map[resourceapi.QualifiedName]string                      `json:"capacity"`
}

// Answer is one line of output.
type Answer struct {
	// CompileError is why there is no program.
	CompileError string `json:"compileError,omitempty"`
	// Type is the static type of the result.
	Type string `json:"type,omitempty"`
	// Estimate is the largest cost that the API server expects.
	Estimate *uint64 `json:"estimate,omitempty"`
	// Value is the result in a canonical form.
	Value string `json:"value,omitempty"`
	// Error is why there is no result.
	Error string `json:"error,omitempty"`
	// Cost at run time.
	Cost uint64 `json:"cost"`
}

// Main answers expressions from the input or, after the word functions, a stage and gates, lists the functions.
func Main(arguments []string, input io.Reader, output io.Writer) error {
	if len(arguments) >= 2 && arguments[0] == "functions" {
		return Functions(arguments[1], arguments[2:], output)
	}
	return Run(input, output)
}

// Run answers each line of the input with one line.
func Run(input io.Reader, output io.Writer) error {
	reader := bufio.NewReaderSize(input, 1<<20)
	writer := bufio.NewWriterSize(output, 1<<20)
	for {
		line, err := reader.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var one Case
			if err := json.Unmarshal(line, &one); err != nil {
				return fmt.Errorf("read a case: %w", err)
			}
			text, err := encode(answer(one))
			if err != nil {
				return err
			}
			if _, err := writer.Write(text); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return writer.Flush()
		}
		if err != nil {
			return err
		}
		if reader.Buffered() == 0 {
			if err := writer.Flush(); err != nil {
				return err
			}
		}
	}
}

func encode(value any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return buffer.Bytes(), err
}

func features(gates []string) cel.Features {
	var features cel.Features
	fields := reflect.ValueOf(&features).Elem()
	for _, gate := range gates {
		// A gate that the release does not know is off.
		if field := fields.FieldByName("Enable" + gate); field.IsValid() {
			field.SetBool(true)
		}
	}
	return features
}

func stage(name string) environment.Type {
	if name == "new" {
		return environment.NewExpressions
	}
	return environment.StoredExpressions
}

type derived interface {
	EvaluateDerivedAttribute(context.Context, cel.Device) (*resourceapi.DeviceAttribute, *gocel.EvalDetails, error)
}

func answer(one Case) (answer Answer) {
	defer func() {
		if fault := recover(); fault != nil {
			answer.Error = fmt.Sprintf("panic: %v", fault)
		}
	}()
	compiler := cel.GetCompiler(features(one.Gates))
	stage := stage(one.Stage)
	options := cel.Options{EnvType: &stage, CostLimit: one.Limit}
	if one.Mode == "attribute" {
		reflect.ValueOf(&options).Elem().FieldByName("DerivedAttribute").SetBool(true)
	}
	if one.Mode == "value" {
		return anyValue(compiler.CompileCELExpression("true", options), one)
	}
	compiled := compiler.CompileCELExpression(one.Expression, options)
	if compiled.Error != nil {
		answer.CompileError = compiled.Error.Detail
		return answer
	}
	answer.Type = compiled.OutputType.String()
	answer.Estimate = &compiled.MaxCost
	device, err := one.Device.presented()
	if err != nil {
		answer.Error = err.Error()
		return answer
	}
	var details *gocel.EvalDetails
	if one.Mode == "attribute" {
		var attribute *resourceapi.DeviceAttribute
		attribute, details, err = any(compiled).(derived).EvaluateDerivedAttribute(context.Background(), device)
		if err == nil {
			answer.Value = attributeText(attribute)
		}
	} else {
		var matches bool
		matches, details, err = compiled.DeviceMatches(context.Background(), device)
		answer.Value = fmt.Sprint(matches)
	}
	if err != nil {
		answer.Value, answer.Error = "", err.Error()
	}
	answer.Cost = cost(details)
	return answer
}

func cost(details *gocel.EvalDetails) uint64 {
	if details == nil || details.ActualCost() == nil {
		return 0
	}
	return *details.ActualCost()
}

// anyValue evaluates an expression of any type, on the environment that the selectors have.
func anyValue(selector cel.CompilationResult, one Case) (answer Answer) {
	defer func() {
		if fault := recover(); fault != nil {
			answer.Error = fmt.Sprintf("panic: %v", fault)
		}
	}()
	tree, issues := selector.Environment.Compile(one.Expression)
	if issues != nil {
		answer.CompileError = "compilation failed: " + issues.String()
		return answer
	}
	answer.Type = tree.OutputType().String()
	limit := uint64(resourceapi.CELSelectorExpressionMaxCost)
	if one.Limit != nil {
		limit = *one.Limit
	}
	program, err := selector.Environment.Program(tree, gocel.CostLimit(limit), gocel.InterruptCheckFrequency(100))
	if err != nil {
		answer.CompileError = "program instantiation failed: " + err.Error()
		return answer
	}
	presented, err := one.Device.presented()
	if err != nil {
		answer.Error = err.Error()
		return answer
	}
	// The selector is evaluated with a program of ours in its place: it builds the variables, we keep the value.
	keep := &keeper{Program: program}
	selector.Program = keep
	_, details, err := selector.DeviceMatches(context.Background(), presented)
	if keep.value == nil {
		answer.Error = fmt.Sprint(err)
	} else {
		answer.Value = canonical(keep.value)
	}
	answer.Cost = cost(details)
	return answer
}

// keeper is a program that remembers its last value.
type keeper struct {
	gocel.Program
	value ref.Val
}

func (k *keeper) ContextEval(ctx context.Context, input any) (ref.Val, *gocel.EvalDetails, error) {
	value, details, err := k.Program.ContextEval(ctx, input)
	if err == nil {
		k.value = value
	}
	return value, details, err
}

func (d Device) presented() (cel.Device, error) {
	device := cel.Device{
		Driver:                   d.Driver,
		AllowMultipleAllocations: d.AllowMultipleAllocations,
		Attributes:               d.Attributes,
		Capacity:                 map[resourceapi.QualifiedName]resourceapi.DeviceCapacity{},
	}
	for name, text := range d.Capacity {
		quantity, err := resource.ParseQuantity(text)
		if err != nil {
			return device, fmt.Errorf("capacity %s: %w", name, err)
		}
		device.Capacity[name] = resourceapi.DeviceCapacity{Value: quantity}
	}
	return device, nil
}
