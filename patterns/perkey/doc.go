// Package perkey keeps the events of one key in order, while those of different keys run in parallel.
package perkey
