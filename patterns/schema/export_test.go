package schema

import (
	"encoding/json"
	"reflect"
)

// Generated is a type that a test makes as it runs, as Define cannot.
type Generated struct{ v version }

func Generate(t reflect.Type) (Generated, error) { v, err := generate(t); return Generated{v}, err }

func (g Generated) Schema() []byte { return g.v.schema }

// Read returns what a reader of this type makes of a later one's document, and what
// one makes of it that unmarshals without a look.
func (g Generated) Read(data []byte) (v any, err error) {
	return g.v.read(g.v.loose, data)
}

func (g Generated) ReadBlindly(data []byte) (any, error) {
	v := reflect.New(g.v.typ)
	err := json.Unmarshal(data, v.Interface())
	return v.Interface(), err
}

func (g Generated) Strictly(data []byte) error { return validate(g.v.strict, data) }

// CompatibleStrictly is for a reader that refuses what it does not know.
func CompatibleStrictly(reader, writer []byte) error { return compatible(reader, writer, true) }
