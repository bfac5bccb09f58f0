package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// read makes a Go value of a document, if rules let it pass.
func (v version) read(rules *jsonschema.Schema, data []byte) (any, error) {
	if err := validate(rules, data); err != nil {
		return nil, err
	}
	read, into := json.Unmarshal, reflect.New(v.typ)
	if v.any {
		read = exact
	}
	if err := read(data, into.Interface()); err != nil { // as of 1.0, which JSON Schema calls an integer
		return nil, fmt.Errorf("%w: %w", ErrSchema, err)
	}
	return into.Elem().Interface(), nil
}

// exact is a slower Unmarshal: in a field of type any, a float64 rounds an int64.
func exact(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(into)
}

// validate says of each field that is not as it should be why.
func validate(s *jsonschema.Schema, data []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: not JSON: %w", ErrSchema, err)
	}
	if n, err := members(doc); err != nil {
		return fmt.Errorf("%w: %w", ErrSchema, err)
	} else if n < colons(data) { // Go would read a mix of both, of which only one is validated
		return fmt.Errorf("%w: a name comes twice in an object", ErrSchema)
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

// members counts the fields of all objects in a document. It refuses numbers with an
// exponent of thousands, over which the validator takes its time.
func members(doc any) (n int, err error) {
	switch doc := doc.(type) {
	case json.Number:
		_, exponent, _ := strings.Cut(strings.ToLower(string(doc)), "e")
		if len(strings.TrimLeft(exponent, "+-0")) > 3 {
			return 0, fmt.Errorf("%.40s is out of range", doc)
		}
	case []any:
		for _, v := range doc {
			more, bad := members(v)
			n, err = n+more, cmp.Or(err, bad)
		}
	case object:
		for _, v := range doc {
			more, bad := members(v)
			n, err = n+1+more, cmp.Or(err, bad)
		}
	}
	return n, err
}

// colons counts the fields of all objects in a text.
func colons(text []byte) (n int) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ':' && !quoted:
			n++
		}
	}
	return n
}
