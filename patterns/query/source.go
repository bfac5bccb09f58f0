package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
)

// Source is what a Reader queries. [SQLite] and [Postgres] return one. Several queries
// run at once.
type Source interface {
	// Query yields the rows of a statement as JSON objects. It holds few rows in memory,
	// and ends when ctx ends. The args are the fields of the statement's Args, in order.
	Query(ctx context.Context, st Statement, args []any) iter.Seq2[[]byte, error]
}

// Statement is a query with a name. A client sends the name and the arguments.
type Statement struct {
	Name string
	Args any    // a struct: a client sends a JSON object with its fields; nil for none
	SQL  string // one SELECT; the fields of Args are its parameters $1, $2, …
}

func (st Statement) check() error {
	if err := checkID(st.Name); err != nil {
		return fmt.Errorf("%w: Statement: %w", ErrConfig, err)
	}
	if st.Args == nil {
		return nil
	}
	t := reflect.TypeOf(st.Args)
	if t.Kind() != reflect.Struct {
		return fmt.Errorf("%w: Args of Statement %s is a %v; use a struct", ErrConfig, st.Name, t)
	}
	for i := range t.NumField() {
		if f := t.Field(i); !f.IsExported() {
			return fmt.Errorf("%w: Args of Statement %s: the field %s is not exported", ErrConfig, st.Name, f.Name)
		}
	}
	return nil
}

// values decodes a JSON object into the fields of Args. A missing field is zero.
func (st Statement) values(data []byte) ([]any, error) {
	if st.Args == nil {
		st.Args = struct{}{}
	}
	args := reflect.New(reflect.TypeOf(st.Args))
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(args.Interface()); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is data after the JSON object")
	}
	values := make([]any, args.Elem().NumField())
	for i := range values {
		values[i] = args.Elem().Field(i).Interface()
	}
	return values, nil
}
