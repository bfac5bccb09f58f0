package schema

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go"
)

// Type is a message type in all its versions. T is the newest one.
type Type[T any] struct {
	name     string
	since    int
	versions []version
	changes  []Change
}

// Change leads from one version to the next.
type Change struct {
	from, to reflect.Type
	breaking bool
	upcast   func(any) (any, error)
}

// Extend is a compatible change: readers of Old can read New, and ignore the fields
// that they do not know. [Define] refuses it if that is not so. The upcast converts a
// message from Old to New.
func Extend[Old, New any](upcast func(Old) (New, error)) Change {
	c := Change{from: reflect.TypeFor[Old](), to: reflect.TypeFor[New]()}
	if upcast != nil { // Define reports it
		c.upcast = func(v any) (any, error) { return upcast(v.(Old)) }
	}
	return c
}

// Replace is a breaking change: readers of Old refuse New. Use it for a change of
// shape that Extend refuses, and for a change of meaning, which no schema shows.
func Replace[Old, New any](upcast func(Old) (New, error)) Change {
	c := Extend(upcast)
	c.breaking = true
	return c
}

// Define returns the type called name. The changes lead from its first version to T:
// without changes T is version 1, with two it is version 3. Versions are structs. A
// field of type any is read with a json.Number for each number.
func Define[T any](name string, changes ...Change) (*Type[T], error) {
	if err := checkID(name); err != nil {
		return nil, err
	}
	t, types := &Type[T]{name: name, since: 1, changes: changes}, []reflect.Type{reflect.TypeFor[T]()}
	for i, c := range slices.Backward(changes) {
		if c.to != types[0] {
			return nil, fmt.Errorf("%w: the change to version %d of %s makes a %v, want %v", ErrType, i+2, name, c.to, types[0])
		}
		if c.upcast == nil {
			return nil, fmt.Errorf("%w: the change to version %d of %s has no upcast function", ErrType, i+2, name)
		}
		types = slices.Insert(types, 0, c.from)
	}
	for i, typ := range types {
		if i > 0 && changes[i-1].breaking {
			t.since = i + 1
		}
		v, err := generate(typ)
		if err != nil {
			return nil, fmt.Errorf("%w: version %d of %s: %w", ErrType, i+1, name, err)
		}
		for old := i; old >= t.since; old-- { // all of them: a field can go, and come back with another type
			if err := Compatible(t.versions[old-1].schema, v.schema); err != nil {
				return nil, fmt.Errorf("%w: version %d of %s breaks readers of version %d; use Replace for a breaking change: %w", ErrType, i+1, name, old, err)
			}
		}
		t.versions = append(t.versions, v)
	}
	return t, nil
}

// Format returns the format indicator of the newest version.
func (t *Type[T]) Format() Format { return Format{t.name, len(t.versions), t.since} }

// Encode returns the headers and the payload of v, if it is valid by its schema.
func (t *Type[T]) Encode(v T) (nats.Header, []byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if err := validate(t.versions[len(t.versions)-1].strict, data); err != nil {
		return nil, nil, err
	}
	f := t.Format()
	return nats.Header{"Content-Type": {contentType}, HeaderName: {f.Name},
		HeaderVersion: {strconv.Itoa(f.Version)}, HeaderSince: {strconv.Itoa(f.Since)}}, data, nil
}

// Decode reads a message of any version. A message of a known version must match its
// schema exactly, and is upcast to T step by step. A newer message is read if its
// format indicator permits it; unknown fields are ignored.
func (t *Type[T]) Decode(h nats.Header, data []byte) (T, error) {
	var none T
	f, err := FormatOf(h)
	if err != nil {
		return none, err
	}
	newest := len(t.versions)
	if f.Name != t.name {
		return none, fmt.Errorf("%w: %.40q, want %s", ErrName, f.Name, t.name)
	}
	if f.Since > newest {
		return none, fmt.Errorf("%w: version %d needs a reader of version %d, this reader has version %d", ErrVersion, f.Version, f.Since, newest)
	}
	at := min(f.Version, newest)
	version := t.versions[at-1]
	rules := version.strict
	if f.Version > newest {
		rules = version.loose
	}
	value, err := version.read(rules, data)
	if err != nil {
		return none, err
	}
	for i, change := range t.changes[at-1:] {
		if value, err = change.upcast(value); err != nil {
			return none, fmt.Errorf("%w from version %d to %d: %w", ErrUpcast, at+i, at+i+1, err)
		}
	}
	return value.(T), nil
}
