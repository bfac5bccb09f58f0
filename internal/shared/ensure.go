package shared

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"
)

// findOrCreate calls find, and create if find returns missing, unless bind is set.
func findOrCreate[T any](ctx context.Context, bind bool, missing, exists error, find, create func(context.Context) (T, error)) (T, error) {
	v, err := callAPI(ctx, find)
	if !errors.Is(err, missing) || bind {
		return v, err
	}
	v, err = callAPI(ctx, create)
	if errors.Is(err, exists) { // another process was faster
		return callAPI(ctx, find)
	}
	return v, err
}

// compare refuses what has a field other than needed, by the name of the field.
func compare(what string, have, needed any) error {
	h, n := reflect.ValueOf(have), reflect.ValueOf(needed)
	for i := range h.NumField() {
		if name := h.Type().Field(i).Name; name != "Metadata" && !reflect.DeepEqual(h.Field(i).Interface(), n.Field(i).Interface()) {
			return fmt.Errorf("%w: %s has %s %v, want %v", ErrMismatch, what, name, printable(h.Field(i)), printable(n.Field(i)))
		}
	}
	return nil
}

// printable returns what v points to.
func printable(v reflect.Value) any {
	if v.Kind() != reflect.Pointer {
		return v
	}
	if v.IsNil() {
		return "none"
	}
	return v.Elem()
}

// setFields returns config with the named fields of from.
func setFields[C any](config, from C, names []string) C {
	for _, name := range names {
		reflect.ValueOf(&config).Elem().FieldByName(name).Set(reflect.ValueOf(from).FieldByName(name))
	}
	return config
}

// mergeMetadata returns have with the entries of want.
func mergeMetadata(have, want map[string]string) map[string]string {
	merged := map[string]string{}
	maps.Copy(merged, have)
	maps.Copy(merged, want)
	return merged
}

// longer returns the longer of two durations, of which 0 is unlimited.
func longer(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return 0
	}
	return max(a, b)
}

// larger returns the larger of two limits, of which 0 and -1 are unlimited.
func larger[T int | int64](a, b T) T {
	if a <= 0 || b <= 0 {
		return -1
	}
	return max(a, b)
}
