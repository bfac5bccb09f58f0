package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// read returns the Go value of a payload that is valid by rules.
func (v version) read(rules *jsonschema.Schema, data []byte) (any, error) {
	if err := validate(rules, data); err != nil {
		return nil, err
	}
	value, unmarshal := reflect.New(v.typ), json.Unmarshal
	if v.any {
		unmarshal = unmarshalNumbers
	}
	if err := unmarshal(data, value.Interface()); err != nil { // for example 1.0, an integer in JSON Schema
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return value.Elem().Interface(), nil
}

// unmarshalNumbers is a slower json.Unmarshal: in a field of type any, it reads a number
// as a json.Number. A float64 would round an int64.
func unmarshalNumbers(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// validate returns an error that names each invalid field with the reason.
func validate(rules *jsonschema.Schema, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: not JSON: %w", ErrSchema, err)
	}
	names, exponent := scan(data)
	if exponent > 3 { // the validator would compute all digits
		return fmt.Errorf("%w: a number has an exponent of %d digits", ErrSchema, exponent)
	}
	if countFields(doc) < names { // json.Unmarshal would mix the two values, and one of them is validated
		return fmt.Errorf("%w: a name comes twice in an object", ErrSchema)
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(rules.Validate(doc), &invalid) {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrSchema, strings.Join(fieldErrors(invalid), "; "))
}

// fieldErrors returns texts such as "minutes: got string, want integer".
func fieldErrors(e *jsonschema.ValidationError) (texts []string) {
	_, badName := e.ErrorKind.(*kind.PropertyNames)
	if len(e.Causes) == 0 || badName { // the others are groups
		first, _, _ := strings.Cut(e.Error(), "\n")
		_, reason, _ := strings.Cut(first, "': ")
		texts = append(texts, strings.TrimPrefix(strings.Join(e.InstanceLocation, ".")+": "+reason, ": "))
	}
	for _, cause := range e.Causes {
		texts = append(texts, fieldErrors(cause)...)
	}
	return texts
}

// countFields counts the fields of all objects in a document.
func countFields(doc any) (n int) {
	switch doc := doc.(type) {
	case []any:
		for _, v := range doc {
			n += countFields(v)
		}
	case object:
		for _, v := range doc {
			n += 1 + countFields(v)
		}
	}
	return n
}

// scan counts the names in a JSON text, and the digits of its longest exponent.
func scan(text []byte) (names, exponent int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ':':
			names++
		case c == 'e' || c == 'E':
			digits := bytes.TrimLeft(text[i+1:], "+-0")
			exponent = max(exponent, len(digits)-len(bytes.TrimLeft(digits, "0123456789")))
		}
	}
	return names, exponent
}
