package sequence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrID reports an ID that cannot be one token of a subject.
	ErrID = errors.New("sequence: bad ID")
	// ErrConfig reports a bad Config field or argument.
	ErrConfig = errors.New("sequence: bad config")
	// ErrPosition reports a message without a valid position in a sequence.
	ErrPosition = errors.New("sequence: bad position")
	// ErrMissing reports a missing message, for which Missing returned Fail.
	ErrMissing = errors.New("sequence: message missing")
	// ErrMismatch reports a stream or consumer with weaker settings.
	ErrMismatch = errors.New("sequence: exists with other settings; change Config or call Provision")
	// ErrAlreadyRun reports a second call of Run.
	ErrAlreadyRun = errors.New("sequence: Run was already called")
)

// The headers with the position of a message.
const (
	HeaderID     = "Sequence-Id"
	HeaderNumber = "Sequence-Number"
	HeaderLast   = "Sequence-Last" // "true" on the last message
)

// codeDuplicate is JSAtomicPublishContainsDuplicateMessageErr: the stream has a message
// of the batch already.
const codeDuplicate jetstream.ErrorCode = 10201

// Position is the place of a message in a sequence.
type Position struct {
	ID     string // of the sequence
	Number uint64 // 1 for the first message
	Last   bool
}

// Stamp writes p into the headers of msg, and a message ID, so that a stream stores a
// message once if the publish is retried.
func Stamp(msg *nats.Msg, p Position) error {
	if err := checkID(p.ID); err != nil {
		return err
	}
	if p.Number == 0 || p.Number > math.MaxInt64 {
		return fmt.Errorf("%w: number %d; use 1 to %d", ErrPosition, p.Number, math.MaxInt64)
	}
	if msg.Header == nil {
		msg.Header = nats.Header{}
	}
	number := strconv.FormatUint(p.Number, 10)
	msg.Header.Set(HeaderID, p.ID)
	msg.Header.Set(HeaderNumber, number)
	msg.Header.Set(jetstream.MsgIDHeader, p.ID+"."+number)
	msg.Header.Del(HeaderLast)
	if p.Last {
		msg.Header.Set(HeaderLast, "true")
	}
	return nil
}

// At returns the position that [Stamp] wrote.
func At(h nats.Header) (Position, error) {
	p := Position{ID: h.Get(HeaderID), Last: h.Get(HeaderLast) == "true"}
	if err := checkID(p.ID); err != nil {
		return p, fmt.Errorf("%w: header %s: %w", ErrPosition, HeaderID, err)
	}
	n, err := strconv.ParseUint(h.Get(HeaderNumber), 10, 63) // 63 bits: a next number always exists
	if err != nil || n == 0 {
		return p, fmt.Errorf("%w: header %s is %.40q; use 1 to %d", ErrPosition, HeaderNumber, h.Get(HeaderNumber), math.MaxInt64)
	}
	p.Number = n
	return p, nil
}

// Send stores msgs as the sequence id, all or none. It numbers copies of them from 1
// and marks the last one. It takes 1 to 1,000 messages and returns after at most 10 s. A
// retry within the stream's duplicate window stores nothing: an id names one sequence.
// The stream needs AllowAtomicPublish, and nats-server 2.12.
func Send(ctx context.Context, js jetstream.JetStream, id string, msgs ...*nats.Msg) error {
	if len(msgs) == 0 || len(msgs) > maxBatch {
		return fmt.Errorf("%w: %d messages; send 1 to %d", ErrPosition, len(msgs), maxBatch)
	}
	batch := make([]*nats.Msg, len(msgs))
	for i, msg := range msgs {
		if msg == nil {
			return fmt.Errorf("%w: message %d is nil", ErrPosition, i+1)
		}
		msg = &nats.Msg{Subject: msg.Subject, Header: maps.Clone(msg.Header), Data: msg.Data}
		for _, name := range []string{"Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"} {
			msg.Header.Del(name) // from an earlier batch
		}
		if err := Stamp(msg, Position{id, uint64(i) + 1, i == len(msgs)-1}); err != nil {
			return err
		}
		batch[i] = msg
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := publishBatch(ctx, js.Conn(), batch, true); err != nil && apiCode(err) != codeDuplicate {
		return fmt.Errorf("sequence: send %s: %w", id, err)
	}
	return nil
}

// Gap is a range of missing messages before a message that arrived.
type Gap struct {
	ID       string
	From, To uint64
	Waited   time.Duration // since the gap was found
	Full     bool          // the buffer is full, maybe before GapTimeout; after Wait the message with the highest number is redelivered later
}

// Decision is how a [Resequencer] continues at a [Gap].
type Decision int

// What Config.Missing decides.
const (
	Wait Decision = iota // for another Config.GapTimeout
	Skip                 // continue after the gap; a skipped message that arrives later is dropped and logged
	Fail                 // end Run with ErrMissing
)

// Config tunes a [Resequencer]. The zero Config is ready to use.
type Config struct {
	Subjects   []string           // of the input stream; all if empty
	Buffer     int                // messages held in memory; 256 if zero
	GapTimeout time.Duration      // wait for a missing message before Missing is called; 5 s if zero
	Missing    func(Gap) Decision // must not block; always Wait if nil, and after a panic
	AckWait    time.Duration      // after a crash, until held messages are redelivered; 30 s if zero
	Grace      time.Duration      // for the publishes in progress when Run stops; 10 s if zero

	Replicas int                   // of the output stream; 1 if zero
	Storage  jetstream.StorageType // of the output stream; file if zero
	MaxBytes int64                 // of the output stream; if it is full, Run waits; unlimited if zero
	Bind     bool                  // create nothing: a missing stream or consumer is an error
	Metadata map[string]string     // of the stream and consumer that New creates
	Log      *slog.Logger          // discarded if nil
}

func (c Config) normal() (Config, error) {
	if c.Missing == nil {
		c.Missing = func(Gap) Decision { return Wait }
	}
	c.Log = cmp.Or(c.Log, slog.New(slog.DiscardHandler))
	err := cmp.Or(
		setDefault("Buffer", &c.Buffer, 256, 1, maxAckPending),
		setDefault("GapTimeout", &c.GapTimeout, 5*time.Second, 10*time.Millisecond),
		setDefault("AckWait", &c.AckWait, 30*time.Second, time.Second),
		setDefault("Grace", &c.Grace, 10*time.Second, 1),
		setDefault("Replicas", &c.Replicas, 1, 1, 5),
		setDefault("MaxBytes", &c.MaxBytes, 0, 0),
	)
	return c, err
}
