package datapump

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// Schema is all that can be asked of a store over the bus: nothing else in it has
// a name there, and no SQL travels.
type Schema struct {
	Tables     []Table
	Statements []Statement
}

// Table takes rows of these columns, and no others. A row replaces the one with the
// same key, in full; without a Key every row is added.
type Table struct {
	Name    string
	Columns []Column
	Key     []string
}

// Statement is a question that may be asked by its name.
type Statement struct {
	Name  string
	Args  []Column // what the asker gives, in the order of the parameters
	SQL   string   // for SQLite and PostgreSQL, in the store's own words
	Table string   // for a bucket: rows of this table whose key begins with Args
}

// Column has a name and a type. Any column but a key may be null.
type Column struct {
	Name string
	Type Type
}

// Type says what JSON a column takes.
type Type int

const (
	Text     Type = iota // a string
	Integer              // a number without fraction, of 64 bits
	Real                 // a number
	Boolean              // true or false
	Document             // anything; declare it JSON in SQLite, jsonb in PostgreSQL
)

var identifier = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{0,62}$`)

func (s Schema) check() error {
	if len(s.Tables)+len(s.Statements) == 0 {
		return fmt.Errorf("%w: a Schema without Tables and Statements allows nothing", ErrConfig)
	}
	for _, t := range s.Tables {
		if !identifier.MatchString(t.Name) {
			return fmt.Errorf("%w: Table %.80q; use letters, digits and _", ErrConfig, t.Name)
		}
		if err := checkColumns("Table "+t.Name, t.Columns); err != nil {
			return err
		}
		if len(t.Columns) == 0 {
			return fmt.Errorf("%w: Table %s has no Columns", ErrConfig, t.Name)
		}
		for _, k := range t.Key {
			if t.index(k) < 0 {
				return fmt.Errorf("%w: Key %q of Table %s is none of its Columns", ErrConfig, k, t.Name)
			}
		}
	}
	for _, st := range s.Statements {
		if err := checkID(st.Name); err != nil {
			return fmt.Errorf("%w: Statement: %w", ErrConfig, err)
		}
		if err := checkColumns("Statement "+st.Name, st.Args); err != nil {
			return err
		}
	}
	return nil
}

func checkColumns(of string, columns []Column) error {
	for i, c := range columns {
		if !identifier.MatchString(c.Name) {
			return fmt.Errorf("%w: %s: column %.80q; use letters, digits and _", ErrConfig, of, c.Name)
		}
		for _, d := range columns[:i] {
			if strings.EqualFold(c.Name, d.Name) {
				return fmt.Errorf("%w: %s: column %q is there twice", ErrConfig, of, c.Name)
			}
		}
		if c.Type < Text || c.Type > Document {
			return fmt.Errorf("%w: %s: column %q has no such Type", ErrConfig, of, c.Name)
		}
	}
	return nil
}

func (t *Table) index(column string) int {
	for i, c := range t.Columns {
		if c.Name == column {
			return i
		}
	}
	return -1
}

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
		return nil, fmt.Errorf("%w: no JSON object: %v", ErrPayload, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows the JSON object", ErrPayload)
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
			return nil, fmt.Errorf("%w: column %q: %w", ErrPayload, c.Name, err)
		}
	}
	if known == len(object) {
		return values, nil
	}
	for _, c := range columns {
		delete(object, c.Name)
	}
	for name := range object {
		return nil, fmt.Errorf("%w: column %.80q is not one of those allowed", ErrPayload, name)
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
