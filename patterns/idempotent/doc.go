// Package idempotent x.
package idempotent
