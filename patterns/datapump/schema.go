package datapump

import (
	"fmt"
	"regexp"
	"slices"
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
	SQL   string   // for SQLite and PostgreSQL, one SELECT in the store's own words
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
	return slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == column })
}
