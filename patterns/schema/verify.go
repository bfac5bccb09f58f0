package schema

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Verify compares the versions of t with the schemas recorded in dir, as <name>.v1.json
// and so on. Call it in a test: a version that was published must not change, because
// its events are stored and its readers run. With record, Verify writes the schema of
// a version that is not recorded. It never overwrites one.
func (t *Type[T]) Verify(dir string, record bool) error {
	file := func(version int) string { return filepath.Join(dir, fmt.Sprintf("%s.v%d.json", t.name, version)) }
	var errs []error
	for i, v := range t.versions {
		recorded, err := os.ReadFile(file(i + 1))
		if errors.Is(err, os.ErrNotExist) && record {
			recorded, err = v.schema, os.WriteFile(file(i+1), append(v.schema, '\n'), 0o666)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("schema: version %d of %s is not recorded: %w", i+1, t.name, err))
			continue
		}
		if err := compatible(v.schema, recorded, true); err != nil {
			errs = append(errs, fmt.Errorf("%w: %v cannot read what was published as version %d of %s; make a new version: %w", ErrType, v.typ, i+1, t.name, err))
		}
		if err := compatible(recorded, v.schema, true); err != nil {
			errs = append(errs, fmt.Errorf("%w: readers of version %d of %s cannot read what %v publishes; make a new version: %w", ErrType, i+1, t.name, v.typ, err))
		}
	}
	next := len(t.versions) + 1
	if _, err := os.Stat(file(next)); err == nil {
		errs = append(errs, fmt.Errorf("%w: version %d of %s is recorded, but it is not among the changes", ErrType, next, t.name))
	}
	return errors.Join(errs...)
}
