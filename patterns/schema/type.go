package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/nats-io/nats.go"
)

// Type is a message type in all its versions, the newest of which is T.
type Type[T any] struct {
	name     string
	since    int
	versions []version
	changes  []Change
}

// Change leads from one version to the next.
type Change struct {
	from, to reflect.Type
	breaks   bool
	up       func(any) (any, error)
}

// Extend is a change after which readers of Old can read New as if it were Old: what
// they do not know, they ignore. [Define] refuses it if that is not so. The function
// makes a New of an Old.
func Extend[Old, New any](up func(Old) (New, error)) Change {
	c := Change{from: reflect.TypeFor[Old](), to: reflect.TypeFor[New]()}
	if up != nil { // which Define tells
		c.up = func(v any) (any, error) { return up(v.(Old)) }
	}
	return c
}

// Replace is a change that readers of Old must understand before they may read: they
// divert New. It is for a change of shape that Extend refuses, and for one of meaning,
// which no schema shows.
func Replace[Old, New any](up func(Old) (New, error)) Change {
	c := Extend(up)
	c.breaks = true
	return c
}

// Define makes the type called name of the changes that lead from its first version
// to T: with none, T is version 1, and with two it is version 3. Versions are structs;
// a field of type any is read with a json.Number for each number.
func Define[T any](name string, changes ...Change) (*Type[T], error) {
	if err := checkID(name); err != nil {
		return nil, err
	}
	t := &Type[T]{name: name, since: 1, changes: changes}
	types := []reflect.Type{reflect.TypeFor[T]()}
	for i := len(changes) - 1; i >= 0; i-- {
		if c := changes[i]; c.to != types[0] {
			return nil, fmt.Errorf("%w: the change to version %d of %s makes a %v, want %v", ErrType, i+2, name, c.to, types[0])
		} else if c.up == nil {
			return nil, fmt.Errorf("%w: the change to version %d of %s has no function", ErrType, i+2, name)
		}
		types = append([]reflect.Type{changes[i].from}, types...)
	}
	for i, typ := range types {
		v, err := generate(typ)
		if err != nil {
			return nil, fmt.Errorf("%w: version %d of %s: %w", ErrType, i+1, name, err)
		}
		t.versions = append(t.versions, v)
		if i > 0 && changes[i-1].breaks {
			t.since = i + 1
		}
		for old := i; old >= t.since; old-- { // all of them: a field may go, and come back as another
			if err := Compatible(t.versions[old-1].schema, v.schema); err != nil {
				return nil, fmt.Errorf("%w: version %d of %s breaks readers of version %d, use Replace if that is meant: %w", ErrType, i+1, name, old, err)
			}
		}
	}
	return t, nil
}

// Format returns the format indicator of what is sent as t.
func (t *Type[T]) Format() Format { return Format{t.name, len(t.versions), t.since} }

// Encode returns the headers and the body of v, if its schema lets it pass.
func (t *Type[T]) Encode(v T) (nats.Header, []byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	if err := validate(t.versions[len(t.versions)-1].strict, data); err != nil {
		return nil, nil, err
	}
	f, h := t.Format(), nats.Header{}
	h.Set("Content-Type", contentType)
	h.Set(HeaderName, f.Name)
	h.Set(HeaderVersion, strconv.Itoa(f.Version))
	h.Set(HeaderSince, strconv.Itoa(f.Since))
	return h, data, nil
}

// Decode reads a message of any version. One of a version that t knows must follow
// its schema to the letter, and is brought up to T step by step; of a newer one, if it
// says that T can read it, what T does not know is ignored.
func (t *Type[T]) Decode(h nats.Header, data []byte) (T, error) {
	var none T
	f, err := FormatOf(h)
	newest := len(t.versions)
	switch {
	case err != nil:
		return none, err
	case f.Name != t.name:
		return none, fmt.Errorf("%w: %.40q, this is %s", ErrForeign, f.Name, t.name)
	case f.Since > newest:
		return none, fmt.Errorf("%w: version %d needs a reader of version %d, this one is of %d", ErrFuture, f.Version, f.Since, newest)
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
		if value, err = change.up(value); err != nil {
			return none, errors.Join(ErrRefused, fmt.Errorf("from version %d to %d: %w", at+i, at+i+1, err))
		}
	}
	return value.(T), nil
}
