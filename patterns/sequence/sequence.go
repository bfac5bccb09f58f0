package sequence

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an identity that cannot be one token of a subject.
	ErrID = errors.New("sequence: bad id")
	// ErrConfig reports a Config that makes no sense; the text names the field.
	ErrConfig = errors.New("sequence: bad config")
	// ErrPosition reports a message that does not say where in which sequence it is.
	ErrPosition = errors.New("sequence: bad position")
	// ErrMissing reports that a message did not come, and Missing was to Fail.
	ErrMissing = errors.New("sequence: message missing")
	// ErrMismatch reports a stream or consumer that exists and is set up otherwise.
	ErrMismatch = errors.New("sequence: set up otherwise; Provision changes that")
	// ErrTwice reports that Run was called again.
	ErrTwice = errors.New("sequence: Run was called twice; make a new Resequencer")
)

// The headers that tell a message's place.
const (
	HeaderID     = "Sequence-Id"
	HeaderNumber = "Sequence-Number"
	HeaderLast   = "Sequence-Last" // "true" on the last one
)

// Position is where in which sequence a message is.
type Position struct {
	ID     string
	Number uint64 // from 1
	Last   bool
}

// Stamp writes p on msg, and a message id by which a stream stores a message that is
// sent again once.
func Stamp(msg *nats.Msg, p Position) error {
	if err := checkID(p.ID); err != nil {
		return err
	}
	if p.Number == 0 || p.Number > math.MaxInt64 {
		return fmt.Errorf("%w: number %d; from 1 to %d", ErrPosition, p.Number, math.MaxInt64)
	}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	number := strconv.FormatUint(p.Number, 10)
	msg.Header.Set(HeaderID, p.ID)
	msg.Header.Set(HeaderNumber, number)
	msg.Header.Set(jetstream.MsgIDHeader, p.ID+"."+number)
	if msg.Header.Del(HeaderLast); p.Last {
		msg.Header.Set(HeaderLast, "true")
	}
	return nil
}

// At reads the position that [Stamp] wrote.
func At(h nats.Header) (Position, error) {
	p := Position{ID: h.Get(HeaderID), Last: h.Get(HeaderLast) == "true"}
	if err := checkID(p.ID); err != nil {
		return p, fmt.Errorf("%w: header %s: %w", ErrPosition, HeaderID, err)
	}
	n, err := strconv.ParseUint(h.Get(HeaderNumber), 10, 63) // so that there is always a next one
	if err != nil || n == 0 {
		return p, fmt.Errorf("%w: header %s is %.40q; from 1 to %d", ErrPosition, HeaderNumber, h.Get(HeaderNumber), math.MaxInt64)
	}
	p.Number = n
	return p, nil
}

// Gap is a part of a sequence that has not come, while later messages have.
type Gap struct {
	ID       string
	From, To uint64
	Waited   time.Duration // in all
	Full     bool          // there is no room to hold more, perhaps long before Patience is over; Wait puts back what was to come last
}

// Decision is what to do about a [Gap].
type Decision int

const (
	Wait Decision = iota // for another Config.Patience
	Skip                 // go on without; what comes after all is dropped, and logged
	Fail                 // end Run with ErrMissing
)

// Config tunes a [Resequencer]. The zero Config is ready to use.
type Config struct {
	Subjects []string           // of the stream's, which are to be put in order; all if empty
	Room     int                // messages held until those before them have come; 256 if zero
	Patience time.Duration      // how long a missing message is waited for before Missing is asked; 5s if zero
	Missing  func(Gap) Decision // decides; nil waits for ever
	Log      *slog.Logger       // discarded if nil

	Replicas int                   // of the stream of what is in order; 1 if zero
	Storage  jetstream.StorageType // of it; file if zero
	Bind     bool                  // create nothing: what is missing is an error
	Metadata map[string]string     // put on what New creates
}

func (c Config) normal() (Config, error) {
	c.Room, c.Patience, c.Replicas = cmp.Or(c.Room, 256), cmp.Or(c.Patience, 5*time.Second), cmp.Or(c.Replicas, 1)
	if c.Missing == nil {
		c.Missing = func(Gap) Decision { return Wait }
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Room < 1 || c.Room > reach {
		return c, fmt.Errorf("%w: Room %d; from 1 to %d", ErrConfig, c.Room, reach)
	}
	if c.Patience < 10*time.Millisecond {
		return c, fmt.Errorf("%w: Patience %v; at least 10ms", ErrConfig, c.Patience)
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		return c, fmt.Errorf("%w: Replicas %d; from 1 to 5", ErrConfig, c.Replicas)
	}
	return c, nil
}
