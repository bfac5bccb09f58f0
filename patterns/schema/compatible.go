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

// Breaks tells of each field that a writer may send and a reader cannot read why.
type Breaks []string

func (b Breaks) Error() string { return strings.Join(b, "; ") }

// Compatible reports, as [Breaks], why a reader with one JSON Schema cannot read all
// that a writer with another may write; nil if it can. The reader ignores fields that
// it does not know. Whether a new reader can read old events (backward) is
// Compatible(new, old), and whether an old reader can read new ones (forward) is
// Compatible(old, new). A keyword that it does not know must be the same in both.
func Compatible(reader, writer []byte) error { return compatible(reader, writer, false) }

func compatible(reader, writer []byte, strict bool) error {
	c := comparison{strict: strict, seen: map[[2]string]bool{}}
	for i, text := range [][]byte{reader, writer} {
		var err error
		if c.docs[i], err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
			return fmt.Errorf("%w: not a schema: %w", ErrType, err)
		}
	}
	if strict && reflect.DeepEqual(c.docs[0], c.docs[1]) {
		return nil // whatever its keywords mean
	}
	if c.compare("", c.docs[0], c.docs[1]); len(c.breaks) > 0 {
		return c.breaks
	}
	return nil
}

type comparison struct {
	docs   [2]any // the reader's and the writer's
	strict bool   // the reader refuses what it does not know
	seen   map[[2]string]bool
	breaks Breaks
}

type object = map[string]any

// remarks are keywords that say nothing of what is valid.
var remarks = []string{"$schema", "$id", "$defs", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly"}

func (c *comparison) fail(at, why string, args ...any) {
	c.breaks = append(c.breaks, strings.TrimPrefix(strings.TrimPrefix(at+" ", ".")+fmt.Sprintf(why, args...), " "))
}

// compare fails unless whatever is valid for the writer is valid for the reader.
func (c *comparison) compare(at string, reader, writer any) {
	r, mine := c.resolve(0, reader)
	w, theirs := c.resolve(1, writer)
	if pair := [2]string{mine, theirs}; mine != "" && theirs != "" {
		if c.seen[pair] {
			return // it is being compared, or has been
		}
		c.seen[pair] = true
	}
	if len(r) == 0 {
		return // it takes anything
	}
	have, want := types(w), types(r)
	if len(at) > 10_000 { // a schema made by hand, without types, may refer to itself
		c.fail("", "is nested without end")
		return
	}
	if slices.ContainsFunc(have, func(t string) bool { return !slices.Contains(want, t) }) {
		c.fail(at, "is %s, was %s", strings.Join(have, " or "), strings.Join(want, " or "))
		return
	}
	for _, key := range slices.Sorted(maps.Keys(r)) {
		switch key {
		case "type", "properties", "patternProperties", "additionalProperties": // see above and below
		case "required":
			for _, name := range list(r[key]) {
				if !has(w[key], name) {
					c.fail(at+"."+fmt.Sprint(name), "may be missing, and was required")
				}
			}
		case "items":
			if c.compare(at+"[]", r[key], or(w[key], true)); !reflect.DeepEqual(r["prefixItems"], w["prefixItems"]) {
				c.fail(at+"[]", "begins with others")
			}
		case "enum":
			if w[key] == nil {
				c.fail(at, "may be anything, and was one of %v", r[key])
			}
			for _, v := range list(w[key]) {
				if !has(r[key], v) {
					c.fail(at, "may be %v, which is not known", v)
				}
			}
		case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
			c.bound(at, key, r, w, -1)
		case "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties":
			c.bound(at, key, r, w, 1)
		default:
			if slices.Contains(remarks, key) {
				continue
			}
			if was := fmt.Sprint(r[key]); !reflect.DeepEqual(r[key], w[key]) || strings.Contains(was, "$ref") {
				c.fail(at, "has %s %v, had %s", key, or(w[key], "none"), was)
			}
		}
	}
	c.fields(at, r, w)
}

func (c *comparison) fields(at string, r, w object) {
	rest, theirRest := or(r["additionalProperties"], true), or(w["additionalProperties"], true)
	strict := c.strict || r["patternProperties"] != nil // a map with numbers for keys refuses others
	for _, kind := range []string{"properties", "patternProperties"} {
		known, _ := r[kind].(object)
		theirs, _ := w[kind].(object)
		for _, name := range slices.Sorted(maps.Keys(known)) {
			if their := or(theirs[name], theirRest); theirs[name] == nil && their != false && kind == "properties" {
				c.fail(at+"."+name, "may come in another case, which Go reads as the same")
			} else if their != false {
				c.compare(at+"."+name, known[name], their)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(theirs)) {
			if known[name] != nil {
				continue
			}
			for mine := range known {
				if strings.EqualFold(mine, name) {
					c.fail(at+"."+name, "differs from %s in case only, which Go reads as the same", mine)
				}
			}
			if rest == false && strict || r["patternProperties"] != nil || kind == "patternProperties" {
				c.fail(at+"."+name, "is not known")
			} else if rest != false {
				c.compare(at+"."+name, rest, theirs[name])
			}
		}
	}
	if theirRest != false && rest != false {
		c.compare(at+".*", rest, theirRest)
	} else if theirRest != false && strict {
		c.fail(at+".*", "is not known")
	}
}

// resolve returns a schema as an object, in place of a reference what it refers to.
func (c *comparison) resolve(doc int, schema any) (s object, ref string) {
	for {
		s, _ = schema.(object)
		next, ok := s["$ref"].(string)
		if !ok {
			break
		}
		defs, _ := c.docs[doc].(object)["$defs"].(object)
		ref, schema = next, defs[strings.TrimPrefix(next, "#/$defs/")]
		for key := range s {
			if key != "$ref" && !slices.Contains(remarks, key) {
				schema = nil
			}
		}
		if schema == nil { // a schema made by hand has other ways to refer, and may say more beside it
			return object{next: "$ref"}, ""
		}
	}
	if s == nil && schema != true { // false; or no schema, as a list of them, which is what items was
		s = object{"not": true}
	}
	return s, ref
}

// bound compares limits: the writer's may not be higher if side is 1, lower if -1.
func (c *comparison) bound(at, key string, r, w object, side int) {
	want, known := new(big.Rat).SetString(fmt.Sprint(r[key]))
	have, ok := new(big.Rat).SetString(fmt.Sprint(w[key]))
	if !ok || !known || have.Cmp(want)*side > 0 {
		c.fail(at, "has %s %v, had %v", key, or(w[key], "none"), r[key])
	}
}

// An integer is not a number here: a float64 rounds an int64, and says nothing.
func types(s object) (names []string) {
	for _, t := range list(s["type"]) {
		names = append(names, fmt.Sprint(t))
	}
	if t, ok := s["type"].(string); ok {
		return []string{t}
	} else if names == nil {
		return []string{"array", "boolean", "integer", "null", "number", "object", "string"}
	}
	return names
}

func has(values, v any) bool {
	return slices.ContainsFunc(list(values), func(x any) bool { return reflect.DeepEqual(x, v) })
}

func list(v any) []any { l, _ := v.([]any); return l }

func or(v, otherwise any) any {
	if v == nil {
		return otherwise
	}
	return v
}
