package schema

import (
	"encoding/json"
	"reflect"
)

// Generated is a version of a type that a test makes at run time.
type Generated struct{ v version }

func Generate(t reflect.Type) (Generated, error) { v, err := generate(t); return Generated{v}, err }

func (g Generated) Schema() []byte { return g.v.schema }

// Read reads a document of a newer version. ReadBlindly unmarshals it without validation.
func (g Generated) Read(data []byte) (v any, err error) {
	return g.v.read(g.v.loose, data)
}

func (g Generated) ReadBlindly(data []byte) (any, error) {
	v := reflect.New(g.v.typ)
	err := json.Unmarshal(data, v.Interface())
	return v.Interface(), err
}

func (g Generated) Strictly(data []byte) error { return validate(g.v.strict, data) }

// CompatibleStrictly is Compatible for a reader that refuses unknown fields.
func CompatibleStrictly(reader, writer []byte) error { return compatible(reader, writer, true) }
