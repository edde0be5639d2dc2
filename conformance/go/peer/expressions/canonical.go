package expressions

import (
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	resourceapi "k8s.io/api/resource/v1"
	apiservercel "k8s.io/apiserver/pkg/cel"
)

// quoted is the text with the two characters escaped that would end it.
func quoted(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// canonical writes a value so that equal texts are equal values of equal types. The entries of maps are sorted.
func canonical(value ref.Val) string {
	switch value := value.(type) {
	case types.Null:
		return "null"
	case types.Bool:
		return fmt.Sprint(bool(value))
	case types.Int:
		return fmt.Sprint(int64(value))
	case types.Uint:
		return fmt.Sprintf("%du", uint64(value))
	case types.Double:
		if math.IsNaN(float64(value)) {
			return "double(nan)"
		}
		return fmt.Sprintf("double(%016x)", math.Float64bits(float64(value)))
	case types.String:
		return quoted(string(value))
	case types.Bytes:
		return "bytes(" + hex.EncodeToString(value) + ")"
	case types.Duration:
		return fmt.Sprintf("duration(%d)", value.Duration.Nanoseconds())
	case types.Timestamp:
		return "timestamp(" + value.Format(time.RFC3339Nano) + ")"
	case *types.Optional:
		if !value.HasValue() {
			return "none"
		}
		return "some(" + canonical(value.GetValue()) + ")"
	case *types.Err:
		return "error()"
	case traits.Lister:
		var items []string
		for iterator := value.Iterator(); iterator.HasNext() == types.True; {
			items = append(items, canonical(iterator.Next()))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case traits.Mapper:
		var entries []string
		for iterator := value.Iterator(); iterator.HasNext() == types.True; {
			key := iterator.Next()
			item, _ := value.Find(key)
			text := "nothing"
			if item != nil {
				text = canonical(item)
			}
			entries = append(entries, canonical(key)+": "+text)
		}
		slices.Sort(entries)
		return "{" + strings.Join(entries, ", ") + "}"
	case apiservercel.Format:
		return "kubernetes.NamedFormat(" + value.Name + ")"
	case *apiservercel.Format:
		return "kubernetes.NamedFormat(" + value.Name + ")"
	case ref.Type:
		return "type(" + value.TypeName() + ")"
	}
	text, err := value.ConvertToNative(reflect.TypeOf(""))
	if err != nil {
		return fmt.Sprintf("%s: %v", value.Type().TypeName(), err)
	}
	return value.Type().TypeName() + "(" + text.(string) + ")"
}

// attributeText is an attribute with its one field, empty lists included.
func attributeText(attribute *resourceapi.DeviceAttribute) string {
	fields := reflect.ValueOf(attribute).Elem()
	var texts []string
	for at := range fields.NumField() {
		field := fields.Field(at)
		if field.IsNil() {
			continue
		}
		name := strings.TrimSuffix(fields.Type().Field(at).Name, "Value")
		var items []string
		if field.Kind() == reflect.Pointer {
			items = append(items, itemText(field.Elem()))
		} else {
			name = strings.TrimSuffix(name, "Values") + "s"
			for i := range field.Len() {
				items = append(items, itemText(field.Index(i)))
			}
		}
		texts = append(texts, strings.ToLower(name)+"("+strings.Join(items, ", ")+")")
	}
	return strings.Join(texts, " ")
}

func itemText(item reflect.Value) string {
	if item.Kind() == reflect.String {
		return quoted(item.String())
	}
	return fmt.Sprint(item.Interface())
}
