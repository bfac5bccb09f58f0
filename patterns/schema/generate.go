package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode"

	generator "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// version is one version of a type.
type version struct {
	typ           reflect.Type
	any           bool // it has fields of type any
	schema        []byte
	strict, loose *jsonschema.Schema // loose lets pass what it does not know
}

// generate makes a JSON Schema of a Go type: a field without omitempty is required,
// and jsonschema tags narrow it.
func generate(t reflect.Type) (v version, err error) {
	if t.Kind() != reflect.Struct {
		return v, fmt.Errorf("%v is not a struct", t)
	}
	v.typ = t
	for _, loose := range []bool{true, false} {
		types := map[string]reflect.Type{}
		r := generator.Reflector{Anonymous: true, AllowAdditionalProperties: loose}
		r.Namer = func(t reflect.Type) string { return unique(types, t) }
		r.Mapper = func(t reflect.Type) *generator.Schema {
			if unfit(t) {
				err = fmt.Errorf("%v has no schema; hide it with json:\"-\"", t)
				return &generator.Schema{}
			}
			v.any = v.any || t.Kind() == reflect.Interface || t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface
			return bounds(t)
		}
		reflected := r.ReflectFromType(t)
		if err != nil { // the Mapper's
			return v, err
		}
		if v.schema, err = json.MarshalIndent(reflected, "", "  "); err != nil {
			return v, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(v.schema))
		if err != nil {
			return v, err
		}
		if loose {
			exactly(doc)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource("type.json", doc); err != nil {
			return v, err
		}
		v.loose, v.strict = v.strict, nil
		if v.strict, err = c.Compile("type.json"); err != nil {
			return v, err
		}
	}
	return v, nil
}

// unfit reports a type that no JSON is read as, and a map whose keys the generator
// takes for larger ones, or for any text: a map[int8]string would refuse "300".
func unfit(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.Uintptr, reflect.UnsafePointer:
		return true
	case reflect.Map:
		return !slices.Contains([]reflect.Kind{reflect.String, reflect.Int, reflect.Int64}, t.Key().Kind())
	}
	return false
}

// unique names a type in references, which a generic one's own name would break, and
// two types of one name, from two packages, apart.
func unique(types map[string]reflect.Type, t reflect.Type) string {
	name := strings.Map(func(c rune) rune {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			c = '_'
		}
		return c
	}, t.Name())
	for name != "" && types[name] != nil && types[name] != t {
		name += "_"
	}
	types[name] = t
	return name
}

// exactly has a loose schema refuse names that differ from one it knows in case only:
// Go would read them as the same.
func exactly(schema any) {
	if list, ok := schema.([]any); ok {
		for _, s := range list {
			exactly(s)
		}
	}
	s, _ := schema.(object)
	for _, part := range s {
		exactly(part)
	}
	if known, ok := s["properties"].(object); ok && s["type"] == "object" && len(known) > 0 {
		var names, patterns []any
		for _, name := range slices.Sorted(maps.Keys(known)) {
			names, patterns = append(names, name), append(patterns, object{"pattern": "(?i)^" + regexp.QuoteMeta(name) + "$"})
		}
		s["propertyNames"] = object{"if": object{"anyOf": patterns}, "then": object{"enum": names}}
	}
}

// bounds says of Go's integers how large they are, which the generator does not: an
// int64 that becomes an int32 breaks its readers.
func bounds(t reflect.Type) *generator.Schema {
	low, high := "0", ""
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		low, high = fmt.Sprint(int64(math.MinInt64)>>(64-t.Bits())), fmt.Sprint(math.MaxInt64>>(64-t.Bits()))
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		high = fmt.Sprint(uint64(math.MaxUint64) >> (64 - t.Bits()))
	case reflect.Float32:
		return &generator.Schema{Type: "number", Format: "float32"} // which only Compatible reads
	default:
		return nil
	}
	return &generator.Schema{Type: "integer", Minimum: json.Number(low), Maximum: json.Number(high)}
}

// Hold compares the versions of t with the schemas recorded in dir, as <name>.v1.json
// and so on; call it in a test. A version that has been sent does not change: events
// of it are stored and readers of it run. With record, a version that is not there yet
// is written; none is ever overwritten.
func (t *Type[T]) Hold(dir string, record bool) error {
	var errs []error
	for i, v := range t.versions {
		file := filepath.Join(dir, fmt.Sprintf("%s.v%d.json", t.name, i+1))
		recorded, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) && record {
			recorded, err = v.schema, os.WriteFile(file, append(v.schema, '\n'), 0o666)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("schema: version %d of %s is not recorded: %w", i+1, t.name, err))
			continue
		}
		if err := compatible(v.schema, recorded, true); err != nil {
			errs = append(errs, fmt.Errorf("%w: %v cannot read what was sent as version %d of %s; make a new version: %w", ErrType, v.typ, i+1, t.name, err))
		}
		if err := compatible(recorded, v.schema, true); err != nil {
			errs = append(errs, fmt.Errorf("%w: readers of version %d of %s cannot read what %v sends; make a new version: %w", ErrType, i+1, t.name, v.typ, err))
		}
	}
	if _, err := os.Stat(filepath.Join(dir, fmt.Sprintf("%s.v%d.json", t.name, len(t.versions)+1))); err == nil {
		errs = append(errs, fmt.Errorf("%w: version %d of %s is recorded, and is not among its changes", ErrType, len(t.versions)+1, t.name))
	}
	return errors.Join(errs...)
}
