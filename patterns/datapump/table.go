package datapump

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Table is a table that rows may be written to. A row replaces the row with the same
// key, in full. Without a Key each row is added.
type Table struct {
	Name    string
	Columns []Column
	Key     []string
}

// Column has a name and a type. Any column but a key may be null.
type Column struct {
	Name string
	Type Type
}

// Type is the JSON type of a column.
type Type int

const (
	Text     Type = iota // a string
	Integer              // a number without fraction, of 64 bits
	Real                 // a number
	Boolean              // true or false
	Document             // any JSON; the column is JSON in SQLite, jsonb or json in PostgreSQL
)

func (t Type) String() string {
	return [...]string{"a string", "an integer of 64 bits", "a number", "true or false", "JSON"}[t]
}

var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

func (t *Table) check() error {
	if !identifier.MatchString(t.Name) || len(t.Columns) == 0 {
		return fmt.Errorf("%w: Table %.80q; use letters, digits and _, and at least one column", ErrConfig, t.Name)
	}
	names := map[string]bool{}
	for _, c := range t.Columns {
		lower := strings.ToLower(c.Name)
		if !identifier.MatchString(c.Name) || names[lower] || c.Type < Text || c.Type > Document {
			return fmt.Errorf("%w: Table %s: column %.80q; use letters, digits and _, no name twice, and a Type of this package", ErrConfig, t.Name, c.Name)
		}
		names[lower] = true
	}
	for _, k := range t.Key {
		if !slices.Contains(t.columns(), k) {
			return fmt.Errorf("%w: Key %q of Table %s is not one of its Columns", ErrConfig, k, t.Name)
		}
	}
	return nil
}

func (t *Table) columns() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// Row is a row that fits the columns of its table.
type Row struct {
	Table    *Table
	Sequence uint64          // of its message in the stream
	Data     json.RawMessage // a JSON object
	Values   []any           // the same by column: nil, string, int64, float64, bool, or json.RawMessage for a Document
}

// NewRow decodes a JSON object. Its error says why the object does not fit the table.
func NewRow(t *Table, sequence uint64, data []byte) (Row, error) {
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD")) // as encoding/json does in strings
	}
	r := Row{t, sequence, data, make([]any, len(t.Columns))}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil || object == nil {
		return r, fmt.Errorf("the row is not a JSON object: %v", err)
	}
	for i, c := range t.Columns {
		value, err := c.Type.parse(object[c.Name])
		if err != nil {
			return r, fmt.Errorf("column %q: want %v", c.Name, c.Type)
		}
		if value == nil && slices.Contains(t.Key, c.Name) {
			return r, fmt.Errorf("the key %q is missing", c.Name)
		}
		r.Values[i] = value
		delete(object, c.Name)
	}
	for name := range object {
		return r, fmt.Errorf("column %.80q is not one of those allowed", name)
	}
	return r, nil
}

func (t Type) parse(data json.RawMessage) (any, error) {
	if data == nil || string(data) == "null" {
		return nil, nil
	}
	switch t {
	case Text:
		return parse[string](data)
	case Integer:
		return strconv.ParseInt(string(data), 10, 64)
	case Real:
		return strconv.ParseFloat(string(data), 64)
	case Boolean:
		return parse[bool](data)
	default:
		return data, nil
	}
}

func parse[T any](data json.RawMessage) (v T, err error) {
	err = json.Unmarshal(data, &v)
	return v, err
}
