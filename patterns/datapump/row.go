package datapump

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Row is a row of a table that fits its columns.
type Row struct {
	Table  *Table
	Seq    uint64 // of its message in the stream
	Values []any  // nil, string, int64, float64, bool, or json.RawMessage for a Document
}

func (t *Table) row(seq uint64, data []byte) (Row, error) {
	values, err := decode(t.Columns, data)
	for _, k := range t.Key {
		if err == nil && values[t.index(k)] == nil {
			err = fmt.Errorf("the key %q is missing", k)
		}
	}
	return Row{t, seq, values}, err
}

// key tells rows of a table apart, in tokens of a subject.
func (r Row) key() string {
	if len(r.Table.Key) == 0 {
		return r.Table.Name + "." + strconv.FormatUint(r.Seq, 10)
	}
	key := r.Table.Name
	for _, k := range r.Table.Key {
		key += "." + token(r.Values[r.Table.index(k)])
	}
	return key
}

// token makes one token of a subject of any value, and the same of no other.
func token(value any) string {
	s := fmt.Sprint(value)
	if b, ok := value.(json.RawMessage); ok {
		s = string(b)
	}
	if checkID(s) == nil {
		return s
	}
	return "=" + base64.RawURLEncoding.EncodeToString([]byte(s))
}

func decode(columns []Column, data []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber() // 64 bits do not fit into a float64
	var object map[string]any
	if err := d.Decode(&object); err != nil || object == nil {
		return nil, fmt.Errorf("it is no JSON object: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	values, known := make([]any, len(columns)), 0
	for i, c := range columns {
		v, ok := object[c.Name]
		if !ok {
			continue
		}
		known++
		var err error
		if values[i], err = c.value(v); err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name, err)
		}
	}
	if known == len(object) {
		return values, nil
	}
	for _, c := range columns {
		delete(object, c.Name)
	}
	for name := range object {
		return nil, fmt.Errorf("column %.80q is not one of those allowed", name)
	}
	return values, nil
}

func (c Column) value(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch c.Type {
	case Document:
		b, err := json.Marshal(v)
		return json.RawMessage(b), err
	case Integer:
		if n, ok := v.(json.Number); ok {
			i, err := n.Int64()
			if err != nil {
				return nil, fmt.Errorf("%.40s is no 64-bit integer", n)
			}
			return i, nil
		}
	case Real:
		if n, ok := v.(json.Number); ok {
			return n.Float64()
		}
	case Boolean:
		if b, ok := v.(bool); ok {
			return b, nil
		}
	case Text:
		if s, ok := v.(string); ok {
			return s, nil
		}
	}
	return nil, fmt.Errorf("it wants %s", [...]string{"a string", "an integer", "a number", "true or false", ""}[c.Type])
}
