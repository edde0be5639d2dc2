package expressions

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"k8s.io/dynamic-resource-allocation/cel"
)

// Functions lists every overload that an environment declares, one a line, sorted.
func Functions(stageName string, gates []string, output io.Writer) error {
	stage := stage(stageName)
	compiled := cel.GetCompiler(features(gates)).CompileCELExpression("true", cel.Options{EnvType: &stage})
	if compiled.Error != nil {
		return fmt.Errorf("compile `true`: %s", compiled.Error.Detail)
	}
	var lines []string
	for name, function := range compiled.Environment.Functions() {
		for _, overload := range function.OverloadDecls() {
			var parameters []string
			for _, parameter := range overload.ArgTypes() {
				parameters = append(parameters, parameter.String())
			}
			kind := "global"
			if overload.IsMemberFunction() {
				kind = "member"
			}
			lines = append(lines, fmt.Sprintf("%s %s %s (%s) %s",
				name, overload.ID(), kind, strings.Join(parameters, ", "), overload.ResultType()))
		}
	}
	slices.Sort(lines)
	for _, line := range lines {
		if _, err := fmt.Fprintln(output, line); err != nil {
			return err
		}
	}
	return nil
}
