package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	generator "github.com/invopop/jsonschema"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// version is one version of a type.
type version struct {
	typ           reflect.Type
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
		r := generator.Reflector{Anonymous: true, AllowAdditionalProperties: loose, Mapper: bounds}
		if v.schema, err = json.MarshalIndent(r.ReflectFromType(t), "", "  "); err != nil {
			return v, err
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(v.schema))
		if err != nil {
			return v, err
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

// validate says of each field that is not as it should be why.
func validate(s *jsonschema.Schema, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: not JSON: %w", ErrSchema, err)
	}
	if err = s.Validate(doc); err == nil {
		return nil
	}
	var why []string
	for _, line := range strings.Split(err.Error(), "\n")[1:] { // as in - at '/minutes': got string, want integer
		at, text, _ := strings.Cut(strings.TrimLeft(line, " -"), "': ")
		if text != "validation failed" { // what follows says why
			at = strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(at, "at '"), "/"), "/", ".")
			why = append(why, strings.TrimPrefix(at+": "+text, ": "))
		}
	}
	return fmt.Errorf("%w: %s", ErrSchema, strings.Join(why, "; "))
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
	return errors.Join(errs...)
}
