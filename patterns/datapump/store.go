package datapump

import (
	"context"
	"errors"
)

var (
	// ErrInvalidRow is wrapped by an error of Store.Apply if the store would refuse one of
	// the rows again. Any other error is temporary.
	ErrInvalidRow = errors.New("datapump: invalid row")
	// ErrFenced is the error of Store.Apply if the pump is at another position: a second
	// pump with this ID moved it, or the reply to the last Apply was lost.
	ErrFenced = errors.New("datapump: the pump is at another position")
)

// Store is a database that pumps write to. [SQLite] and [Postgres] return one, and
// package storetest tests one. Several pumps may use a store at once.
type Store interface {
	// Position returns the sequence of the last message that a pump applied; 0 if none.
	Position(ctx context.Context, pump string) (uint64, error)
	// Apply writes rows, in order, and moves the position of the pump, all or nothing.
	// Its error is ErrFenced if the position is not from.
	Apply(ctx context.Context, pump string, from, to uint64, rows []Row) error
}
