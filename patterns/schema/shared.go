// Code generated from internal/shared by make stamp; DO NOT EDIT.

package schema

import (
	"fmt"
)

// checkID refuses an ID that cannot be one token of a subject.
func checkID(id string) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range []byte(id) {
		ok = ok && ('a' <= c && c <= 'z' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("%w: %.80q; use 1 to 64 of A-Z a-z 0-9 _ -", ErrID, id)
	}
	return nil
}
