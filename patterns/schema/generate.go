package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	generator "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// version is one version of a type.
type version struct {
	typ           reflect.Type
	schema        []byte
	strict, loose *jsonschema.Schema // loose accepts unknown fields
	any           bool               // it has a field of type any
}

// generate makes the JSON Schema of a Go type: a field without omitempty is required,
// and jsonschema tags narrow it.
func generate(t reflect.Type) (v version, err error) {
	if t.Kind() != reflect.Struct {
		return v, fmt.Errorf("%v is not a struct", t)
	}
	var unsupported error
	names := map[reflect.Type]string{}
	r := generator.Reflector{Anonymous: true}
	r.Mapper = func(t reflect.Type) *generator.Schema {
		s, err := schemaOf(t)
		unsupported = cmp.Or(unsupported, err)
		v.any = v.any || t.Kind() == reflect.Interface || t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface
		return s
	}
	r.Namer = func(t reflect.Type) string { // types of two packages can have the same name
		if base, _, _ := strings.Cut(t.Name(), "["); base != "" && names[t] == "" {
			names[t] = fmt.Sprintf("%s_%d", base, len(names)+1)
		}
		return names[t]
	}
	reflected := r.ReflectFromType(t)
	if unsupported != nil {
		return v, unsupported
	}
	v.typ = t
	if v.schema, err = json.MarshalIndent(reflected, "", "  "); err != nil {
		return v, err
	}
	if v.strict, err = compile(v.schema, func(any) {}); err != nil {
		return v, err
	}
	v.loose, err = compile(v.schema, loosen)
	return v, err
}

func compile(schema []byte, change func(any)) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	change(doc)
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("type.json", doc); err != nil {
		return nil, err
	}
	ref, _ := doc.(object)["$ref"].(string) // the definition itself: the validator need not resolve it for each message
	return c.Compile("type.json" + ref)
}

// loosen changes a schema to accept unknown fields. It still refuses a name that
// differs from a known one in case only: Go would read it as the known one.
func loosen(schema any) {
	if list, ok := schema.([]any); ok {
		for _, s := range list {
			loosen(s)
		}
	}
	s, _ := schema.(object)
	for _, part := range s {
		loosen(part)
	}
	if s["additionalProperties"] == false && s["patternProperties"] == nil {
		delete(s, "additionalProperties")
	}
	known, _ := s["properties"].(object)
	if s["type"] != "object" || len(known) == 0 {
		return
	}
	var names, patterns []any
	for _, name := range slices.Sorted(maps.Keys(known)) {
		names, patterns = append(names, name), append(patterns, object{"pattern": "(?i)^" + regexp.QuoteMeta(name) + "$"})
	}
	s["propertyNames"] = object{"if": object{"anyOf": patterns}, "then": object{"enum": names}}
}

// schemaOf returns the schema of a Go type for which the generator's own is wrong:
// with the bounds of an integer, an int64 that becomes an int32 is a breaking change.
func schemaOf(t reflect.Type) (*generator.Schema, error) {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return integer(int64(math.MinInt64)>>(64-t.Bits()), math.MaxInt64>>(64-t.Bits())), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return integer(0, math.MaxUint64>>(64-t.Bits())), nil
	case reflect.Float32:
		return &generator.Schema{Type: "number", Format: "float32"}, nil // only Compatible reads this format
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.Uintptr, reflect.UnsafePointer:
		return &generator.Schema{}, fmt.Errorf("%v has no schema; hide it with json:\"-\"", t)
	case reflect.Map:
		if !slices.Contains([]reflect.Kind{reflect.String, reflect.Int, reflect.Int64}, t.Key().Kind()) {
			return &generator.Schema{}, fmt.Errorf("%v has no schema: the generator ignores the bounds of its keys", t)
		}
	}
	return nil, nil
}

func integer(least int64, most uint64) *generator.Schema {
	return &generator.Schema{Type: "integer", Minimum: json.Number(fmt.Sprint(least)), Maximum: json.Number(fmt.Sprint(most))}
}
