// Package backoff x.
package backoff
