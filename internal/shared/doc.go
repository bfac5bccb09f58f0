// Package shared holds the code that several patterns need. No pattern imports
// it: internal/stamp copies what a pattern uses into its shared.go, so that the
// directory of a pattern compiles alone.
//
// A declaration here may use other declarations of this package, and ErrID,
// ErrConfig and ErrMismatch, which each pattern declares itself. The prefix
// "shared: " of a text becomes the name of the pattern.
package shared

import "errors"

// Each pattern declares these with its own name.
var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("shared: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("shared: bad config")
	// ErrMismatch reports a stream, consumer or bucket with weaker settings.
	ErrMismatch = errors.New("shared: exists with other settings; change Config or call Provision")
)
