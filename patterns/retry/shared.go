// Code generated from internal/shared by make stamp; DO NOT EDIT.

package retry

import (
	"fmt"
)

// setDefault sets a Config field that is zero, and refuses a value below least or above
// most.
func setDefault[T ~int | ~int64](field string, v *T, value, least T, most ...T) error {
	if *v == 0 {
		*v = value
	}
	if *v < least {
		return fmt.Errorf("%w: %s is %v; use at least %v", ErrConfig, field, *v, least)
	}
	if len(most) > 0 && *v > most[0] {
		return fmt.Errorf("%w: %s is %v; use at most %v", ErrConfig, field, *v, most[0])
	}
	return nil
}
