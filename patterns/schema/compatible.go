package schema

import (
	"bytes"
	"fmt"
	"maps"
	"math/big"
	"reflect"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Incompatibilities names each field that a writer may send and a reader cannot read,
// with the reason.
type Incompatibilities []string

func (i Incompatibilities) Error() string { return strings.Join(i, "; ") }

// Compatible returns nil if a reader with one JSON Schema can read all that a writer
// with another may write, or else [Incompatibilities]. The reader ignores unknown
// fields. A new reader can read old events (backward) if Compatible(new, old) is nil,
// and an old reader new ones (forward) if Compatible(old, new) is. A keyword that
// Compatible does not know must be the same in both.
func Compatible(reader, writer []byte) error { return compatible(reader, writer, false) }

func compatible(reader, writer []byte, strict bool) error {
	c := comparison{strict: strict, seen: map[[2]uintptr]bool{}}
	for i, text := range [][]byte{reader, writer} {
		var err error
		if c.docs[i], err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("%w: not a schema: %w", ErrType, err)
		}
	}
	if strict && reflect.DeepEqual(c.docs[0], c.docs[1]) {
		return nil // whatever its keywords mean
	}
	if c.compare("", c.docs[0], c.docs[1]); len(c.found) > 0 {
		return c.found
	}
	return nil
}

type comparison struct {
	docs   [2]any // the reader's and the writer's
	strict bool   // the reader refuses unknown fields
	seen   map[[2]uintptr]bool
	found  Incompatibilities
}

type object = map[string]any

// never is the schema false: no document is valid.
var never = object{"not": true}

// annotations are keywords that do not change which documents are valid.
var annotations = []string{"$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}

func (c *comparison) add(at, reason string, args ...any) {
	c.found = append(c.found, strings.TrimPrefix(strings.TrimPrefix(at+" ", ".")+fmt.Sprintf(reason, args...), " "))
}

// compare adds an incompatibility unless each document that is valid for the writer is
// valid for the reader.
func (c *comparison) compare(at string, reader, writer any) {
	r, w := c.resolve(0, reader), c.resolve(1, writer)
	pair := [2]uintptr{reflect.ValueOf(r).Pointer(), reflect.ValueOf(w).Pointer()}
	if len(r) == 0 || c.seen[pair] { // a type can contain itself
		return
	}
	c.seen[pair] = true
	have, want := types(w), types(r)
	if slices.ContainsFunc(have, func(t string) bool { return !slices.Contains(want, t) }) {
		c.add(at, "is %s, was %s", strings.Join(have, " or "), strings.Join(want, " or "))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(r)) {
		switch key {
		case "type", "properties", "patternProperties", "additionalProperties": // above and in compareFields
		case "required":
			for _, name := range list(r[key]) {
				if !has(w[key], name) {
					c.add(at+"."+fmt.Sprint(name), "may be missing, and was required")
				}
			}
		case "items":
			c.compare(at+"[]", r[key], or(w[key], true))
			if !reflect.DeepEqual(r["prefixItems"], w["prefixItems"]) {
				c.add(at+"[]", "has other prefixItems")
			}
		case "enum":
			if w[key] == nil {
				c.add(at, "may be anything, and was one of %v", r[key])
			}
			for _, v := range list(w[key]) {
				if !has(r[key], v) {
					c.add(at, "may be %v, which is not known", v)
				}
			}
		case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
			c.compareLimit(at, key, r, w, -1)
		case "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties":
			c.compareLimit(at, key, r, w, 1)
		default:
			equal := reflect.DeepEqual(r[key], w[key]) && !strings.Contains(fmt.Sprint(key, r[key]), "$ref")
			if !equal && !slices.Contains(annotations, key) {
				c.add(at, "has %s %v, had %v", key, or(w[key], "none"), r[key])
			}
		}
	}
	c.compareFields(at, r, w)
}

func (c *comparison) compareFields(at string, r, w object) {
	rest, theirRest := or(r["additionalProperties"], true), or(w["additionalProperties"], true)
	strict := c.strict || r["patternProperties"] != nil // a map[int]… refuses other names
	for _, kind := range []string{"properties", "patternProperties"} {
		known, _ := r[kind].(object)
		theirs, _ := w[kind].(object)
		for _, name := range slices.Sorted(maps.Keys(known)) {
			their := or(theirs[name], theirRest)
			switch {
			case their == false:
			case theirs[name] == nil && kind == "properties":
				c.add(at+"."+name, "may come in another case, which Go reads as the same")
			default:
				c.compare(at+"."+name, known[name], their)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(theirs)) {
			if known[name] != nil {
				continue
			}
			for mine := range known {
				if strings.EqualFold(mine, name) {
					c.add(at+"."+name, "differs from %s in case only, which Go reads as the same", mine)
				}
			}
			switch {
			case rest == false && strict || r["patternProperties"] != nil || kind == "patternProperties":
				c.add(at+"."+name, "is not known")
			case rest != false:
				c.compare(at+"."+name, rest, theirs[name])
			}
		}
	}
	switch {
	case theirRest == false:
	case rest != false:
		c.compare(at+".*", rest, theirRest)
	case strict:
		c.add(at+".*", "is not known")
	}
}

// resolve returns a schema as an object. It replaces a reference by its definition. A
// schema made by hand can have other references, or keywords beside one: it is kept.
func (c *comparison) resolve(doc int, schema any) object {
	s, ok := schema.(object)
	if !ok && schema != true { // false; or a list, as items was in older drafts
		return never
	}
	for key := range s {
		if key != "$ref" && !slices.Contains(annotations, key) {
			return s
		}
	}
	ref, _ := s["$ref"].(string)
	root, _ := c.docs[doc].(object)
	defs, _ := root["$defs"].(object)
	if def, ok := defs[strings.TrimPrefix(ref, "#/$defs/")].(object); ok {
		return def
	}
	return s
}

// compareLimit compares limits: the writer's may not be higher if side is 1, lower if -1.
func (c *comparison) compareLimit(at, key string, r, w object, side int) {
	want, known := new(big.Rat).SetString(fmt.Sprint(r[key]))
	have, ok := new(big.Rat).SetString(fmt.Sprint(w[key]))
	if !ok || !known || have.Cmp(want)*side > 0 {
		c.add(at, "has %s %v, had %v", key, or(w[key], "none"), r[key])
	}
}

// types returns the types of a schema. An integer is not a number here: a float64
// rounds an int64 without an error.
func types(s object) (names []string) {
	for _, t := range list(or(s["type"], []any{"array", "boolean", "integer", "null", "number", "object", "string"})) {
		names = append(names, fmt.Sprint(t))
	}
	return names
}

func has(values, v any) bool {
	return slices.ContainsFunc(list(values), func(x any) bool { return reflect.DeepEqual(x, v) })
}

// list returns the items of v; v itself if it is no list.
func list(v any) []any {
	l, ok := v.([]any)
	if !ok && v != nil {
		l = []any{v}
	}
	return l
}

func or(v, otherwise any) any {
	if v == nil {
		return otherwise
	}
	return v
}
